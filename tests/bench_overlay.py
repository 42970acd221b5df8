"""Benchmark of a comparison: how soon eight long runs are drawn over each other, and how much memory that takes."""

from __future__ import annotations

import json
import subprocess
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.bench import Figure, Settings
from tests.bench_runs import row
from tests.pty_terminal import ROOT
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import events
from tui_gen.log import event_log

RUNS, STEPS, METRICS, FAST, SIZE = 8, 50_000, 20, 250, (200, 50)
OPEN = """
import asyncio, json, sys, time
from pathlib import Path
from tests.bench_viewer import resident
from tests.shell import Workbench
import os

async def measure(root, size):
    app = Workbench(root)
    async with app.run_test(size=size) as pilot:
        pane = None
        while pane is None or not hasattr(pane, "compare"):
            await pilot.pause()
            pane = app.workspace.pane("compare")
        for name in ("compare", "losses"):  # what all panes of curves import is there, as after any run was looked at
            app.workspace.open(name)
            await pilot.pause(0.5)
        app.workspace.use_layout("compare")
        app.workspace.open("compare")
        before, begun, cpu = resident(os.getpid()), time.perf_counter(), time.process_time()
        pane.compare(sorted(root.iterdir()))
        drawn = lambda: [plot for plot in pane.plots if plot.display and plot.drawing]
        while pane._reading or not drawn():
            await asyncio.sleep(0)
        took, cpu = time.perf_counter() - begun, time.process_time() - cpu
        assert all(len(run.view.series) == METRICS and len(run.view.series["vae/metric_0"]) == STEPS
                   for run in pane.compared)
        await pilot.pause()
        print(json.dumps({"seconds": took, "cpu": cpu, "MB": resident(os.getpid()) - before, "plots": len(drawn())}))

METRICS, STEPS = int(sys.argv[2]), int(sys.argv[3])
asyncio.run(measure(Path(sys.argv[1]), (int(sys.argv[4]), int(sys.argv[5]))))
"""


def make_runs(root: Path, each: int) -> None:
    """Ended runs whose workers wrote so many steps at a time."""
    dice, catalog = np.random.default_rng(0), catalogs.read()
    text = configs.dumps(catalogs.resolve("vae-digits", catalog, []), catalog)
    names = [f"vae/metric_{number}" for number in range(METRICS)]
    for number in range(RUNS):
        run = root / f"20260101-000{number}-vae-digits-{number:04x}"
        run.mkdir(parents=True)
        (run / "config.toml").write_text(text)
        (run / "worker.lock").touch()
        writer = event_log.EventWriter(run / "events.jsonl")
        plan = events.Plan(steps=STEPS, steps_per_epoch=500, batch_size=64)
        lines: list[events.Event] = [events.State(state="running", step=0), plan]
        for start in range(0, STEPS, each):
            values = 20 * 0.9999 ** np.arange(start, start + each) + dice.normal(size=(METRICS, each))
            columns = (array("f", column.astype(np.float32).tobytes()) for column in values)
            lines.append(events.Metrics(start=start, values=dict(zip(names, columns))))
            if start % 100 == 0:
                seconds = (start + each) / 100
                lines.append(
                    events.System(step=start + each, steps_per_second=100, images_per_second=6400, seconds=seconds)
                )
        writer.write(*lines, events.State(state="finished", step=STEPS))
        writer.close()


def overlay(settings: Settings, base: Path, _: str) -> Iterator[Figure]:
    """Both rows of fast runs, and the time for slow ones."""
    what = f"{RUNS} runs × {STEPS:,} steps × {METRICS} metrics"
    for name, each, turns in (("fast", FAST, max(3, settings.pairs // 3)), ("slow", 1, 1)):
        root = base / name
        make_runs(root, each)
        command = [sys.executable, "-c", OPEN, str(root), str(METRICS), str(STEPS), *map(str, SIZE)]
        done = [
            json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
            for _ in range(turns)
        ]
        detail = f"asked → all drawn in {done[0]['plots']} plots; {min(one['cpu'] for one in done):.2f} s of CPU"
        if name == "slow":
            seconds = done[0]["seconds"]
            yield Figure("overlay-slow", f"{what}, a step an event", seconds, seconds, seconds, "–", True,
                         f"{detail}; curves grow meanwhile", "s", 1)  # fmt: skip
            continue
        yield row("overlay", f"{what}, {FAST} steps an event", [one["seconds"] for one in done], 0.5, "s", 2, detail)
        yield row("overlay-MB", "memory that it takes", [one["MB"] for one in done], 100.0, "MB", 0, "of one process")


BENCHMARKS = {"runs-overlay": overlay}
