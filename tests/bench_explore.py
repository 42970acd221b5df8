"""The latent explorer while the run that it looks at trains on: from what is asked to the picture of it."""

from __future__ import annotations

import asyncio
import functools
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from tests import bench_trainer
from tests.bench import Figure, Settings
from tui_gen import control, runs
from tui_gen.app.panes.explore.helper import Helper, start
from tui_gen.exploring import Look, Open, Space, View

AIM = 100.0
"""Milliseconds."""
MODELS = {
    "vae": ("MLP VAE 784-400-20", {"name": "vae", "network": "mlp", "hidden": [400], "latent": 20}),
    "conv-vae": ("conv VAE 28 px", {"name": "vae", "network": "conv", "channels": [32, 64], "latent": 20}),
}


async def _looks(run: Path, count: int) -> list[float]:
    """Milliseconds that each of so many places took, one after the other, on one thread as of every live run."""
    helper, found = Helper(lambda: start([])), []
    try:
        opened = await helper.ask(Open(str(run), None, 1))
        assert isinstance(opened, Space), opened
        view = await helper.ask(Look())
        for number in range(count):
            assert isinstance(view, View), view
            wish = replace(Look(code=view.code), at=(-3 + 6 * (number + 1) / count, 1.0))
            begun = time.perf_counter()
            view = await helper.ask(wish)
            found.append(1000 * (time.perf_counter() - begun))
    finally:
        helper.close()
    return found


def explored(name: str, settings: Settings, base: Path, root: str) -> Figure:
    """Milliseconds from asking for a place of a training run's latent space to its picture; nine in ten take less than
    `high`."""
    what, model = MODELS[name]
    tables = bench_trainer.bare(bench_trainer.tables_of("vae", root, compile="off")) | {"model": model}
    with bench_trainer.Worker(bench_trainer.make_run(tables)) as worker:
        worker.speed(bench_trainer.WARM)
        info = runs.worker_of(worker.run)
        assert info is not None
        control.ask(info.socket, "checkpoint")
        found = asyncio.run(_looks(worker.run, 20 * settings.pairs))
        speed = worker.speed(0.3)
    value, high = statistics.median(found), statistics.quantiles(found, n=10)[-1]
    detail = f"nine in ten within {high:.0f} ms, beside {speed:,.0f} images/s of training"
    return Figure(
        f"explore-{name}", f"a place of its latent space decoded, {what}", value, min(found), high, f"≤ {AIM:g} ms",
        high <= AIM, detail, "ms", 1,
    )  # fmt: skip


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Figure]] = {
    f"explore-{name}": functools.partial(explored, name) for name in MODELS
}
