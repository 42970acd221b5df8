"""A sweep of three trials that learns, whose process and workers are killed at random moments, and gone on with.

In the end it must have what a sweep has that nobody touched: three trials at the same points, each run with the same
bits, none left running.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.attack import bits
from tests.attack.outcome import Attack, Outcome, Plan
from tests.waiting import wait_for
from tui_gen import presence, runs
from tui_gen.search import specs
from tui_gen.search.specs import TrialRow

SWEEPS, TRIALS = 2, 3
SPACE = "train.phases.vae.lr=1e-4..1e-2:log,latent=4|8"
PATIENCE = 180.0
"""Seconds for a sweep to come to its end, once it is left alone."""


def sweep(plan: Plan) -> Iterator[Outcome]:
    """Sweeps that are killed at random moments until they have come to their end."""
    row = Outcome("SIGKILL", "a sweep of three trials")
    whole = plan.folder("sweep-whole")
    if words := _ended(_start(whole)):
        row.take([words], f"the undisturbed one ({whole})")
        yield row
        return
    for number in range(SWEEPS):
        if plan.over():
            break
        root, dice = plan.folder(f"sweep-{number}"), plan.dice(f"sweep {number}")
        killed = [_killed_once(root, dice, of_worker) for of_worker in (False, True)]
        wrong = [_ended(_start(root))]
        row.take([*filter(None, wrong), *_wrong(whole, root)], f"sweep {number}, {', then '.join(killed)} ({root})")
    yield row


def _start(root: Path) -> subprocess.Popen[bytes]:
    words = ["sweep", "vae-digits", "--space", SPACE, "--trials", str(TRIALS), "--jobs", "1", "--pruner", "none",
             "--name", "killed", "--set", "train.steps=800", "--set", "preview.every_seconds=0",
             "--set", "checkpoint.every_steps=90", "--runs", str(root)]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "tui_gen", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def _ended(process: subprocess.Popen[bytes]) -> str:
    """Wait for a sweep that nobody touches; why it failed, if it did."""
    try:
        _, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "it does not come to its end"
    return "" if process.returncode == 0 else err.decode(errors="replace").strip()[-300:]


def _killed_once(root: Path, dice: random.Random, of_worker: bool) -> str:
    """SIGKILL the sweep's process somewhere in the run of a trial, and with `of_worker` that trial's worker, too."""
    process = _start(root)
    step, seen = dice.randrange(1, 700), len(runs.list_runs(root))

    def far_enough() -> bool:
        infos = runs.list_runs(root)
        return process.poll() is not None or any(info.live and info.step >= step for info in infos[: seen + 1])

    wait_for(far_enough, 120, "a trial that trains")
    live = [Path(info.path) for info in runs.list_runs(root) if info.live]
    process.kill()
    process.communicate()
    for path in live if of_worker else ():
        info = runs.worker_of(path)
        if info is not None and presence.alive(info):
            with contextlib.suppress(ProcessLookupError):
                os.kill(info.pid, signal.SIGKILL)
    return f"its process{' and a worker' if of_worker else ''} at about step {step}"


def _wrong(whole: Path, root: Path) -> list[str]:
    expected, found = _rows(whole), _rows(root)
    wrong = [] if len(found) == TRIALS else [f"there are {len(found)} trials"]
    for left, right in zip(expected, found):
        if right.state != "done":
            wrong.append(f"trial {right.number} is {right.state}: {right.reason}")
        elif (left.values, left.best) != (right.values, right.best):
            wrong.append(f"trial {right.number} has {right.values}: {right.best}, not {left.values}: {left.best}")
        else:
            differences = bits.differences(whole / left.run, root / right.run)
            # Which units are dead is measured over the steps since it was last, which a kill cuts short.
            wrong += [f"trial {right.number}: {words}" for words in differences if "health/dead_units" not in words]
    if len(runs.list_runs(root)) != TRIALS:
        wrong.append(f"there are {len(runs.list_runs(root))} runs")
    return wrong


def _rows(root: Path) -> list[TrialRow]:
    return specs.trials(root, "killed").rows


ATTACKS: dict[str, Attack] = {"sweeps": sweep}
