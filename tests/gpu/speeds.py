"""How fast a device trains: against plain loops, against its own limit, with a workbench beside it; and what waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision import datasets, transforms

from tests import bench, bench_trainer, bench_workbench, small_recipes, small_runs, textbook
from tests.gpu import pretend
from tests.gpu.checking import Result, Setting, advanced, make_run, median_of, small, trainer
from tui_gen import config as configs
from tui_gen import events, launch, runs
from tui_gen.log import event_log
from tui_gen.train.data import dataset_of, load
from tui_gen.train.engine import compiling, devices
from tui_gen.train.engine.trainer import Trainer

FAMILIES = ("vae", "gan", "wgan-gp", "dcgan", "ddpm")
SIDES = {torch.float32: 4096, torch.bfloat16: 8192, torch.float16: 8192}
PRETENDED = ("vae-digits", "gan", "wgan-gp", "vq-vae-digits", "flow-matching", "ddpm-ring")


def limits(place: torch.device, quick: bool) -> dict[torch.dtype, float]:
    """Multiplications and additions a second of big products of matrices, by their type."""
    found = {}
    for kind, side in SIDES.items() if place.type != "cpu" else ((torch.float32, 1024),):
        side = 256 if quick else side
        left, right = (torch.randn(side, side, device=place).to(kind) for _ in range(2))
        best = 0.0
        for _ in range(2 if quick else 6):
            devices.wait_for(place)
            start = time.perf_counter()
            for _ in range(4):
                left @ right
            devices.wait_for(place)
            best = max(best, 4 * 2 * side**3 / (time.perf_counter() - start))
        found[kind] = best
    return found


class _Everywhere:
    """Says that nobody asks in which module operations are: its hooks cannot stand gradients taken within a loss."""

    parents = frozenset({"Global"})

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


def operations(made: Trainer, steps: int) -> int:
    """Multiplications and additions of so many steps, those of products and convolutions."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _Everywhere()
    with counter:
        advanced(made, steps)
    return int(counter.get_total_flops())


def limit(setting: Setting) -> Iterator[Result]:
    """What the device can do at most, by the products of this very run."""
    for kind, rate in limits(setting.place, setting.quick).items():
        yield Result(f"limit {str(kind).removeprefix('torch.')}", None, f"{rate / 1e12:.3g} TFLOP/s")


def _config(family: str, setting: Setting, **more: Any) -> configs.RunConfig:
    model, batch_size, size = bench_trainer.MODELS[family]
    tables = {
        "name": family, "model": model, "dataset": {"name": "mnist", "root": setting.root, "size": size},
        "train": {"steps": 10**8, "batch_size": batch_size, "device": setting.device, **more},
    }  # fmt: skip
    return configs.load(tables, small_runs.built()[0])


def _ours(made: Trainer, seconds: float) -> float:
    steps, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        for _ in range(8):
            made.train_step()
        steps += 8
        made.meter.flush()  # as often as a run does at most; waits for the device
    return steps * made.stream.batch_size / spent if spent else 0.0


def _theirs(step: textbook.Step, batches: Iterator[torch.Tensor], place: torch.device, seconds: float) -> float:
    images, start = 0, time.perf_counter()
    with place:
        while (spent := time.perf_counter() - start) < seconds:
            batch = next(batches)
            step(batch)
            images += len(batch)
    return images / spent


def _loader(name: str, batch_size: int, after: list[Any], setting: Setting) -> Iterator[torch.Tensor]:
    before = [transforms.Resize(32)] if name == "dcgan" else []
    change = transforms.Compose([*before, transforms.ToTensor(), *after])
    data = datasets.MNIST(setting.root, train=True, transform=change)
    while True:
        with torch.device("cpu"):
            loader = iter(DataLoader(data, batch_size=batch_size, shuffle=True, drop_last=True))
        while True:
            with torch.device("cpu"):
                batch = next(loader, None)
            if batch is None:
                break
            yield batch[0].to(setting.place)


