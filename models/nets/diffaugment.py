"""DiffAugment (Zhao et al. 2020, arXiv:2006.10738): what a GAN's discriminator sees, changed with gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from tui_gen.model import DataSpec, Problem, drawn, hyper

Augment = Annotated[
    Literal["none", "brightness", "shift", "cutout", "all"],
    hyper("DiffAugment: what is done to all images that the discriminator sees, for small data"),
]


def augmented(x: Tensor, kind: str, cuts_half: bool = True) -> Tensor:
    """DiffAugment: (N, C, S, S) images in [-1, 1], each changed at random; gradients flow through to x.

    As in the paper: brightness by up to ±0.5, shift by up to an eighth of the size, a square of half the size cut
    out, around a centre that may be at any edge; what is moved in or cut out is 0. Runs begun before that was so
    (`cuts_half` is false) cut out one of a pixel less, an odd number of them.
    """
    count, _, size, _ = x.shape
    places = torch.arange(size, device=x.device)
    if kind in ("brightness", "all"):
        x = x + torch.rand(count, 1, 1, 1, device=x.device) - 0.5
    if kind in ("shift", "all"):
        most = max(1, round(size / 8))
        moves = drawn(lambda count: torch.randint(2 * most + 1, (2, count, 1), device=x.device), count, dim=1)
        rows, columns = places + moves[0], places + moves[1]
        padded = F.pad(x, (most, most, most, most)).permute(0, 2, 3, 1)
        images = torch.arange(count, device=x.device)[:, None, None]
        x = padded[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if kind in ("cutout", "all"):
        side = (size + 1) // 2
        ends = size + 1 - side % 2 if cuts_half else size
        centres = drawn(lambda count: torch.randint(ends, (2, count, 1), device=x.device), count, dim=1)
        if cuts_half:
            starts = centres - side // 2
            rows, columns = ((places >= starts) & (places < starts + side)).unbind()
        else:
            rows, columns = ((places - centres).abs() * 4 < size).unbind()
        x = x * ~(rows[:, None, :, None] & columns[:, None, None, :])
    return x


def refuse_augment(kind: str, data: DataSpec) -> Iterator[Problem]:
    """A problem if 2-D points are to be augmented as images are."""
    if data.kind == "points" and kind != "none":
        yield Problem("model.augment", kind, f"is for images; {data.name} has 2-D points", "set it to none")
