"""Whether a resume is exact: a run that nobody touches, one that is killed and resumed, and what of them differs."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from tui_gen import children, events, launch, presence, runs
from tui_gen.log import event_log
from tui_gen.view import RunView

PARTS = 3
"""Checkpoints between two kills, on the whole."""


class Train(Protocol):
    """Trains a run in a process of its own, to its end or until it is killed."""

    def __call__(self, run: Path, resume: bool, die_at: int | None) -> int:
        """The process's exit status: minus the number of the signal that killed it. `die_at` is the step, counted from
        0, in which it is to be killed."""


Alike = Callable[[Path, Path], list[str]]
"""What differs between the last checkpoints of two runs, in words that begin with names."""


@dataclass
class Kill:
    """One kill: the index of the step in which, and after how many the next worker went on (None: it never did)."""

    step: int
    resumed: int | None = None


@dataclass
class ResumeCheck:
    """What came of it. `trouble` says why nothing can be told, if so; `differences` are names of what is not the same,
    tensors first; `metric` is the first in the logs of which a value differs, at the step of index `metric_step`."""

    kills: list[Kill] = field(default_factory=list)
    device: str = ""
    trouble: str = ""
    differences: list[str] = field(default_factory=list)
    metric: str = ""
    metric_step: int = 0

    @property
    def passed(self) -> bool:
        """Whether every bit is the same."""
        return not (self.trouble or self.differences or self.metric)


def moments(steps: int, kills: int, every: int, seed: int) -> list[int]:
    """The steps in which a run of so many is killed, in order: drawn at random, once there is a checkpoint, and where
    some steps after one are lost, as far as the length allows it."""
    dice = random.Random(seed)
    steps_after = [step for step in range(every, steps) if (step + 1) % every]
    choice = steps_after if len(steps_after) >= kills else list(range(steps))
    return sorted(dice.sample(choice, min(kills, len(choice))))


def cadence(steps: int, kills: int) -> int:
    """Steps between two checkpoints: so that most kills come after one of their own."""
    return max(1, steps // (PARTS * (kills + 1)))


def verify(reference: Path, trial: Path, dies_at: list[int], train: Train, alike: Alike) -> ResumeCheck:
    """Train `reference` to its end, then `trial` (a copy of its config) with a kill in each of these steps."""
    verdict = ResumeCheck([Kill(step) for step in dies_at])
    train(reference, False, None)
    state, step, reason = runs.state_of(reference)
    if state != "finished":
        verdict.trouble = f"the run that nobody touched {_ended(reference, state, step, reason)}"
        return verdict
    verdict.device = _device(reference)
    runs.write_atomic(trial / runs.CONFIG, (reference / runs.CONFIG).read_bytes())  # with the runs that it names
    for number, kill in enumerate(verdict.kills):
        status = train(trial, number > 0, kill.step)
        if status != -signal.SIGKILL:
            state, step, reason = runs.state_of(trial)
            words = f"the run that was to be killed in step {events.made(kill.step)}"
            verdict.trouble = f"{words} {_ended(trial, state, step, reason)}"
            return verdict
    train(trial, bool(verdict.kills), None)
    resumes = [event.step for event in event_log.read(trial / runs.LOG, events.Resume)]  # type: ignore[attr-defined]
    for kill, resumed in zip(verdict.kills, resumes):
        kill.resumed = resumed
    state, step, reason = runs.state_of(trial)
    if state != "finished":
        verdict.trouble = f"the run that was killed and resumed {_ended(trial, state, step, reason)}"
        return verdict
    verdict.differences = alike(reference, trial)
    verdict.metric, verdict.metric_step = first_difference(reference, trial)
    return verdict


def first_difference(one: Path, other: Path) -> tuple[str, int]:
    """The metric whose value differs first in two runs' logs, and the index of its step; no name where none does."""
    views = [RunView.read(path) for path in (one, other)]
    found: list[tuple[int, str]] = []
    for name in sorted(views[0].series.keys() | views[1].series.keys()):
        curves = [view.series.get(name) for view in views]
        if curves[0] is None or curves[1] is None:
            there = next(curve for curve in curves if curve is not None)
            found.append((int(there.steps[0]) if len(there.steps) else 1, name))
            continue
        (steps, values), (others, other_values) = ((curve.steps, curve.values) for curve in curves if curve is not None)
        length = min(len(steps), len(others))
        same = (steps[:length] == others[:length]) & (
            (values[:length] == other_values[:length]) | (np.isnan(values[:length]) & np.isnan(other_values[:length]))
        )
        if not same.all():
            place = int(np.argmin(same))
            found.append((int(min(steps[place], others[place])), name))
        elif len(steps) != len(others):
            longer = steps if len(steps) > len(others) else others
            found.append((int(longer[length]), name))
    return (min(found)[1], events.index(min(found)[0])) if found else ("", 0)


def _device(run: Path) -> str:
    plan = next(iter(event_log.read(run / runs.LOG, events.Plan)), None)
    return plan.device if isinstance(plan, events.Plan) else ""


def _ended(run: Path, state: str, step: int, reason: str) -> str:
    last = " | ".join(runs.last_log_lines(run, 2)) if state == "interrupted" else ""
    return f"{state} at step {step:,}{': ' if reason or last else ''}{reason or last}"


@contextlib.contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Whatever ends the block, no worker of a run in this folder lives on."""
    try:
        yield
    finally:
        for _, path in runs.folders(folder):
            info = presence.worker_of(path)
            if info is not None and presence.here(info) and presence.alive(info) and presence.about(info, Path(path)):
                with contextlib.suppress(OSError):
                    os.kill(info.pid, signal.SIGKILL)


def start(run: Path, resume: bool, die_at: int | None, model_dirs: list[str]) -> subprocess.Popen[bytes]:
    """A worker that is killed in a step, if one is given, and in any case with this process. Raises OSError."""
    words: list[object] = [run, *(["--resume"] if resume else [])]
    words += ["--die-at", die_at] if die_at is not None else []
    with open(run / "worker.log", "ab") as log:
        return children.start(
            "tui_gen.train.offline.mortal", *words,
            env=launch.environment(model_dirs), stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def alike(one: Path, other: Path) -> list[str]:
    """What differs between the last checkpoints of two runs, as a process with PyTorch finds it. Raises RunError."""
    done = children.run(
        "tui_gen.train.offline.alike", one, other, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        words = children.fault([line for line in done.stderr.splitlines() if line.strip()])
        raise runs.RunError(f"the checkpoints cannot be compared: {words}")
    return msgspec.json.decode(done.stdout, type=list[str])
