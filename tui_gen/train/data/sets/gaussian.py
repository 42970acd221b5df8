"""25 Gaussians on a grid."""

from __future__ import annotations

import torch
from torch import Tensor

from tui_gen.train.data.points import PointSet


class Gaussians(PointSet):
    """25 Gaussians on a 5×5 grid of spacing 1, before it is standardised; `noise` is their standard deviation."""

    name = "gaussian"
    title = "Grid of 25 Gaussians"
    summary = (
        "Points from 25 equally likely Gaussians on a 5×5 grid, the harder sister of the ring: count how many of the "
        "25 clusters the samples reach, and how many samples fall between them. `dataset.noise` sets their width."
    )
    reference = "Dumoulin et al., Adversarially Learned Inference, ICLR 2017"
    classes = tuple(f"mode {number}" for number in range(1, 26))
    modes = 25
    rank = 60

    @staticmethod
    def curve(mode: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
        return mode % 5 - 2, torch.div(mode, 5, rounding_mode="floor") - 2
