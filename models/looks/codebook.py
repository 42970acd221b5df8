"""Panels of a codebook: its vectors among what the encoder gives, and images beside the codes they are written with."""

from __future__ import annotations

import torch
from msgspec.structs import replace
from torch import Tensor
from torch.nn import functional as F

from tui_gen.model import Picture, Tiles
from tui_gen.models.looks.code_plots import PALETTE, plot, principal
from tui_gen.pictures import colour

MOST = 2000
"""Latents in the plot."""


def latents(z: Tensor, vectors: Tensor) -> Picture:
    """Latents (N, D, h, w) in grey and code vectors (K, D) in red, along two directions that they share."""
    flat = z.movedim(1, -1).flatten(0, -2)[:MOST]
    both = principal(torch.cat([flat, vectors]), 2)
    grey, red = len(PALETTE) - 2, 0
    kinds = torch.tensor([grey] * len(flat) + [red] * len(vectors))
    panel = plot("latents", both, kinds, ())
    legend = ((colour(PALETTE[grey]), "latents"), (colour(PALETTE[red]), "code vectors"))
    panel.tiles = replace(panel.tiles, legend=legend)
    return panel


def picture(x: Tensor, codes: Tensor, vectors: Tensor, rebuilt: Tensor) -> Picture:
    """Images (N, C, S, S), their codes (N, h, w) in colours, and what is rebuilt from them, one below the other."""
    rows = [x, colours(codes, vectors, x.shape[-1]), rebuilt]
    what = Tiles(block=(1, 3), parts=("original", "codes", "rebuilt"))
    return Picture("codes", torch.cat([row.expand(-1, 3, -1, -1) for row in rows]), len(x), what)


def colours(codes: Tensor, vectors: Tensor, size: int) -> Tensor:
    """Codes (N, h, w) → pictures (N, 3, size, size) in [0, 1]: vectors (K, D) that are alike have colours that are."""
    axes = principal(vectors, 3)
    low, high = axes.min(0).values, axes.max(0).values
    shades = (axes - low) / (high - low).clamp(min=1e-9)
    return F.interpolate(F.embedding(codes, shades).movedim(-1, 1), size)
