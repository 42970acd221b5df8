"""What training takes, as it is told before a run, against what it takes: real steps, each in a process of its own."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import Figure, Settings

STEPS = 8
"""Steps of the real run; previews, validation and a checkpoint come with them."""
CASES: dict[str, tuple[str, list[str]]] = {
    "vae": ("vae", []),
    "wide": ("autoencoder", ["model.hidden=[4096]", "train.batch_size=1024"]),
    "conv": ("conv-vae", ["train.batch_size=512"]),
    "gan": ("gan", ["train.batch_size=1024"]),
    "dcgan": ("dcgan", ["train.batch_size=256"]),
    "ddpm": ("ddpm-mnist", []),
    "ddpm256": ("ddpm-mnist", ["train.batch_size=256"]),
    "ddpm-parts": ("ddpm-mnist", ["train.batch_size=256", "train.accumulate=8"]),
    "flow": ("flow-matching", ["train.batch_size=256"]),
    "vq": ("vq-vae", ["train.batch_size=256"]),
    "lstm": ("char-lstm", []),
    "lstm-big": ("char-lstm", ["train.batch_size=512", "model.hidden=512"]),
    "cnn": ("cnn-classifier", ["train.batch_size=1024"]),
    "points": ("ddpm-ring", []),
}
BOUNDS = 0.75, 1.3
"""Where estimate ÷ real should lie: that it is SAFE is said up to 70 % of the memory."""


def memory(name: str, settings: Settings, base: Path, root: str) -> Figure:
    """The estimate of the Network pane ÷ the peak of the process that trains."""
    recipe, overrides = CASES[name]
    estimate, peak = (_asked(what, recipe, overrides, root, base / f"{name}-{what}") for what in ("estimate", "real"))
    low, high = BOUNDS
    share = estimate / peak
    words = f"{recipe} {' '.join(overrides)}".strip()
    detail = f"{estimate / 1e6:,.0f} told, {peak / 1e6:,.0f} MB taken"
    return Figure(f"mem-{name}", words, share, share, share, f"{low:g}–{high:g}", low <= share <= high, detail)


def _asked(what: str, recipe: str, overrides: list[str], root: str, folder: Path) -> float:
    words = [sys.executable, "-m", "tests.bench_memory", what, json.dumps([recipe, overrides, root, str(folder)])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{what} failed")
    return float(done.stdout.split()[-1])


def _config(recipe: str, overrides: list[str], root: str) -> tuple[Any, Any, Any]:
    from tui_gen import catalog as catalogs
    from tui_gen import config as configs
    from tui_gen.train import discover

    catalog, classes = discover.build()
    catalog.recipes, _ = catalogs.recipes()
    data = catalog.recipes[recipe].dataset
    more = ["dataset.name=mnist", f"dataset.root={root}"] if data.endswith("mnist") else []  # FashionMNIST has its size
    fixed = [f"train.steps={STEPS}", "train.device=cpu", "train.compile=off", "preview.every_seconds=0"]
    tables = configs.override(catalog.recipes[recipe].tables, [*overrides, *more, *fixed], catalog)
    return configs.load(tables, catalog), catalog, classes


def _estimate(recipe: str, overrides: list[str], root: str, folder: Path) -> float:
    import msgspec

    from tui_gen import config as configs
    from tui_gen.train.run import warm
    from tui_gen.verdicts.network import Network

    warm._warm_up()
    config, catalog, classes = _config(recipe, overrides, root)
    found = msgspec.convert(warm.network(configs.to_tables(config), catalog, classes), Network)
    return found.need(config.train.batch_size, config.train.accumulate)


def _real(recipe: str, overrides: list[str], root: str, folder: Path) -> float:
    import torch

    from tui_gen import config as configs
    from tui_gen import runs
    from tui_gen.log import event_log
    from tui_gen.train.data import dataset_of
    from tui_gen.train.data.matching import load_as
    from tui_gen.train.engine.trainer import Trainer
    from tui_gen.train.run.loop import RunLoop

    config, catalog, classes = _config(recipe, overrides, root)
    path = runs.create(folder, config.name, configs.dumps(config))
    cpu = torch.device("cpu")
    data = load_as(None, dataset_of(config.dataset, classes.datasets), cpu, lambda spec: True, seed=0, report=print)
    trainer = Trainer(classes.models[config.model.name], config, data, cpu, lambda epoch: STEPS)
    writer = event_log.EventWriter(path / runs.LOG)
    settings = configs.keys(config.model.name, config.dataset.name, catalog)
    RunLoop(path, trainer, writer, settings).run()
    return peak()


def peak() -> float:
    """The most memory that this process has had, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Figure]] = {
    f"memory-{name}": functools.partial(memory, name) for name in CASES
}

if __name__ == "__main__":
    recipe, overrides, root, folder = json.loads(sys.argv[2])
    print((_real if sys.argv[1] == "real" else _estimate)(recipe, overrides, root, Path(folder)))
