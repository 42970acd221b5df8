"""Datasets as tensors on the device, and the streams of batches that training reads; what a dataset is written with.

`dataset_of` finds the class that a `[dataset]` table names, `load` turns it into `Data`; `Stream` makes its training
batches, `batches` goes through its validation split. Whatever is random comes from the seed and the position, never
from PyTorch's global generators, so data order and augmentation do not depend on what a model draws.
"""

from __future__ import annotations

from tui_gen.model import DataSpec
from tui_gen.params import hyper
from tui_gen.train.data.dataset import Dataset, dataset_of
from tui_gen.train.data.endless import endless
from tui_gen.train.data.images import ImageConfig, ImageSet
from tui_gen.train.data.loading import load
from tui_gen.train.data.points import PointSet
from tui_gen.train.data.sources import (
    ENDLESS_EPOCH,
    Augmentation,
    Data,
    DataError,
    Mapped,
    Procedural,
    Report,
    Resident,
    Source,
)
from tui_gen.train.data.stream import Stream, denormalise, drawn, fixed_batches, normalise
from tui_gen.train.data.text import TextConfig, TextSet

__all__ = [
    "ENDLESS_EPOCH",
    "Augmentation",
    "Data",
    "DataError",
    "DataSpec",
    "Dataset",
    "ImageConfig",
    "ImageSet",
    "Mapped",
    "PointSet",
    "Procedural",
    "Report",
    "Resident",
    "Source",
    "Stream",
    "TextConfig",
    "TextSet",
    "dataset_of",
    "denormalise",
    "drawn",
    "endless",
    "fixed_batches",
    "hyper",
    "load",
    "normalise",
]
