"""From a dataset to `Data`."""

from __future__ import annotations

from dataclasses import replace

import torch

from tui_gen.events import Event, Note
from tui_gen.train.data.dataset import Dataset
from tui_gen.train.data.sources import Data, Report


def _silent(event: Event) -> None:
    """Where nobody wants to hear of progress."""


def load(dataset: Dataset, device: torch.device, *, seed: int, report: Report = _silent) -> Data:
    """A dataset's examples, ready on `device`.

    `seed` decides what endless datasets make; which examples `limit` and the validation split take is the same for
    every seed, so that runs can be compared. Downloads and decodes where needed, with `Progress` and `Note` events to
    `report`. `limit` counts for each part of a dataset that brings its own split. `validation = 0` leaves
    `Data.validation` None even there.
    Raises DataError, with what to do, when the data cannot be used.
    """
    if dataset.unused:
        keys = ", ".join(f"dataset.{key}" for key in dataset.unused)
        report(Note(level="warning", text=f"{dataset.name} has no such setting: {keys} does nothing"))
    dataset.check()
    data = replace(dataset.load(torch.device(device), seed=seed, report=report), augmentation=dataset.augmentation)
    report(Note(text=_words(data)))
    return data


def _words(data: Data) -> str:
    spec = data.spec
    if spec.kind == "points":
        what = "2-D points"
    elif spec.kind == "text":
        held = "nothing" if data.validation is None else f"{data.validation.count:,} windows"
        return (
            f"{spec.name}: text of about {(spec.count or 0) * (spec.shape[0] - 1):,} characters, "
            f"{len(spec.classes)} different ones, in windows of {spec.shape[0] - 1}; {held} to validate"
        )
    else:
        what = f"{'grey' if spec.channels == 1 else 'RGB'} images of {spec.size}×{spec.size}"
    count = "endless" if data.train.count is None else f"{data.train.count:,}"
    held = "nothing held out" if data.validation is None else f"{data.validation.count:,} to validate"
    labels = f", {len(spec.classes)} classes" if spec.classes else ""
    where = ", read from the disk as needed" if data.train.slow else ""
    return f"{spec.name}: {count} {what}{labels}; {held}{where}"
