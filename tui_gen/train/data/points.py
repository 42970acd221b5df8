"""Points in the plane, without end.

All are standardised: each coordinate has mean 0 and variance 1, exactly (by quadrature over the curve, plus the
variance of the noise).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar

import msgspec
import torch
from torch import Tensor

from tui_gen.model import DataSpec
from tui_gen.params import hyper
from tui_gen.train.data import keyed_random
from tui_gen.train.data.dataset import Dataset
from tui_gen.train.data.endless import endless
from tui_gen.train.data.images import Limit, Validation
from tui_gen.train.data.sources import Data, Report

VALIDATION_POINTS = 8192
"""How many points make the fixed validation split."""


class PointSet(Dataset):
    """Points on a curve of `modes` equally likely pieces, the labels where there are several, with noise around it."""

    kind = "points"
    modes: ClassVar[int] = 1

    class Config(msgspec.Struct):
        """The settings of every set of points."""

        limit: Limit = 0
        validation: Validation = 0.1
        noise: Annotated[float, hyper("Spread of 2-D points around their curve", ge=0, le=1)] = 0.05

    @staticmethod
    def curve(mode: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
        """x and y (N,) on the curve: on its piece `mode` (N,), at a place `along` it (N,) in [0, 1)."""
        raise TypeError("a set of points must define curve()")

    def expected(self) -> DataSpec:
        return self.spec((2,), None, self.classes)

    def load(self, device: torch.device, *, seed: int, report: Report) -> Data:
        def make(key: int) -> Points:
            return Points(self.curve, self.modes, self.config.noise, key, device)

        return endless(self, make, VALIDATION_POINTS, device, seed)


class Points:
    """Maker of one set of points: positions (N,) int64 → points (N, 2) float32 and modes (N,) int64, or None."""

    def __init__(
        self,
        curve: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
        modes: int,
        noise: float,
        seed: int,
        device: torch.device,
    ) -> None:
        self.curve, self.modes = curve, modes
        self.noise, self.seed = noise, seed
        mean, deviation = self._moments()
        self._mean, self._scale = mean.to(device, torch.float32), (1 / deviation).to(device, torch.float32)

    def __call__(self, positions: Tensor) -> tuple[Tensor, Tensor | None]:
        """The points at these positions of the endless sequence."""
        which, along, *noise = keyed_random.uniforms(self.seed, positions, 6)
        mode = (which * self.modes).floor()
        clean = torch.stack(self.curve(mode, along), dim=1)
        spread = torch.stack([keyed_random.normals(*noise[:2]), keyed_random.normals(*noise[2:])], dim=1)
        points = (clean + self.noise * spread - self._mean) * self._scale
        return points, mode.long() if self.modes > 1 else None

    def _moments(self) -> tuple[Tensor, Tensor]:
        nodes = 4096
        along = (torch.arange(nodes, dtype=torch.float64) + 0.5) / nodes
        mode = torch.arange(self.modes, dtype=torch.float64)
        clean = torch.stack(self.curve(mode.repeat_interleave(nodes), along.repeat(self.modes)))
        return clean.mean(1), (clean.var(1, correction=0) + self.noise**2).sqrt()
