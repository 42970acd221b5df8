"""What can be trained on, as plain data for the catalogue, the forms and the docs. Needs no PyTorch.

The classes behind it, which turn a name into tensors, are in `tui_gen.train.data`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tui_gen.params import Param
from tui_gen.places import cache_dir, expanded

DEFAULT = "digits"
"""The dataset of a config that names none."""
BUILT_IN = "built in"

COUNT_UNITS = {"image": "images", "points": "points", "text": "characters"}
"""What data of a kind are counted in, where it is told how many pass in a second."""


class Files(msgspec.Struct, frozen=True):
    """The `files` of a public set; they lie in the first of `places`, folders below its root, that has them all."""

    places: tuple[str, ...]
    files: tuple[str, ...]

    def find(self, base: Path) -> Path | None:
        """The folder below `base` that has every file, as it is or with `.gz`; None where none has."""
        for place in self.places:
            folder = base / place
            if all((folder / file).exists() or (folder / f"{file}.gz").exists() for file in self.files):
                return folder
        return None


class DatasetEntry(msgspec.Struct, omit_defaults=True):
    """A dataset in words, and its settings.

    `kind` is `image`, `points` or `text`; `default_size` the height and width that `dataset.size = 0` gives (0 but for
    images); `channels` its own colour channels (1 grey, 3 RGB, 0 but for images; for `folder` what `auto` gives at
    most). `classes` names the labels; empty where there are none or only reading the data tells. `count` is the number
    of training examples before `limit` and the validation split, None when they are made without end or known only once
    read. `reads` is what `dataset.root` must name (`folder`, `text file`), empty where it may be left out or there is
    no such setting; `files` those of a set that is fetched from the network where there is no copy. `source` is where
    its class comes from.
    """

    name: str
    title: str
    kind: str
    default_size: int
    channels: int
    classes: list[str]
    count: int | None
    reads: str
    summary: str
    reference: str
    params: list[Param]
    files: Files | None = None
    source: str = BUILT_IN

    @property
    def at_root(self) -> str:
        """What `dataset.root` names, where it names anything: `folder` or `file`."""
        return self.reads.split()[-1] if self.reads else "folder"


def elsewhere(entry: DatasetEntry | None, datasets: Mapping[str, DatasetEntry]) -> dict[str, Param]:
    """The settings of built-in datasets that this one does not have.

    They may be stated all the same, and do nothing: a recipe is trained on other data by naming it, one `--set
    dataset.root` is given for many runs, and configs of versions in which all datasets had the same settings have them.
    """
    own = {param.name for param in entry.params} if entry is not None else set()
    settings: dict[str, Param] = {}
    for other in datasets.values():
        if other.source == BUILT_IN:
            settings |= {param.name: param for param in other.params if param.name not in {*own, *settings}}
    return settings


def downloaded() -> Path:
    """The folder below which downloaded sets are kept."""
    return cache_dir() / "datasets"


def absolute(root: str) -> str:
    """`dataset.root` as it means the same in a worker, which runs in another folder; empty stays empty.

    Raises NoHome where it begins with the home folder of nobody.
    """
    return os.path.abspath(expanded(root)) if root else ""


def at_hand(entry: DatasetEntry, root: str) -> bool:
    """Whether a dataset can be read here and now, without a download. `root` as in `dataset.root`."""
    if entry.files is not None:
        return entry.files.find(Path(os.path.expanduser(root)) if root else downloaded()) is not None
    return not entry.reads or bool(root and Path(os.path.expanduser(root)).exists())


def missing(entry: DatasetEntry, root: str) -> tuple[str, str]:
    """Why the dataset cannot be where `dataset.root` says, and what to do; empty texts where it can be."""
    return not_there(entry.title, entry.files, root) if entry.files is not None or entry.reads else ("", "")


def not_there(title: str, files: Files | None, root: str) -> tuple[str, str]:
    """The same for a dataset with this title that has these files, or any (None)."""
    if not root:
        return "", ""
    base = Path(os.path.expanduser(root))
    try:
        if (files.find(base) is not None) if files is not None else base.exists():
            return "", ""
        problem = "does not hold all of it" if base.is_dir() else "is a file" if base.exists() else "is not there"
    except (OSError, ValueError) as error:  # no right to look, or no path at all
        problem = f"cannot be looked into ({getattr(error, 'strerror', '') or error})"
    if files is None:
        return problem, "correct it"
    if problem.startswith("does not hold"):
        problem += f": no {base / files.places[0]} with {', '.join(files.files)}"
    return problem, f"correct it, or leave it empty to download {title}"


def lost(entry: DatasetEntry, root: str) -> bool:
    """Whether a folder or file that `dataset.root` names is not there, or does not hold the dataset."""
    return bool(missing(entry, root)[0])
