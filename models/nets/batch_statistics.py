"""Looking at a network that is trained, between two steps, as it is in training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Batch normalisations of a network in evaluation mode go by the batch, as in training, and remember nothing of it:
    running averages, which a fast training leaves behind, would show another network than the one that is trained."""
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    before = [(part.training, part.track_running_stats) for part in norms]
    try:
        for part in norms:
            part.training, part.track_running_stats = True, False
        yield
    finally:
        for part, (training, tracks) in zip(norms, before, strict=True):
            part.training, part.track_running_stats = training, tracks
