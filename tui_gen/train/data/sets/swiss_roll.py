"""A spiral in the plane."""

from __future__ import annotations

import math

from torch import Tensor

from tui_gen.train.data.points import PointSet


class SwissRoll(PointSet):
    """A spiral of one and a half turns, from radius 1/3 to radius 1, before it is standardised."""

    name = "swiss-roll"
    title = "Swiss roll"
    summary = (
        "Points along a spiral, a one-dimensional thread rolled up in the plane. Learning it means following a "
        "curve that comes close to itself without blurring the turns together. `dataset.noise` sets its thickness."
    )
    reference = "Sohl-Dickstein et al., Deep Unsupervised Learning using Nonequilibrium Thermodynamics, ICML 2015"
    rank = 50

    @staticmethod
    def curve(mode: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
        turn = 1.5 * math.pi * (1 + 2 * along)
        radius = turn / (4.5 * math.pi)
        return radius * turn.cos(), radius * turn.sin()
