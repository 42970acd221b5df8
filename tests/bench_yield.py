"""Benchmark of giving the device back: how soon the workbench says that a run which trains does so, and has."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests import bench_trainer
from tests.bench import Figure, Settings
from tests.bench_workbench import WORKBENCH
from tests.pty_terminal import KITTY, PtyTerminal

MOST = 200.0
"""Milliseconds from the key to the words on the screen that tell what it does, at most."""
WORDS, DONE = re.compile("giving its device back|gave its device back"), "gave its device back"


def yielded(settings: Settings, base: Path, root: str) -> Iterable[Figure]:
    """Ctrl+Y on the MLP VAE until the screen says that its device is being given back, and until it has been; F6 lets
    it go on each time.
    """
    told: list[float] = []
    done: list[float] = []
    run = bench_trainer.make_run(bench_trainer.tables_of("vae", root))
    with bench_trainer.Worker(run) as worker, PtyTerminal([*WORKBENCH, "attach", str(run)], 120, 40, KITTY) as terminal:
        terminal.wait_for_text("running", 60)
        for _ in range(max(3, settings.pairs)):
            worker.speed(1.0)  # it trains
            pressed = time.monotonic()
            terminal.press("ctrl+y")
            for words, times in ((WORDS, told), (DONE, done)):
                terminal.wait_for_text(words, 60)
                times.append(1000 * (time.monotonic() - pressed))
            terminal.wait_gone(DONE, 60)
            terminal.press("f6")
            terminal.wait_for_text("▶ running", 60)  # the log still says that it was paused
    what = "Ctrl+Y → the screen says that a run which trains"
    yield _figure(f"{what} gives its device back", told, MOST)
    yield _figure(f"{what} has given it back", done, None)


def _figure(what: str, times: list[float], most: float | None) -> Figure:
    value, aim = statistics.median(times), f"≤ {most:g} ms" if most else "–"
    return Figure("yield", what, value, min(times), max(times), aim, most is None or value <= most, "", "ms")


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Iterable[Figure]]] = {"yield": yielded}
