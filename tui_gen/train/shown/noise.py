"""What samples are made from: noise of a generator's, and labels."""

from __future__ import annotations

import torch
from torch import Tensor

from tui_gen.model import Model


def noise_and_labels(
    model: Model, classes: int, count: int, generator: torch.Generator, first: int = 0
) -> tuple[Tensor, Tensor | None]:
    """What `count` samples are asked for with: noise (count, *noise_shape), labels (count,) or None without conditions.

    Drawn on the CPU, so alike on every device. The labels are those of all `classes` in turn, the first that of sample
    number `first`.
    """
    noise = torch.randn(count, *model.noise_shape, generator=generator)
    return noise, torch.arange(first, first + count) % max(1, classes) if model.conditional else None
