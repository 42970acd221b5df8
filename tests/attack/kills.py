"""The kill matrix: every family, SIGKILL and SIGTERM at random moments and at file operations, resumed bit for bit.

A run is killed several times in a row, each time by a new moment: before it has begun to train, while a run that it
needs is trained first, while it trains, writes a checkpoint, draws, loads, or is about to end. Then it goes on to its
end undisturbed, and must have what a run that nobody touched has.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import small_runs
from tests.attack import bits, forked
from tests.attack.outcome import Attack, Outcome, Plan
from tui_gen import config as configs
from tui_gen import events, launch, runs

KILLS, TERMS, COLD = 9, 3, 4
"""SIGKILLs and SIGTERMs for each family, and SIGKILLs of workers that are started cold."""
A_RUN = 3
"""Kills of one run before it may go on to its end."""
END = 20.0
"""Seconds in which a worker that was asked to stop must have ended; 5 are promised, others may be busy."""

_SHORT: dict[str, Any] = {
    "train__validate_every": 10,
    "checkpoint__every_steps": 6,
    "preview__every_steps": 11,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "autoencoder": ("autoencoder", {}),
    "VAE": ("vae", {"quality__at_end": True, "quality__samples": 50}),
    "VAE that goes back": (
        "vae",
        {
            "train__on_nan": "rollback",
            "model__likelihood": "gaussian",
            "train__phases": {"vae": {"optimizer": "sgd", "lr": 10.0}},
        },
    ),
    "VQ-VAE": ("vq-vae", {}),
    "GAN": ("gan", {}),
    "WGAN-GP": ("gan", {"model__loss": "wasserstein-gp", "model__n_critic": 3, "model__r1_weight": 0.0}),
    "diffusion": ("ddpm", {}),
    "flow matching": ("flow-matching", {}),
    "latent diffusion": ("latent-diffusion", {}),
    "classifier": ("classifier", {}),
    "pretrained classifier": ("pretrained-classifier", {}),
    "augmented classifier": ("augmented-classifier", {}),
    "sequence": ("char-rnn", {}),
}
"""Row → a small configuration (tests/small_runs.py) and what makes it differ."""


def config_of(family: str, steps: int = 40, keep_last: int = 2) -> str:
    """A family's config as TOML, with an edit planned for a step in the middle."""
    name, more = FAMILIES[family]
    made = small_runs.config(name, **_SHORT, **more)
    made.train.steps, made.checkpoint.keep_last = steps, keep_last
    phase = next(iter(made.train.phases))
    made.edits = [{"step": 17, "key": f"train.phases.{phase}.lr", "value": 5e-4}]
    return configs.dumps(made)


@dataclass
class Reference:
    """An undisturbed run of a config: its folder, how long it took, how many file operations it made."""

    family: str
    root: Path
    run: Path
    seconds: float
    places: int


def undisturbed(family: str, root: Path, **more: int) -> Reference:
    """Train a run that nobody touches; `more` as `config_of` takes it."""
    folder = root / "whole"
    run = runs.create(folder, family, config_of(family, **more))
    told = root / "places"
    started = time.monotonic()
    child = forked.worker(run, around=forked.Places(folder, told).counted)
    if child.wait() is None:
        child.end()
    return Reference(family, root, run, time.monotonic() - started, len(forked.operations(told)))


def kills(plan: Plan) -> Iterator[Outcome]:
    """SIGKILL: a row a family, and one of workers that are started cold. SIGTERM: one of all."""
    references: list[Reference] = []
    for family in FAMILIES:
        if plan.over():
            break
        references.append(undisturbed(family, plan.folder(f"kills-{family.replace(' ', '-')}")))
        yield _killed(plan, references[-1])
    if references and not plan.over():
        yield _killed_cold(plan, references[min(1, len(references) - 1)])
        yield _terminated(plan, references)


