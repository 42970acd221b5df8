"""Datasets as tensors on the device, and the streams of batches that training reads.

`load` turns a `[dataset]` table into `Data`; `Stream` makes its training batches, `batches` goes through its
validation split. Whatever is random comes from the seed and the position, never from PyTorch's global generators, so
data order and augmentation do not depend on what a model draws.
"""

from __future__ import annotations

from tui_gen.train.data.loading import load
from tui_gen.train.data.sources import (
    ENDLESS_EPOCH,
    Data,
    DataError,
    Mapped,
    Procedural,
    Report,
    Resident,
    Source,
)
from tui_gen.train.data.stream import Stream, batches, denormalise, drawn, normalise

__all__ = [
    "ENDLESS_EPOCH",
    "Data",
    "DataError",
    "Mapped",
    "Procedural",
    "Report",
    "Resident",
    "Source",
    "Stream",
    "batches",
    "denormalise",
    "drawn",
    "load",
    "normalise",
]
