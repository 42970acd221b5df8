"""Two half circles that reach into each other."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tui_gen.train.data.points import PointSet


class Moons(PointSet):
    """Two half circles of radius 1, before they are standardised; `noise` is the deviation of both coordinates."""

    name = "moons"
    title = "Two moons"
    summary = (
        "Points along two half circles that reach into each other. The two pieces touch nowhere, so it shows whether "
        "a model leaves the gap between them empty. `dataset.noise` sets how far points stray from the curves."
    )
    reference = "Pedregosa et al., Scikit-learn, JMLR 2011 (make_moons)"
    classes = ("upper", "lower")
    modes = 2
    rank = 40

    @staticmethod
    def curve(mode: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
        x, y = (math.pi * along).cos(), (math.pi * along).sin()
        return torch.where(mode == 0, x, 1 - x), torch.where(mode == 0, y, 0.5 - y)
