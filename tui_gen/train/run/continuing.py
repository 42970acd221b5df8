"""A run that goes on: its newest checkpoint that can be used, and what is to be done again after that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from tui_gen import checkpoints as files
from tui_gen import edits, events, forks, rollbacks
from tui_gen.log import event_log
from tui_gen.train.engine.building import TrainingError
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.run import checkpoints

Note = Callable[..., None]
"""Takes a text and a level (`info` where none is given)."""


@dataclass
class Past:
    """What a run goes on from: `meta` is None where it begins again, having no checkpoint; `edits` are still ahead."""

    meta: checkpoints.Meta | None
    edits: edits.Edits

    @property
    def step(self) -> int:
        """Steps made."""
        return self.meta.step if self.meta is not None else 0


def restored(path: Path, trainer: Trainer, plan: edits.Edits, note: Note) -> Past:
    """Put a run's newest usable checkpoint into its trainer. Only for the worker that holds the run: it tidies, too.

    Raises TrainingError where there are checkpoints and none can be used, or they are of another network.
    """
    for name in checkpoints.recover(path):
        note(f"checkpoint {name} was cut short by a kill; what there was of it is gone")
    newest, problems = None, []
    for checkpoint in checkpoints.newest(path, averaged=trainer.average is not None):
        if isinstance(checkpoint, checkpoints.Loaded):
            newest = checkpoint
            break
        problems.append(checkpoint)
        note(f"checkpoint {checkpoint}; trying the one before", "warning")
    if problems and newest is None:
        words = "; to begin again from step 0 move its folder checkpoints away"
        raise TrainingError(f"no checkpoint of {path.name} can be used: {problems[0]}{words}")
    if newest is not None:
        _tell_changes(newest, trainer, note)
        for words in put_back(path, trainer, newest):
            note(words, "warning")
        if problems and (names := files.set_aside(path, newest.meta.step)):
            note(f"what is damaged is kept as {', '.join(names)}")
    past = Past(newest.meta if newest is not None else None, plan)
    # What the config plans before this step is in the checkpoint; what a person did after it was logged.
    past.edits = [edit for edit in rollbacks.planned(path, plan) if edit["step"] >= past.step]
    return past


def put_back(path: Path, trainer: Trainer, checkpoint: checkpoints.Loaded) -> list[str]:
    """Put a run's checkpoint into its trainer; what could not be, in words. Raises TrainingError."""
    origin = forks.origin(path)
    changes = origin.changes if origin is not None and origin.start == checkpoint.meta.step else {}
    before = {key: old for key, (old, _) in changes.items()}
    return trainer.restore(checkpoint.state, checkpoint.weights, checkpoint.average, before)


def shown_at(path: Path, step: int) -> tuple[bool, bool]:
    """Whether a run's log has a validation, and pictures, of the weights after so many steps; not of those that were
    made again since."""
    validated = previewed = False
    for event in event_log.read(path / "events.jsonl", *events.AGAIN, events.Metrics, events.Sample):
        if isinstance(event, events.AGAIN):
            validated, previewed = validated and event.start >= step, previewed and event.start >= step
        elif isinstance(event, events.Sample):
            previewed |= event.step == step and event.kind != "quality"
        elif isinstance(event, events.Metrics):
            validated |= event.start == step - 1 and any(name.startswith("val/") for name in event.values)
    return validated, previewed


def _tell_changes(checkpoint: checkpoints.Loaded, trainer: Trainer, note: Note) -> None:
    """Say what is no longer as it was, where that changes the numbers; compute with as many threads as before."""
    then, now = checkpoint.state.get("data", trainer.fingerprint()), trainer.fingerprint()
    if then != now:
        counts = f" ({then[0]:,} examples then, {now[0]:,} now)" if then[0] != now[0] else ""
        note(f"the data changed since the checkpoint{counts}; training goes on with what is there", "warning")
    threads = int(checkpoint.state.get("threads", torch.get_num_threads()))
    processes = int(checkpoint.state.get("processes", 1))
    if not trainer.config.train.threads and processes == trainer.ranks.count:
        torch.set_num_threads(threads)  # sums are split by thread: only the same number gives the same bits
    here = {"processes": str(trainer.ranks.count), "threads": str(torch.get_num_threads())}
    here |= checkpoints.machine(trainer.device)
    was = checkpoint.meta.machine | {"threads": str(threads), "processes": str(processes)}
    if trainer.device.type != "cpu":  # the CPU's threads add up nothing there
        here.pop("threads")
    changes = [f"{name} {was[name]} → {value}" for name, value in here.items() if was.get(name, value) != value]
    if changes:
        words = "training goes on, but not bit for bit as it would have there"
        note(f"this is not what the checkpoint was computed with: {', '.join(changes)}; {words}", "warning")
