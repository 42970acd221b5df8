"""Runs that are forked while they train: whoever forks is killed in the middle of it, and so are the forks.

A fork is there whole or not at all. It ends with the bits of a run that never was disturbed and is told the same from
its first step, though the run that it was forked from be gone; one with other settings than can change while training,
with those of a second fork of the same step that nobody killed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests import small_runs
from tests.attack import bits, forked
from tests.attack.kills import config_of
from tests.attack.outcome import Attack, Outcome, Plan
from tests.attack.steering import steer
from tui_gen import catalog as catalogs
from tui_gen import checkpoints, forking, forks, runs
from tui_gen import config as configs

FAMILY, STEPS, TRIALS, KILLED_FORKS = "VAE", 300, 6, 4
STRUCTURAL = (["train.batch_size=7"], ["train.phases.vae.optimizer=sgd", "train.seed=3"], ["train.ema=0.9"])
"""What can only be changed at a checkpoint."""
LIVE = ([], ["train.phases.vae.lr=2e-4"], ["model.beta=3", "train.phases.vae.clip_norm=0.5"])


def branched(plan: Plan) -> Iterator[Outcome]:
    """Two rows: forks that are made, and what they come to."""
    whole = Outcome("forks", "whoever forks a live run is killed: whole, or not there")
    same = Outcome("forks", "forks that are killed and resumed, the other run gone")
    dice = plan.dice("branched")
    for trial in range(TRIALS):
        if plan.over():
            break
        root = plan.folder(f"branched-{trial}")
        run = runs.create(root / "first", FAMILY, config_of(FAMILY, steps=STEPS, keep_last=50))
        child = forked.worker(run)
        steer(run, child, dice)
        while not checkpoints.steps(run) and child.wait(0.02) is None:
            pass
        for number in range(KILLED_FORKS):
            place = root / f"cut-{number}"
            _kill_while_it_forks(run, place, dice.uniform(0, 0.03))
            whole.take(_half(place), str(place))
        structural = trial % 2 == 1
        changes = dice.choice(STRUCTURAL if structural else LIVE)
        have = checkpoints.steps(run)
        step = dice.choice(have) if structural else dice.randint(have[0], max(have[-1], runs.state_of(run)[1]))
        paths = [_fork(run, root / name, step, changes) for name in ("killed", "spared")]
        child.end()
        shutil.rmtree(run)
        _trained(paths[0], dice)
        if structural:
            _trained(paths[1], None)
            other = paths[1]
        else:
            again = catalogs.resolve(str(paths[0]), small_runs.built()[0])
            other = runs.create(root / "again", FAMILY, configs.dumps(again))
            forked.worker(other).wait()
        same.take(bits.differences(other, paths[0]), f"{paths[0]}, forked at {step} with {changes}")
    yield whole
    yield same


def _fork(run: Path, root: Path, step: int, changes: list[str]) -> Path:
    catalog = small_runs.built()[0]
    point = forking.place_of(run, step)
    tables = configs.override(forking.settings_at(run, point.step, catalog), changes, catalog)
    return forking.make(point, forking.planned(point, tables, catalog), root, catalog)


def _kill_while_it_forks(run: Path, root: Path, after: float) -> None:
    """Have a process fork a run, and kill it so many seconds later."""
    pid = os.fork()
    if pid == 0:
        try:
            _fork(run, root, checkpoints.steps(run)[-1], [])
        finally:
            os._exit(0)
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _half(root: Path) -> list[str]:
    """What is wrong with the runs in a folder: half a fork is none."""
    wrong = []
    for _, path in runs.folders(root):
        origin = forks.origin(path)
        if origin is None or checkpoints.newest_sound(Path(path)) != origin.start:
            wrong.append(f"{path} is half a fork")
    return wrong


def _trained(run: Path, dice: random.Random | None) -> None:
    """Train a fork to its end; with dice, kill it twice on the way."""
    for _ in range(2 if dice is not None else 0):
        child = forked.worker(run, resume=True)
        child.wait(dice.uniform(0.1, 0.6) if dice is not None else 0)
        child.end()
    if runs.state_of(run)[0] != "finished":
        child = forked.worker(run, resume=True)
        if child.wait() is None:
            child.end()


ATTACKS: dict[str, Attack] = {"forks": branched}
