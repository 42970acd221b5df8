"""Runs that are steered by hand and killed in between: run again from their config, they end with the same bits.

Edits are made at random moments, some while the run is paused; the worker is killed after them, so that some are lost
with the steps after the last checkpoint and must be made again. One edit is planned in the config from the start.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

from tests import small_runs
from tests.attack import bits, forked
from tests.attack.kills import config_of
from tests.attack.outcome import Attack, Outcome, Plan
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import control, launch, runs

FAMILY, STEPS = "VAE", 300
TRIALS, SESSIONS, EDITS = 8, 3, 3
EDITED = {
    "train.phases.vae.lr": (1e-4, 3e-3), "train.phases.vae.weight_decay": (0.0, 0.01), "model.beta": (0.1, 4.0),
}  # fmt: skip


def steered(plan: Plan) -> Iterator[Outcome]:
    """A row: runs that were steered, and what they are run again."""
    row, dice, made = Outcome("steering", "edits, pauses and kills, then run again"), plan.dice("steered"), 0
    for trial in range(TRIALS):
        if plan.over():
            break
        root = plan.folder(f"steered-{trial}")
        run, wrong = runs.create(root / "steered", FAMILY, config_of(FAMILY, steps=STEPS)), []
        for session in range(SESSIONS):
            child = forked.worker(run, resume=session > 0)
            made += steer(run, child, dice)
            child.wait(dice.uniform(0, 0.3))
            child.end()
            if runs.state_of(run)[0] == "finished":
                break
        if runs.state_of(run)[0] != "finished":
            child = forked.worker(run, resume=True)
            if child.wait() is None:
                child.end()
                wrong.append("the last resume hangs")
        again = catalogs.resolve(str(run), small_runs.built()[0])
        other = runs.create(root / "again", FAMILY, configs.dumps(again))
        child = forked.worker(other)
        if child.wait() is None:
            child.end()
        row.take(wrong + bits.differences(other, run), f"{run}, with {again.edits}")
    row.detail = f"{made} edits by hand"
    yield row


def steer(run: Path, child: forked.Child, dice: random.Random) -> int:
    """Make a few edits at moments as they come; how many were made."""
    made = 0
    for _ in range(EDITS):
        if child.wait(dice.uniform(0.05, 0.3)) is not None:
            break
        key = dice.choice(list(EDITED))
        with contextlib.suppress(control.ControlError):  # it is not up yet, or has just ended
            paused = dice.random() < 0.3
            if paused:
                launch.ask_run(run, "pause", timeout=30)
            launch.ask_run(run, "edit", key=key, value=round(dice.uniform(*EDITED[key]), 6), timeout=30)
            made += 1
            if paused:
                launch.ask_run(run, "resume", timeout=30)
    return made


ATTACKS: dict[str, Attack] = {"steering": steered}
