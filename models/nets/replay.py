"""Older generated images that a discriminator is shown again (Shrivastava et al. 2017, arXiv:1612.07828)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from tui_gen.model import hyper

ReplaySize = Annotated[
    int, hyper("Older fakes kept to teach the discriminator; 0 is off", ge=0, le=4096, unit="images")
]
ReplayShare = Annotated[float, hyper("Share of fakes that are older ones", ge=0, le=1, live=True)]


class Memory:
    """A ring of images (size, *shape), their labels (size,) int64, and () int64: how many were ever put into it.

    The three are buffers of the model, so that checkpoints hold them and a resumed run goes on bit for bit.
    """

    def __init__(self, images: Tensor, labels: Tensor, count: Tensor) -> None:
        self.images, self.labels, self.count, self.size = images, labels, count, len(images)

    def with_older(self, fakes: Tensor, labels: Tensor | None, share: float | Tensor) -> tuple[Tensor, Tensor | None]:
        """`fakes` (N, *shape) and labels (N,) or None, about a `share` in [0, 1] of them exchanged for older ones at
        random.
        """
        number, device = len(fakes), fakes.device
        available = self.count.clamp(max=self.size)
        places = (torch.rand(number, device=device) * available).long().clamp(max=self.size - 1)
        older = (torch.rand(number, device=device) < share) & (available > 0)
        images = torch.where(older.view(-1, *[1] * (fakes.dim() - 1)), self.images[places], fakes)
        return images, None if labels is None else torch.where(older, self.labels[places], labels)

    def remember(self, fakes: Tensor, labels: Tensor | None) -> None:
        """Keep fakes (N, *shape), and labels (N,) where there are any; the oldest are overwritten."""
        number = min(len(fakes), self.size)
        ring = (self.count + torch.arange(number, device=fakes.device)) % self.size
        if labels is not None:
            self.labels.index_copy_(0, ring, labels[:number])
        self.images.index_copy_(0, ring, fakes[:number])
        self.count.add_(number)
