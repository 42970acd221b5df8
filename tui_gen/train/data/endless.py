"""Data that are made, not read: as many examples as anybody asks for, each a function of its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import torch
from torch import Tensor

from tui_gen.train.data import keyed_random
from tui_gen.train.data.dataset import Dataset
from tui_gen.train.data.sources import Data, Procedural, Resident, Source

Maker = Callable[[int], Callable[[Tensor], tuple[Tensor, Tensor | None]]]
"""A key of `keyed_random` → what makes the examples, and labels or None, at positions (N,) int64."""


def endless(dataset: Dataset, make: Maker, validation_count: int, device: torch.device, seed: int) -> Data:
    """Examples without end, or `limit` ones, and `validation_count` to validate with that are the same for every seed.

    The dataset's settings have `limit` and `validation`.
    """
    config: Any = dataset.config

    def anew(seed: int) -> Source:
        return Procedural(make(keyed_random.key(dataset.name, seed, "train")), device, config.limit or None)

    train, validation = anew(seed), None
    if config.validation:
        source = Procedural(make(keyed_random.key(dataset.name, "validation")), device, validation_count)
        validation = Resident(*source.take(torch.arange(validation_count, device=device)), device)
    spec = msgspec.structs.replace(dataset.expected(), count=train.count)
    return Data(spec, train, validation, anew)
