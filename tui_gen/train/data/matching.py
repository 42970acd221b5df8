"""The data of a run that goes on, held against what its model was trained on: the same, mapped to it, or refused.

A label is the place of a class among the sorted names of all. Where a class was renamed, added or taken away the
labels of others would silently become those of their neighbours; so would the characters of a text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import torch
from torch import Tensor

from tui_gen.events import Note
from tui_gen.model import DataSpec
from tui_gen.train.data.dataset import Dataset
from tui_gen.train.data.loading import load
from tui_gen.train.data.sources import Data, DataError, Mapped, Report, Resident, Source
from tui_gen.train.data.text import Windows

MOST = 12
"""Names that are listed."""


def load_as(
    then: DataSpec | None,
    dataset: Dataset,
    device: torch.device,
    told_labels: Callable[[DataSpec], bool],
    *,
    seed: int,
    report: Report,
) -> Data:
    """`load`, with data that mean what they meant `then` (None: nobody knows). `told_labels` is asked whether the
    model, made for a spec, is told labels. Raises DataError.
    """
    data = load(dataset, device, seed=seed, report=report)
    if then is None:
        return data
    now = data.spec
    auto = getattr(dataset.config, "channels", None) == "auto"
    if now.kind == then.kind == "image" and auto and now.channels != then.channels:
        depth = {1: "grey", 3: "rgb"}[then.channels]
        words = f"the data has become {described(now)}: they are read as {depth}, as the checkpoint knows them"
        report(Note(text=words, level="warning"))
        dataset = type(dataset)(msgspec.structs.replace(dataset.config, channels=depth))
        data = load(dataset, device, seed=seed, report=report)
    return matched(data, then, lambda: told_labels(then), report)


def matched(data: Data, then: DataSpec, told_labels: Callable[[], bool], report: Report) -> Data:
    """Data with labels (or characters) that mean what they meant `then`, and with the spec of then but for the count.

    `told_labels` is asked, where it matters, whether the model is told labels. Raises DataError where the data has
    become another kind, shape or set of classes than the model can be told of.
    """
    now = data.spec
    if (now.kind, now.shape) != (then.kind, then.shape):
        raise DataError(
            f"{now.name} has become {described(now)}; this run was trained on {described(then)}. "
            "Bring back the data or its settings, or start a new run on this one"
        )
    if now.classes == then.classes:
        return data
    new = [name for name in now.classes if name not in then.classes]
    missing = [name for name in then.classes if name not in now.classes]
    what = "character" if now.kind == "text" else "class"
    if (new or not now.classes) and now.kind != "text" and not told_labels():
        report(Note(text=f"{_changes(what, new, missing)}; the model is not told classes", level="warning"))
        return data
    if new or not now.classes:
        way = "start a new run for the new text" if now.kind == "text" else "start a new run for the new classes"
        if new and missing and now.kind != "text":
            way = f"if {_names(new)} is another name of {_names(missing)}, name it as before; else {way}"
        words = f"{_changes(what, new, missing)}; the model was trained on {_names(then.classes)}"
        raise DataError(f"{words}. {way[:1].upper()}{way[1:]}")
    places = torch.tensor([then.classes.index(name) for name in now.classes])
    for source in (data.train, data.validation):
        if source is not None:
            _map(source, places, now.kind)
    if missing:
        report(Note(text=f"{_changes(what, new, missing)}; the others keep their numbers", level="warning"))
    return replace(data, spec=msgspec.structs.replace(now, classes=then.classes))


def described(spec: DataSpec) -> str:
    """What one example is, in words."""
    if spec.kind == "image":
        return f"{spec.size}×{spec.size} {'grey' if spec.channels == 1 else 'RGB'} images"
    return "2-D points" if spec.kind == "points" else f"text of {spec.shape[0] - 1} characters"


def _map(source: Source, places: Tensor, kind: str) -> None:
    if kind == "text" and isinstance(source, Windows):
        lookup = places.to(source.characters.dtype).numpy()
        source.characters = torch.from_numpy(lookup[source.characters.cpu().numpy()]).to(source.device)
    elif kind == "text" and isinstance(source, Resident):
        source.examples = places.to(source.device)[source.examples]
    elif isinstance(source, Resident | Mapped) and source.labels is not None:
        source.labels = places.to(source.labels.device)[source.labels]
    else:  # made on demand: its classes are ours, and change with a version of this program only
        raise DataError("the classes of this dataset are others than those that the run was trained on")


def _changes(what: str, new: list[str], missing: list[str]) -> str:
    plural = {"class": "classes", "character": "characters"}[what]
    parts = []
    for names, singular, several in ((new, "is new", "are new"), (missing, "is gone", "are gone")):
        if names:
            subject, verb = (what, singular) if len(names) == 1 else (plural, several)
            parts.append(f"{subject} {_names(names)} {verb}")
    return " and ".join(parts) + " in the data"


def _names(names: list[str] | tuple[str, ...]) -> str:
    words = [name if len(name) > 1 else repr(name) for name in names[:MOST]]
    return ", ".join(words) + (f" and {len(names) - MOST} more" if len(names) > MOST else "")

