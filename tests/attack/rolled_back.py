"""Runs that go back, and are killed while they do: run again headless from their config, they end with the same bits.

By hand, some are sent to a random checkpoint at random moments, with smaller rates, past a batch, or both, live or
between two workers; others diverge and go back by themselves. Whoever goes back is killed around it, and so is the run
that replays it.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import small_runs
from tests.attack import bits, forked
from tests.attack.kills import config_of
from tests.attack.outcome import Attack, Outcome, Plan
from tui_gen import catalog as catalogs
from tui_gen import checkpoints, control, launch, rollbacks, runs
from tui_gen import config as configs
from tui_gen.view import RunView

STEPS, TRIALS, SESSIONS = 300, 6, 3
BY_HAND, BY_ITSELF = "VAE", "VAE that goes back"
MOST_WAIT = 0.3
"""Seconds between what is done to a run and the kill, at most."""


def rolled_back(plan: Plan) -> Iterator[Outcome]:
    """Two rows: runs that a person sent back, and runs that went back by themselves."""
    for family, what in ((BY_HAND, "sent back by hand, killed, replayed"), (BY_ITSELF, "went back, killed, replayed")):
        row, dice, number = Outcome("rollbacks", what), plan.dice(f"rolled back {family}"), 0
        for trial in range(TRIALS):
            if plan.over():
                break
            root = plan.folder(f"rolled-back-{family.replace(' ', '-')}-{trial}")
            run = runs.create(root / "first", family, config_of(family, steps=STEPS, keep_last=99))
            wrong = _trained(run, dice, by_hand=family == BY_HAND)
            events = RunView.read(run).rollbacks
            number += len(events)
            again = catalogs.resolve(str(run), small_runs.built()[0])
            replayed = runs.create(root / "again", family, configs.dumps(again))
            wrong += _trained(replayed, dice)
            if after := RunView.read(replayed).rollbacks:
                wrong.append(f"the replay goes back itself: {after}")
            # Which edits were made by hand and which were planned is in the state, and differs: that is no bit of it.
            wrong += [words for words in bits.differences(replayed, run) if not words.startswith("state.pt: live")]
            row.take(wrong, f"{run}, {[(event.step, event.to, event.factor, event.skipped) for event in events]}")
        row.detail = f"{number} rollbacks"
        yield row


def _trained(run: Path, dice: random.Random, by_hand: bool = False) -> list[str]:
    """Train a run to its end, killed on the way and, `by_hand`, sent back; what is wrong with that."""
    for session in range(SESSIONS):
        child, most = forked.worker(run, resume=session > 0), dice.randint(1, 8)
        before = checkpoints.steps(run)[-1:]
        while len([step for step in checkpoints.steps(run) if [step] > before]) < most and child.wait(0.02) is None:
            pass  # some checkpoints later, however fast it trains beside others
        if by_hand:
            with contextlib.suppress(control.ControlError):  # it has just ended
                launch.ask_run(run, "rollback", timeout=30, **_place(run, dice))
        child.wait(dice.uniform(0, MOST_WAIT))
        child.end()
        if runs.state_of(run)[0] == "finished":
            break
        if by_hand and checkpoints.steps(run):
            _killed_while_it_goes_back(run, dice)
    if runs.state_of(run)[0] != "finished":
        child = forked.worker(run, resume=True)
        if child.wait() is None:
            child.end()
            return ["the last resume hangs"]
    return []


def _place(run: Path, dice: random.Random) -> dict[str, Any]:
    """Where to, and with what: some of what a person may say."""
    have, step = checkpoints.steps(run), runs.state_of(run)[1]
    given: dict[str, Any] = {"rate": round(dice.uniform(0.3, 1.0), 3)} if dice.random() < 0.7 else {}
    if have:
        given["to"] = dice.choice(have)
        if given["to"] < step and (not given.get("rate") or dice.random() < 0.5):
            given["skip"] = dice.randrange(given["to"], step)
    return given


def _killed_while_it_goes_back(run: Path, dice: random.Random) -> None:
    """Have a process take an ended run back, as `tui-gen rollback` does, and kill it some moments later."""
    given = _place(run, dice)
    config = configs.load(configs.read_toml(run / "config.toml"), small_runs.built()[0])
    pid = os.fork()
    if pid == 0:
        try:
            with contextlib.suppress(runs.RunError):
                rollbacks.go_back(run, config, to=given["to"], factor=given.get("rate"), skip=given.get("skip"))
        finally:
            os._exit(0)
    time.sleep(dice.uniform(0, 0.05))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


ATTACKS: dict[str, Attack] = {"rollbacks": rolled_back}
