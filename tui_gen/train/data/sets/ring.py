"""Eight Gaussians on the unit circle."""

from __future__ import annotations

import math

from torch import Tensor

from tui_gen.train.data.points import PointSet


class Ring(PointSet):
    """8 Gaussians on the unit circle, before it is standardised; `noise` is their standard deviation."""

    name = "ring"
    title = "Ring of Gaussians"
    summary = (
        "Points in the plane from eight narrow Gaussians on a circle, the classic test of mode collapse: a GAN that "
        "finds only some of the eight clusters has collapsed. `dataset.noise` sets their width."
    )
    reference = "Metz et al., Unrolled Generative Adversarial Networks, ICLR 2017"
    classes = tuple(f"mode {number}" for number in range(1, 9))
    modes = 8
    rank = 30

    @staticmethod
    def curve(mode: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
        angle = mode * (2 * math.pi / 8)
        return angle.cos(), angle.sin()
