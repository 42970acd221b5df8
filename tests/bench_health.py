"""What it costs to measure a training's health: one process, in time of the processor, which others hardly disturb."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import Figure, Settings, ratio
from tests.bench_trainer import MODELS
from tui_gen import config as configs

WARM = 5
"""Steps that are not counted."""
WHAT = {
    "small-vae": "small MLP VAE", "vae": "MLP VAE 784-400-20", "gan": "MLP GAN",
    "dcgan": "DCGAN 32 px", "ddpm": "U-Net DDPM 28 px, with averaged weights",
    "small-unet": "U-Net DDPM 16 px, with averaged weights",
}  # fmt: skip
SMALL_UNET = ({"name": "ddpm", "network": "unet", "channels": [16, 32], "attention": False}, 16, 16)


def trainer_of(name: str, root: str, ranks: Any = None, threads: int = 1) -> Any:
    """A trainer of a benchmark's model on MNIST, on one thread mostly; one of several `ranks`, where they are given."""
    import torch

    from tui_gen.train import discover
    from tui_gen.train.data import dataset_of, load
    from tui_gen.train.engine.ranks import ALONE
    from tui_gen.train.engine.trainer import Trainer

    torch.set_num_threads(threads)
    model, batch_size, size = SMALL_UNET if name == "small-unet" else MODELS[name]
    catalog, classes = discover.build()
    tables = {
        "model": model,
        "dataset": {"name": "mnist", "root": root, "size": size, "limit": 4096},
        "train": {"steps": 10**8, "batch_size": batch_size, "device": "cpu", "compile": "off",
                  "ema": 0.999 if name in ("ddpm", "small-unet") else 0.0},
    }  # fmt: skip
    config = configs.load(tables, catalog)
    cpu = torch.device("cpu")
    data = load(dataset_of(config.dataset, classes.datasets), cpu, seed=0)
    return Trainer(classes.models[config.model.name], config, data, cpu, ranks=ranks or ALONE)


def health(name: str, settings: Settings, base: Path, root: str) -> Figure:
    """Examples in a second of the processor with `train.health_every` as it is by default ÷ without.

    A pair is two steps, one of them with a measurement, whose extra time is spread over as many steps as lie between
    two measurements.
    """
    trainer = trainer_of(name, root)
    train = trainer.config.train
    between, batch_size = train.health_every, train.batch_size

    def cost(every: int) -> float:
        train.health_every = every
        begun = time.process_time()
        trainer.train_step()
        return time.process_time() - begun

    pairs = []
    for number in range(WARM + max(30, 3 * settings.pairs)):
        plain, watched = cost(0), cost(1)
        if number >= WARM:
            pairs.append((batch_size / (plain + (watched - plain) / between), batch_size / plain))
        trainer.meter.flush()
    return ratio(f"health-{name}", f"{WHAT[name]}, health ÷ without", pairs, 0.98, "images/s")


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Figure]] = {
    f"health-{name}": functools.partial(health, name) for name in WHAT
}
