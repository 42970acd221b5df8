"""Benchmark of giving the device back: how soon the workbench says that a run which trains has done so."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests import bench_trainer
from tests.bench import Figure, Settings
from tests.bench_workbench import WORKBENCH
from tests.pty_terminal import KITTY, PtyTerminal

MOST = 200.0
"""Milliseconds from the key to the words on the screen, at most."""
WORDS = "gave its device back"


def yielded(settings: Settings, base: Path, root: str) -> Figure:
    """Ctrl+Y on the MLP VAE until the screen says that its device was given back; F6 lets it go on each time."""
    times: list[float] = []
    run = bench_trainer.make_run(bench_trainer.tables_of("vae", root))
    with bench_trainer.Worker(run) as worker, PtyTerminal([*WORKBENCH, "attach", str(run)], 120, 40, KITTY) as terminal:
        terminal.wait_for_text("running", 60)
        for _ in range(max(3, settings.pairs)):
            worker.speed(1.0)  # it trains
            pressed = time.monotonic()
            terminal.press("ctrl+y")
            terminal.wait_for_text(WORDS, 60)
            times.append(1000 * (time.monotonic() - pressed))
            terminal.wait_gone(WORDS, 60)
            terminal.press("f6")
            terminal.wait_for_text("▶ running", 60)  # the log still says that it was paused
    value = statistics.median(times)
    what = "Ctrl+Y → the screen says that a run which trains gave its device back"
    return Figure("yield", what, value, min(times), max(times), f"≤ {MOST:g} ms", value <= MOST, "", "ms")


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Figure]] = {"yield": yielded}