def speed(family: str) -> Callable[[Setting], Iterator[Result]]:
    """Images a second of a family: this trainer's ÷ those of the plain loop, as it is and with its data at hand."""

    def measure(setting: Setting) -> Iterator[Result]:
        place, (pairs, seconds) = setting.place, ((1, 0.1) if setting.quick else (3, 1.0))
        build, batch_size, after = textbook.LOOPS[family]
        torch.manual_seed(0)
        with place:
            networks, step = build()
        loader = _loader(family, batch_size, after, setting)
        at_hand = [next(loader) for _ in range(2 if setting.quick else 64)]
        made = trainer(_config(family, setting), place)
        assert made.model.parameter_count() == sum(p.numel() for net in networks for p in net.parameters())
        forms = {"": made}
        if made.model.compiles and place.type == "cuda":
            forms[" captured"] = trainer(_config(family, setting), place)
            compiling.apply(forms[" captured"], lambda words: None)
        flops = operations(made, 10) / (10 * batch_size)
        rate = limits(place, setting.quick).get(made.precision, 0.0)
        for form, ours in forms.items():
            advanced(ours, 4 if setting.quick else 30)
            for words, batches in (("plain loop", loader), ("plain loop with data at hand", _again(at_hand))):
                found = []
                for _ in range(pairs):
                    theirs = _theirs(step, batches, place, seconds)
                    found.append((_ours(ours, seconds), theirs))
                ratio, low, high = median_of(found)
                mean = sum(mine for mine, _ in found) / len(found)
                share = f", {mean * flops / rate:.1%} of the limit" if rate else ""
                kind = str(ours.precision).removeprefix("torch.")
                detail = f"{mean:,.0f} images/s in {kind}{share}; spread {low:.2f}–{high:.2f}; ÷ {words}"
                yield Result(f"{family}{form}", None, f"{ratio:.2f} ×", detail)

    return measure


def _again(batches: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    while True:
        yield from batches


def waits(setting: Setting) -> Iterator[Result]:
    """That no step of any family waits for the device: each is made with waiting forbidden.

    Where there is no CUDA device, by one that is pretended: a few recipes, whose tensors have no numbers to wait for.
    """
    if setting.place.type != "cuda":
        yield from _pretended(setting)
        return
    for family in small_runs.SMALL:
        made = advanced(small(family, setting.place), 12)  # what is made once may wait
        devices.wait_for(setting.place)
        torch.cuda.set_sync_debug_mode("error")
        fault = ""
        try:
            advanced(made, 3)
        except RuntimeError as error:
            fault = str(error).partition("\n")[0]
        finally:
            torch.cuda.set_sync_debug_mode("default")
        yield Result(f"never waits: {family}", not fault, "held" if not fault else "waits", fault)


def _pretended(setting: Setting) -> Iterator[Result]:
    _, classes = small_runs.built()
    for name in PRETENDED[: 1 if setting.quick else None]:
        made = small_recipes.config(name, train__health_every=1)
        data = load(dataset_of(made.dataset, classes.datasets), torch.device("cpu"), seed=0)
        fault = ""
        try:
            with pretend.pretend_gpu() as place:
                advanced(Trainer(classes.models[made.model.name], made, pretend.moved(data), place, lambda _: 9), 3)
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        yield Result(f"pretended GPU: {name}", not fault, "held" if not fault else "does not", fault)


def worker(setting: Setting) -> Iterator[Result]:
    """A run in a worker of its own on the device: tells of the device, and its checkpoint loads on any."""
    from tui_gen.train.offline.sample import sample

    steps = setting.steps(300)
    path = make_run(setting, "vae", train__steps=steps, train__compile="off" if setting.quick else "on")
    process = launch.start(path)
    process.wait(240)
    told = list(event_log.Follower(path / runs.LOG).poll())
    state, step, reason = runs.state_of(path)
    notes = [event.text for event in told if isinstance(event, events.Note)]
    words = reason or "; ".join(text for text in notes if "compil" in text)
    yield Result("a worker", (state, step) == ("finished", steps), f"{state} at {step}", words)
    loads = [event.load for event in told if isinstance(event, events.Usage)]
    gpu = loads[-1].gpu if loads else None
    if setting.place.type == "cuda":
        known = gpu is not None and gpu.total > 0 and gpu.own > 0
        yield Result("the GPU's figures", known, "told" if known else "not told", str(gpu))
    target = b"".join(sample(path, 4, 0, None, None, "cpu"))
    yield Result("its samples on the CPU", target.startswith(b"\x89PNG"), f"{len(target)} bytes")


def attached(setting: Setting) -> Iterator[Result]:
    """What a workbench that shows a run costs it, in turns with one that is stopped."""
    plain = bench_trainer.tables_of

    def on_the_device(name: str, root: str, **more: Any) -> dict[str, Any]:
        return plain(name, root, device=setting.device, **more)

    measured = bench.Settings(1, 0.5) if setting.quick else bench.Settings(4, 1.0)
    with mock.patch.object(bench_trainer, "tables_of", on_the_device):
        figure = bench_workbench.attached(measured, Path(setting.folder), setting.root)
    yield Result("workbench attached", None, f"{figure.value:.3f} ×", f"÷ headless; {figure.detail}")
