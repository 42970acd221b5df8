"""Benchmarks of forks of a run of 50,000 steps: how soon the workbench asks how, and how long it takes to make one."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.bench import Figure, Settings
from tests.bench_exports import STEPS, long_run
from tests.bench_workbench import WORKBENCH
from tests.pty_terminal import KITTY, PtyTerminal
from tui_gen import catalog as catalogs
from tui_gen import checkpoints, forking
from tui_gen import config as configs

MOST = 200.0
"""Milliseconds from the key to the question on the screen, at most."""


def forked(settings: Settings, base: Path, mnist: str) -> Iterable[Figure]:
    """The key on the losses of a run until the question is on the screen; and a fork of it, made."""
    run = long_run(base / "forked")
    folder = checkpoints.directory(run, STEPS // 2)
    folder.mkdir()
    for name in ("model.safetensors", "state.pt"):
        (folder / name).write_bytes(bytes(1 << 20))
    sums = {name: checkpoints.sum_of(folder / name) for name in ("model.safetensors", "state.pt")}
    (folder / checkpoints.META).write_bytes(checkpoints.sealed(checkpoints.Meta(STEPS // 2, 1.0, "here", files=sums)))
    times: list[float] = []
    with PtyTerminal([*WORKBENCH, "attach", str(run)], 200, 50, KITTY) as terminal:
        terminal.wait_for_text("3 Losses")
        terminal.wait_quiet(1.0, 60)
        terminal.press("3")
        terminal.wait_quiet(0.5)
        for _ in range(max(5, settings.pairs)):
            pressed = time.monotonic()
            terminal.press("F")
            terminal.wait_for_text("A new run with its past", 60)
            times.append(1000 * (time.monotonic() - pressed))
            terminal.press("escape")
            terminal.wait_quiet(0.3)
    yield _figure("F → the question how to fork is on the screen", times, MOST)
    catalog, made = catalogs.read(), []
    for _ in range(max(3, settings.pairs // 2)):
        start = time.perf_counter()
        point = forking.place_of(run)
        tables = configs.override(forking.settings_at(run, point.step, catalog), [f"train.steps={STEPS}"], catalog)
        plan = forking.planned(point, tables, catalog)
        forking.make(point, plan, base / "forks", catalog)
        made.append(1000 * (time.perf_counter() - start))
    yield _figure("a fork of 20 metrics × 25,000 steps is made, and can be started", made, 1000.0)


def _figure(what: str, times: list[float], most: float) -> Figure:
    value = statistics.median(times)
    return Figure("runs-forks", what, value, min(times), max(times), f"≤ {most:g} ms", value <= most, "", "ms")


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Iterable[Figure]]] = {"runs-forks": forked}