class Trial:
    """A run that is stopped again and again: what was done to it, and what did not hold."""

    def __init__(self, reference: Reference, folder: str) -> None:
        self.reference = reference
        self.root = reference.root / folder
        self.run = runs.create(self.root, reference.family, config_of(reference.family))
        self.moments: list[str] = []
        self.wrong: list[str] = []
        self._begun = False
        self._saved, self._read = 0, 0

    def start(self, **more: Any) -> forked.Child:
        """The next worker: it begins the run, or goes on with it."""
        child = forked.worker(self.run, resume=self.begins(), **more)
        return child

    def begins(self) -> bool:
        """Take note of where the run is; whether a worker resumes."""
        resume, self._begun = self._begun, True
        self._saved, log = newest_step(self.run), self.run / "events.jsonl"
        self._read = log.stat().st_size if log.exists() else 0
        return resume

    def ended(self) -> None:
        """A worker is gone: did it go on from the newest checkpoint there was, does the run read as it is?"""
        log = self.run / "events.jsonl"
        text = log.read_bytes()[self._read :] if log.exists() else b""
        resumes = [one.step for one in map(events.decode, text.split(b"\n")) if isinstance(one, events.Resume)]
        if resumes and resumes[0] < self._saved:
            self.wrong.append(f"a resume went back to step {resumes[0]}; {self._saved} was saved")
        state = runs.state_of(self.run)[0]
        if state not in (*runs.ENDED, "starting"):  # a worker that has written nothing may be on its way
            self.wrong.append(f"it reads {state} with its worker dead")

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return runs.state_of(self.run)[0] == "finished"

    def conclude(self, row: Outcome) -> int:
        """Let it go on to its end, hold it against the undisturbed run, and count its moments as trials; how many."""
        if not self.finished:
            child = self.start()
            if child.wait() is None:
                child.end()
                self.wrong.append("the last resume hangs")
            self.ended()
        self.wrong += bits.differences(self.reference.run, self.run)
        moments = self.moments or (["never stopped"] if self.wrong else [])
        for number in range(len(moments)):
            wrong = self.wrong if number + 1 == len(moments) else []
            row.take(wrong, f"{self.reference.family}, {', then '.join(moments)} ({self.run})")
        return len(self.moments)


def _killed(plan: Plan, reference: Reference) -> Outcome:
    """Kill runs of a family until there were KILLS kills, by turns at a moment and at a file operation."""
    row, dice, done, by_place = Outcome("SIGKILL", reference.family), plan.dice(f"kill {reference.family}"), 0, 0
    for attempt in range(3 * KILLS):
        if done == KILLS or plan.over():
            break
        trial = Trial(reference, f"killed-{attempt}")
        while len(trial.moments) < min(A_RUN, KILLS - done):
            moment, told = dice.uniform(0, reference.seconds), trial.root / "places"
            fatal = dice.randint(1, reference.places) if (done + len(trial.moments)) % 2 else 0
            around = forked.Places(trial.root, told, fatal).counted if fatal else nullcontext
            child = trial.start(around=around)
            child.wait(moment if not fatal else forked.PATIENCE)
            status = child.end()
            trial.ended()
            if status != -signal.SIGKILL:
                break  # it had ended before that
            words = f"at {moment:.3f} s of {reference.seconds:.2f}"
            if fatal:
                words = f"at operation {fatal} ({forked.operations(told)[-1]})"
            trial.moments.append(words)
            by_place += bool(fatal)
        done += trial.conclude(row)
    row.detail = f"{done - by_place} at a moment, {by_place} at a file operation"
    return row


def _killed_cold(plan: Plan, reference: Reference) -> Outcome:
    """Workers as `tui-gen` starts them, killed from before they import PyTorch until they are about to end."""
    row, dice = Outcome("SIGKILL", f"{reference.family}, started cold"), plan.dice("cold")
    whole, started = Trial(reference, "cold-whole"), time.monotonic()
    launch.start(whole.run).wait()
    seconds = time.monotonic() - started
    whole.moments.append("undisturbed, but started cold")
    whole.conclude(row)
    done = 0
    for attempt in range(COLD):
        trial = Trial(reference, f"cold-{attempt}")
        while done + len(trial.moments) < COLD and not trial.finished:
            process, moment = launch.start(trial.run, resume=trial.begins()), dice.uniform(0, seconds)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moment)
            process.kill()
            status = process.wait()
            trial.ended()
            if status == -signal.SIGKILL:
                trial.moments.append(f"at {moment:.3f} s of {seconds:.2f}")
        done += trial.conclude(row)
    return row


def _terminated(plan: Plan, references: list[Reference]) -> Outcome:
    """SIGTERM instead: it stops with all there is, within seconds, and goes on later."""
    row, longest = Outcome("SIGTERM", "all families"), 0.0
    for reference in references:
        if plan.over():
            break
        dice, trial = plan.dice(f"term {reference.family}"), Trial(reference, "stopped")
        for _ in range(TERMS):
            if trial.finished:
                break
            child, moment = trial.start(), dice.uniform(0, reference.seconds)
            trial.moments.append(f"SIGTERM at {moment:.3f} s")
            child.wait(moment)
            asked = time.monotonic()
            child.send(signal.SIGTERM)
            status = child.wait(END)
            longest = max(longest, time.monotonic() - asked)
            if status is None:
                trial.wrong.append(f"it does not end within {END:g} s of {trial.moments[-1]}")
                child.end()
            elif status not in (0, -signal.SIGTERM):  # the latter: before it could know of a signal
                trial.wrong.append(f"status {status} after {trial.moments[-1]}")
            trial.ended()
        trial.conclude(row)
    row.detail = f"the slowest ended {longest:.1f} s after the signal"
    return row


def newest_step(run: Path) -> int:
    """The step of the newest complete checkpoint; 0 without one."""
    newest = bits.newest(run)
    return int(newest.name) if newest else 0


ATTACKS: dict[str, Attack] = {"kills": kills}
