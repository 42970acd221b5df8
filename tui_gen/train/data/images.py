"""Whole image sets in memory: resizing, colour, limits and splits, each done once at loading."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tui_gen.train.data import draws

CHUNK_BYTES = 64 << 20
"""Roughly how much float32 a resize works on at once."""


def resize(images: Tensor, size: int) -> Tensor:
    """(N, C, H, W) uint8 → (N, C, size, size) uint8, bicubic with antialiasing; centre-cropped to a square first."""
    height, width = images.shape[2:]
    if height != width:
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        images = images[:, :, top : top + short, left : left + short]
    if images.shape[-1] == size:
        return images
    each = max(1, CHUNK_BYTES // (4 * images.shape[1] * max(size, images.shape[-1]) ** 2))
    done = []
    for part in images.split(each):
        scaled = functional.interpolate(
            part.float(), (size, size), mode="bicubic", antialias=True, align_corners=False
        )
        done.append(scaled.round_().clamp_(0, 255).to(torch.uint8))
    return torch.cat(done)


def recolour(images: Tensor, channels: str) -> Tensor:
    """uint8 images to `grey` (luma of ITU-R BT.601), `rgb`, or left as they are (`auto`)."""
    if channels == "rgb" and images.shape[1] == 1:
        return images.expand(-1, 3, -1, -1).contiguous()
    if channels == "grey" and images.shape[1] == 3:
        red, green, blue = (images[:, n].to(torch.int32) for n in range(3))
        # whole numbers, so that equal channels give exactly their own value back
        return ((299 * red + 587 * green + 114 * blue + 500) // 1000).to(torch.uint8)[:, None]
    return images


def spread(labels: Tensor | None, count: int, wanted: int, purpose: str) -> Tensor:
    """`wanted` of `count` positions, sorted: random but the same in every run, each class in proportion.

    The classes are laid end to end, each shuffled, and picked from at even distances.
    """
    order = torch.randperm(count, generator=draws.generator(purpose, count))
    if labels is not None:
        order = order[torch.argsort(labels.cpu()[order], stable=True)]
    picks = ((torch.arange(wanted, dtype=torch.float64) + 0.5) * (count / max(wanted, 1))).long()
    return order[picks].sort().values


def limited(labels: Tensor | None, count: int, limit: int) -> Tensor:
    """The positions that `dataset.limit` keeps; all of them where it is 0 or not reached."""
    if not limit or limit >= count:
        return torch.arange(count)
    return spread(labels, count, limit, "limit")


def split(labels: Tensor | None, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Positions to train on and to validate with, disjoint and sorted, the same in every run whatever its seed.

    At least one example is held out when `share` is above 0 and there are two or more; at least one is trained on, and
    one of each class as long as another class can be held out in its place.
    """
    held = min(max(round(count * share), 1), count - 1) if share > 0 else 0
    validation = spread(labels, count, held, "validation")
    kept = np.ones(count, dtype=bool)
    kept[validation.numpy()] = False
    if labels is not None:
        _train_on_each(labels.cpu().numpy(), kept)
    return torch.from_numpy(np.flatnonzero(kept)), torch.from_numpy(np.flatnonzero(~kept))


def _train_on_each(labels: np.ndarray, kept: np.ndarray) -> None:
    """Swap examples where a class would be held out whole: one comes back for another of the most trained class."""
    for missing in np.setdiff1d(labels, labels[kept]):
        names, counts = np.unique(labels[kept], return_counts=True)
        if not len(counts) or counts.max() < 2:
            return
        most = names[counts.argmax()]
        kept[np.flatnonzero((labels == most) & kept)[0]] = False
        kept[np.flatnonzero(labels == missing)[0]] = True
