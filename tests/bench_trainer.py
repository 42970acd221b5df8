"""Benchmarks of the trainer: real runs, headless, against the textbook loops in turn."""

from __future__ import annotations

import contextlib
import functools
import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench import Figure, Settings, ratio
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import events, launch, runs

ROOT = Path(__file__).resolve().parents[1]
WARM = 2.0
"""Seconds of training that are not counted: the first steps are slow everywhere."""
MODELS: dict[str, tuple[dict[str, Any], int, int]] = {
    "vae": ({"name": "vae", "network": "mlp", "hidden": [400], "latent": 20}, 128, 28),
    "gan": (
        {
            "name": "gan", "network": "mlp", "latent": 100, "generator_hidden": [128, 256, 512, 1024],
            "discriminator_hidden": [512, 256], "generator_norm": "batch",
        },
        64, 28,
    ),
    "wgan-gp": (
        {
            "name": "gan", "network": "mlp", "latent": 100, "generator_hidden": [128, 256, 512, 1024],
            "discriminator_hidden": [512, 256], "generator_norm": "batch", "loss": "wasserstein-gp", "n_critic": 5,
        },
        64, 28,
    ),
    "dcgan": (
        {
            "name": "gan", "network": "dcgan", "latent": 100, "generator_channels": [128, 64],
            "discriminator_channels": [64, 128], "generator_norm": "batch",
        },
        64, 32,
    ),
    "ddpm": (
        {"name": "ddpm", "network": "unet", "channels": [32, 64, 64], "attention": True, "schedule": "linear"}, 64, 28,
    ),
}  # fmt: skip


def make_run(name: str, root: str, **train: Any) -> Path:
    """A run that trains a benchmark's model on MNIST without end, and draws nothing once it trains."""
    model, batch_size, size = MODELS[name]
    tables = {
        "name": f"bench-{name}",
        "model": model,
        "dataset": {"name": "mnist", "root": root, "size": size},
        "train": {"steps": 10**8, "batch_size": batch_size, "threads": 2, "device": "cpu",
                  "validate_every": 10**9, **train},
        "preview": {"every_seconds": 0.0, "count": 1},
        "checkpoint": {"every_minutes": 0.0},
    }  # fmt: skip
    catalog = catalogs.ensure()
    return runs.create(runs.default_root(), tables["name"], configs.dumps(configs.load(tables, catalog), catalog))


@contextlib.contextmanager
def worker(run: Path, nice: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """Its worker, started as everybody starts one; killed at the end."""
    process = launch.start(run, nice=nice)
    try:
        yield process
    finally:
        with contextlib.suppress(OSError):
            process.send_signal(signal.SIGKILL)
        process.wait(20)


def speed(run: Path, process: subprocess.Popen[bytes], seconds: float) -> tuple[float, int]:
    """(images/s, parameters) of a run over so many seconds of training, from its own log, after a warm-up."""
    follower, marks, sizes = events.Follower(run / "events.jsonl"), [], [1, 0]

    def done() -> bool:
        for event in follower.poll():
            if isinstance(event, events.Plan):
                sizes[:] = event.batch_size, event.parameters
            elif isinstance(event, events.System) and (marks or event.seconds >= WARM):
                marks.append((event.seconds, event.step))
        if process.poll() is not None:
            raise RuntimeError("the worker ended: " + " | ".join(runs.last_log_lines(run, 3)))
        return len(marks) > 1 and marks[-1][0] - marks[0][0] >= seconds

    # Looks that are few: each one wakes a core that the worker's threads need.
    deadline = time.monotonic() + 300 + 3 * seconds
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError("no measurements in the run's log")
        select.select([], [], [], 0.25)
    (first, start), (last, end) = marks[0], marks[-1]
    return (end - start) / (last - first) * sizes[0], sizes[1]


def ours(name: str, root: str, seconds: float, **train: Any) -> tuple[float, int]:
    """(images/s, parameters) of this trainer."""
    run = make_run(name, root, **train)
    with worker(run) as process:
        return speed(run, process, seconds)


def textbook(name: str, root: str, seconds: float) -> tuple[float, int]:
    """(images/s, parameters) of the textbook loop."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.textbook", name, "--root", root, "--seconds", str(seconds)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return found["images_per_second"], found["parameters"]


def against_the_textbook(name: str, what: str, aim: float, settings: Settings, base: Path, root: str) -> Figure:
    """This trainer's images/s ÷ the textbook loop's."""
    ours(name, root, 0.5)  # torch.compile is tried out once per machine, and its code cached
    pairs = []
    for _ in range(settings.pairs):
        mine, my_size = ours(name, root, settings.seconds)
        theirs, their_size = textbook(name, root, settings.seconds)
        if my_size != their_size:
            raise RuntimeError(f"not the same network: {my_size:,} against {their_size:,} parameters")
        pairs.append((mine, theirs))
    return ratio(name, what, pairs, aim, "images/s")


@contextlib.contextmanager
def busy_neighbour() -> Iterator[None]:
    """A process that keeps one core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait(10)


def busy_core(settings: Settings, base: Path, root: str) -> Figure:
    """The MLP VAE's images/s with another process on one of the two cores ÷ alone."""
    ours("vae", root, 0.5)
    pairs = []
    for _ in range(settings.pairs):
        alone, _ = ours("vae", root, settings.seconds)
        with busy_neighbour():
            disturbed, _ = ours("vae", root, settings.seconds)
        pairs.append((disturbed, alone))
    return ratio("busy-core", "MLP VAE, other core busy ÷ undisturbed", pairs, 0.5, "images/s")


AIMS = {
    "vae": ("MLP VAE 784-400-20 ÷ textbook loop", 3.5),
    "gan": ("MLP GAN ÷ textbook loop", 2.2),
    "wgan-gp": ("MLP WGAN-GP, n_critic 5 ÷ textbook loop", 2.4),
    "dcgan": ("DCGAN 32 px ÷ textbook loop", 1.3),
    "ddpm": ("U-Net DDPM 28 px ÷ textbook loop", 1.3),
}
BENCHMARKS: dict[str, Callable[[Settings, Path, str], Figure]] = {
    name: functools.partial(against_the_textbook, name, what, aim) for name, (what, aim) in AIMS.items()
} | {"busy-core": busy_core}
