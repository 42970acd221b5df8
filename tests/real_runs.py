"""Real runs on a pty, for tests: tiny VAEs on digits that train without end, and what must hold of their logs."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fake_worker import make_run
from tests.forked_workers import Forked, forking
from tests.pty_terminal import PLAIN, PtyTerminal
from tests.waiting import wait_for
from tui_gen import events, launch, runs
from tui_gen.log import event_log

TINY = (
    "train.steps=100000000", "train.batch_size=16", "train.threads=1", "train.compile=off", "train.device=cpu",
    "model.hidden=[16]", "model.latent=2", "train.validate_every=1000000000", "preview.every_seconds=0.5",
    "checkpoint.every_minutes=0",
)  # fmt: skip
WORKBENCH = [sys.executable, "-m", "tui_gen"]
COLD = [sys.executable, "-m", "tests.cold_cli"]
"""The same without a warm worker."""


def tiny_run(*assignments: str) -> Path:
    """A run directory of a tiny VAE on digits that would train for hours."""
    return make_run(None, "vae-digits", *TINY, *assignments)


@contextlib.contextmanager
def training(run: Path, resume: bool = False) -> Iterator[Forked]:
    """A real worker that trains it, forked, past its first steps; killed at the end."""
    with forking():
        process: Any = launch.start(run, resume=resume)
        wait_for(lambda: step_of(run) > 0 or process.poll() is not None, 120, lambda: f"steps; {ended_words(run)}")
        assert process.poll() is None, ended_words(run)
        yield process


def ended_words(run: Path) -> str:
    """What the worker said last."""
    return f"{runs.state_of(run)}: " + "\n".join(runs.last_log_lines(run, 12))


def workbench(
    run: Path | None = None, columns: int = 120, rows: int = 40, warm: bool = False, **more: Any
) -> PtyTerminal:
    """The workbench on a pty, showing a run; it keeps a worker warm where the test is about that."""
    more.setdefault("personality", PLAIN)
    command = WORKBENCH if warm else COLD
    return PtyTerminal([*command, "attach", str(run)] if run is not None else command, columns, rows, **more)


def step_of(run: Path) -> int:
    """The last step in the run's log."""
    return runs.state_of(run)[1]


def wait_for_progress(run: Path, by: int = 20, timeout: float = 120.0) -> int:
    """Wait until a run has made more steps; the step."""
    start = step_of(run)
    wait_for(lambda: step_of(run) >= start + by, timeout, lambda: f"step {start + by}; {ended_words(run)}")
    return step_of(run)


def steps_logged(run: Path, metric: str = "vae/loss") -> list[int]:
    """Every step whose value of a metric is in the log, in the order written; after a resume, what it redoes."""
    steps: list[int] = []
    for event in event_log.read(run / "events.jsonl"):
        if isinstance(event, events.Resume):
            steps = [step for step in steps if step < event.step]
        elif isinstance(event, events.Metrics) and metric in event.values:
            steps += range(event.start, event.start + len(event.values[metric]) * event.stride, event.stride)
    return steps


def assert_no_step_lost(run: Path) -> None:
    """Every step from the first to the last is in the log, once."""
    steps = steps_logged(run)
    assert steps and steps == list(range(len(steps)))


def status_step(screen: str) -> int | None:
    """The step in the workbench's status bar."""
    found = re.search(r"\bstep ([\d,]+)(?:/[\d,]+)? ", screen.split("\n")[-2])
    return int(found[1].replace(",", "")) if found else None


def wait_for_step(terminal: PtyTerminal, step: int, timeout: float = 30.0) -> str:
    """Wait until the status bar shows at least this step; the screen."""
    return terminal.wait_until(lambda screen: (status_step(screen) or -1) >= step, timeout, f"step {step:,}")
