"""What a dataset is: the class behind a name in `[dataset]`, built in or a user's own.

A dataset says where its examples come from and what can be set about that: its `Config`, a `msgspec.Struct` whose
fields are declared as a model's are, is what the TOML table, `--set`, the form and the documentation are made of. One
class is one file: those in `sets/`, in `~/.config/tui-gen/datasets/`, in a folder given with `--models DIR`, and what
packages offer by the entry point `tui_gen.datasets`.

Most are made from `ImageSet` (arrays of images), `PointSet` or `TextSet`; `endless` makes data without end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import torch

from tui_gen.config import DatasetTable
from tui_gen.datasets import Files
from tui_gen.model import DataSpec
from tui_gen.params import nearest
from tui_gen.train.data.sources import AS_THEY_ARE, Augmentation, Data, DataError, Report


class Dataset:
    """Base class of every dataset. `self.config` is the typed `Config`.

    Class attributes describe it before anything is read: `kind` is `image`, `points` or `text`; `default_size` the
    height and width of images that `size = 0` gives, `channels` their own colour channels (1 grey, 3 RGB), both of no
    meaning for other kinds; `classes` names the labels, empty where there are none or only reading tells; `count` is
    the number of training examples before `limit` and the validation split, None where that is not known or endless.
    `reads` is what the setting `root` must name, `folder` or `text file`, empty where it may be left out.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    reference: ClassVar[str] = ""
    kind: ClassVar[str] = "image"
    default_size: ClassVar[int] = 0
    channels: ClassVar[int] = 0
    classes: ClassVar[tuple[str, ...]] = ()
    count: ClassVar[int | None] = None
    reads: ClassVar[str] = ""
    files: ClassVar[Files | None] = None
    """The files of a public set that is downloaded where they are not there."""
    labelling: ClassVar[str] = ""
    """How examples without labels may be given some, in words; empty where there is nothing that one could do."""
    rank: ClassVar[int] = 1000
    """The place in lists: lower ones come first."""

    class Config(msgspec.Struct):
        """Settings: `name: Annotated[type, hyper(...)] = default`."""

    unused: tuple[str, ...] = ()
    """Settings stated beside the name that this dataset does not have: they do nothing."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def augmentation(self) -> Augmentation:
        """How training images are changed at random, as the settings say."""
        return AS_THEY_ARE

    def check(self) -> None:
        """Raise DataError where the settings cannot be used, before anything is read."""
        if self.reads and not self.config.root:
            short = self.reads.split()[-1]
            raise DataError(f"dataset.root is missing: {self.name} reads a {self.reads}; set it to that {short}'s path")

    def load(self, device: torch.device, *, seed: int, report: Report) -> Data:
        """The examples, ready on `device`; `seed` decides what endless data makes, and nothing else.

        `report` takes `Progress` and `Note` events. Raises DataError, with what to do.
        """
        raise TypeError(f"{type(self).__name__} must define load()")

    def expected(self) -> DataSpec:
        """What a model will be told of the data, as far as that is known before they are read."""
        raise TypeError(f"{type(self).__name__} must define expected()")

    def spec(self, shape: tuple[int, ...], count: int | None, classes: tuple[str, ...] | list[str]) -> DataSpec:
        """What a model is told: the shape of one example, how many there are to train on, the names of their labels."""
        return DataSpec(self.name, self.kind, tuple(shape), tuple(classes), count, self.labelling)


def dataset_of(table: DatasetTable, classes: Mapping[str, type[Dataset]]) -> Dataset:
    """The dataset that a checked `[dataset]` table names. Raises DataError where its class is not known here."""
    dataset_class = classes.get(table.name)
    if dataset_class is None:
        hint = nearest(table.name, classes) or f"known: {', '.join(classes)}"
        raise DataError(f"dataset.name = {table.name}: no such dataset ({hint})")
    dataset = dataset_class(msgspec.convert(table.values, dataset_class.Config))
    dataset.unused = tuple(table.unused)
    return dataset
