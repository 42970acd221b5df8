"""Benchmark of the queue: how soon the workbench says that what the form describes was queued."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import Figure, Settings
from tests.bench_workbench import WORKBENCH, sockets
from tests.pty_terminal import KITTY, PtyTerminal
from tests.waiting import wait_for
from tui_gen import runs
from tui_gen.queue import queueing

MOST = 200.0
"""Milliseconds from the key to the words on the screen, at most."""


def queued(settings: Settings, base: Path, root: str) -> Figure:
    """Shift+F5 with the warm worker, which is asked whether the model agrees, until the screen says that it is queued.

    The queue is held, so that nothing trains beside it.
    """
    taken = len(sockets())
    queueing.hold(runs.default_root())
    times: list[float] = []
    with PtyTerminal(WORKBENCH, 120, 40, KITTY) as terminal:
        terminal.wait_for_text("press F5")
        wait_for(lambda: len(sockets()) > taken, 60, "the warm worker")
        terminal.wait_quiet(1.0)
        for number in range(1, max(5, settings.pairs) + 1):
            pressed = time.monotonic()
            terminal.press("shift+f5")
            terminal.wait_for_text(re.compile(rf"Queued as {number}:"), 60)
            times.append(1000 * (time.monotonic() - pressed))
            terminal.wait_quiet(0.5)
    queueing.clear(runs.default_root(), waiting=True)
    value = statistics.median(times)
    what = "Shift+F5 → the screen says that it is queued"
    return Figure("queue", what, value, min(times), max(times), f"≤ {MOST:g} ms", value <= MOST, "", "ms")


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Figure]] = {"queue": queued}
