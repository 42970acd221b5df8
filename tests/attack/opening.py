"""The workbench, killed at a random moment after F5: a run that has begun trains all the same.

Half of the moments count from the key, half from when the run's folder is there; the worker is warm or not, as it
comes. A workbench that dies before it has read the key starts nothing, and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.attack.outcome import Attack, Outcome, Plan
from tests.pty_terminal import PtyTerminal
from tests.waiting import SLACK, wait_for
from tui_gen import control, launch, runs

TRIALS = 10
LATE = 0.5
"""Seconds within which it is killed."""
WAIT = 120.0
WORKBENCH = [sys.executable, "-m", "tui_gen"]


def killed_after_start(plan: Plan) -> Iterator[Outcome]:
    """A row: how often the run went on, or had not begun."""
    row, dice, nothing = Outcome("SIGKILL", "the workbench, after F5"), plan.dice("workbench"), 0
    for trial in range(TRIALS):
        if plan.over():
            break
        root = plan.folder(f"workbench-{trial}")
        begun = _killed(root, dice, wait_for_folder=trial % 2 == 1)
        nothing += not begun
        row.take(_trains(begun[0]) if begun else [], str(root))
    row.detail = f"{nothing} before the key was read" if nothing else ""
    yield row


def _killed(root: Path, dice: random.Random, *, wait_for_folder: bool) -> list[Path]:
    """Open a workbench, press F5, kill it; the runs that are there a while later."""
    with PtyTerminal(WORKBENCH, 120, 40, env={"TUI_GEN_RUNS": str(root)}) as terminal:
        terminal.wait_for_text("F5 Start")
        time.sleep(dice.uniform(0, 3))  # the worker becomes warm meanwhile, or not
        terminal.press("f5")
        if wait_for_folder:
            with contextlib.suppress(AssertionError):  # none came: the key was not read in time
                wait_for(lambda: _runs_in(root), WAIT / SLACK)
        time.sleep(dice.uniform(0, LATE))
        os.killpg(terminal.process.pid, signal.SIGKILL)
        terminal.process.wait()
    return _runs_in(root)


def _runs_in(root: Path) -> list[Path]:
    return [Path(path) for _, path in runs.folders(root)]


def _trains(run: Path) -> list[str]:
    """What is wrong with a run that nobody looks after any more; ends it."""
    with contextlib.suppress(AssertionError):
        wait_for(lambda: runs.state_of(run)[1] or runs.state_of(run)[0] in runs.ENDED, WAIT / SLACK)
    state, step, reason = runs.state_of(run)
    wrong = [] if step else [f"{state} at step {step}: {reason}"]
    with contextlib.suppress(control.ControlError):
        launch.stop(run, lambda words: None, timeout=WAIT)
    return wrong


ATTACKS: dict[str, Attack] = {"workbench": killed_after_start}
