"""A run that goes on: its newest checkpoint that can be used, and what is to be done again after that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from tui_gen import edits, runs
from tui_gen.train import checkpoints
from tui_gen.train.trainer import Trainer, TrainingError

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


def restored(path: Path, trainer: Trainer, planned: edits.Edits, note: Note) -> Past:
    """Put a run's newest usable checkpoint into its trainer. Only for the worker that holds the run: it tidies, too.

    Raises TrainingError where there are checkpoints and none can be used, or they are of another network.
    """
    for name in checkpoints.recover(path):
        note(f"checkpoint {name} was cut short by a kill; what there was of it is gone")
    loaded, damaged = None, []
    for one in checkpoints.newest(path, averaged=trainer.average is not None):
        if isinstance(one, checkpoints.Loaded):
            loaded = one
            break
        damaged.append(one)
        note(f"checkpoint {one}; trying the one before", "warning")
    if damaged and loaded is None:
        words = "; to begin again from step 0 move its folder checkpoints away"
        raise TrainingError(f"no checkpoint of {path.name} can be used: {damaged[0]}{words}")
    if loaded is not None:
        if loaded.state.get("data", trainer.fingerprint()) != trainer.fingerprint():
            note("the data changed since the checkpoint; training goes on with what is there", "warning")
        if not trainer.config.train.threads:
            # Sums are split by thread: only the same number gives the same bits.
            torch.set_num_threads(int(loaded.state.get("threads", torch.get_num_threads())))
        trainer.restore(loaded.state, loaded.weights, loaded.average)
        if damaged and (kept := checkpoints.set_aside(path, loaded.meta.step)):
            note(f"what is damaged is kept as {', '.join(kept)}")
    past = Past(loaded.meta if loaded is not None else None, planned)
    # What the config plans before this step is in the checkpoint; what a person did after it was logged.
    past.edits = [edit for edit in edits.merged(planned, runs.edits_of(path)) if edit["step"] >= past.step]
    return past
