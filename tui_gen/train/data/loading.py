"""From a dataset to `Data`."""

from __future__ import annotations

import sys
from dataclasses import replace

import torch

from tui_gen.events import Event, Note
from tui_gen.train.data.dataset import Dataset
from tui_gen.train.data.sources import Data, DataError, Report, Resident


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
    try:
        data = replace(dataset.load(torch.device(device), seed=seed, report=report), augmentation=dataset.augmentation)
        if not _ours(type(dataset)):
            _fit(data)
    except Exception as error:
        if _ours(type(dataset)) or _ours(type(error)):
            raise
        raise DataError(_where(dataset, error)) from error
    report(Note(text=in_words(data)))
    return data


def _ours(cls: type) -> bool:
    """Whether a class is of this package, not of a user's file."""
    return cls.__module__.startswith("tui_gen.")


def _where(dataset: Dataset, error: Exception) -> str:
    """What somebody's own dataset raised, and where in its file."""
    path, line = sys.modules[type(dataset).__module__].__file__ or "", 0
    trace = error.__traceback__
    while trace is not None:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == path else line
        trace = trace.tb_next
    place = f"{path}, line {line}" if line else path
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return f"the dataset {dataset.name} cannot be read ({place}): {words}"


def _fit(data: Data) -> None:
    """Raise ValueError where what somebody's own dataset gave is not what its kind must be."""
    spec = data.spec
    element_type = {"image": torch.uint8, "points": torch.float32, "text": torch.int64}[spec.kind]
    for source in (data.train, *([data.validation] if data.validation is not None else [])):
        examples, labels = source.take(torch.zeros(1, dtype=torch.int64))
        if examples.dtype != element_type or tuple(examples.shape[1:]) != spec.shape:
            actual = f"{examples.dtype} of shape {tuple(examples.shape[1:])}"
            raise ValueError(f"examples of kind {spec.kind} must be {element_type} of shape {spec.shape}, not {actual}")
        if spec.kind == "image" and (spec.shape[0] not in (1, 3) or spec.shape[1] != spec.shape[2]):
            raise ValueError(f"images must be square, with 1 or 3 channels, not of shape {spec.shape}")
        if spec.kind != "text" and (labels is None) != (not spec.classes):
            raise ValueError(f"labels and names of classes go together; there are {len(spec.classes)} names")
        if isinstance(source, Resident) and source.labels is not None and len(source.labels):
            low, high = int(source.labels.min()), int(source.labels.max())
            if low < 0 or high >= len(spec.classes):
                raise ValueError(f"labels go from {low} to {high}, but there are {len(spec.classes)} names of classes")


def in_words(data: Data) -> str:
    """What was loaded, in a line: how many examples of what, how many classes, how many are held out."""
    spec = data.spec
    if spec.kind == "points":
        what = "2-D points"
    elif spec.kind == "text":
        validation = "nothing" if data.validation is None else f"{data.validation.count:,} windows"
        return (
            f"{spec.name}: text of about {(spec.count or 0) * (spec.shape[0] - 1):,} characters, "
            f"{len(spec.classes)} different ones, in windows of {spec.shape[0] - 1}; {validation} to validate"
        )
    else:
        what = f"{'grey' if spec.channels == 1 else 'RGB'} images of {spec.size}×{spec.size}"
    count = "endless" if data.train.count is None else f"{data.train.count:,}"
    validation = "nothing held out" if data.validation is None else f"{data.validation.count:,} to validate"
    labels = f", {len(spec.classes)} classes" if spec.classes else ""
    where = ", read from the disk as needed" if data.train.slow else ""
    return f"{spec.name}: {count} {what}{labels}; {validation}{where}"
