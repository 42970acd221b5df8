"""Points in the plane, without end: a ring and a grid of Gaussians, two moons, a Swiss roll.

All are standardised: each coordinate has mean 0 and variance 1, exactly (by quadrature over the curve, plus the
variance of the noise). Before that they have these shapes, and `noise` is the standard deviation of both coordinates:

- `ring`: 8 Gaussians on the unit circle;
- `gaussian`: 25 Gaussians on a 5×5 grid of spacing 1;
- `moons`: two half circles of radius 1;
- `swiss-roll`: a spiral of one and a half turns, from radius 1/3 to radius 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tui_gen.train.data import draws


def _ring(mode: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
    angle = mode * (2 * math.pi / 8)
    return angle.cos(), angle.sin()


def _grid(mode: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
    return mode % 5 - 2, torch.div(mode, 5, rounding_mode="floor") - 2


def _moons(mode: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
    x, y = (math.pi * along).cos(), (math.pi * along).sin()
    return torch.where(mode == 0, x, 1 - x), torch.where(mode == 0, y, 0.5 - y)


def _roll(mode: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
    turn = 1.5 * math.pi * (1 + 2 * along)
    radius = turn / (4.5 * math.pi)
    return radius * turn.cos(), radius * turn.sin()


CURVES: dict[str, tuple[int, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]]] = {
    "ring": (8, _ring),
    "moons": (2, _moons),
    "swiss-roll": (1, _roll),
    "gaussian": (25, _grid),
}
"""Name → number of equally likely modes, and the curve: (mode, place along it in [0, 1)) → (x, y)."""


class Points:
    """Maker of one kind of points: positions (N,) int64 → points (N, 2) float32 and modes (N,) int64, or None."""

    def __init__(self, name: str, noise: float, seed: int, device: torch.device) -> None:
        self.modes, self.curve = CURVES[name]
        self.noise, self.seed = noise, seed
        mean, deviation = self._moments()
        self._mean, self._scale = mean.to(device, torch.float32), (1 / deviation).to(device, torch.float32)

    def __call__(self, positions: Tensor) -> tuple[Tensor, Tensor | None]:
        """The points at these positions of the endless sequence."""
        which, along, *noise = draws.uniforms(self.seed, positions, 6)
        mode = (which * self.modes).floor()
        clean = torch.stack(self.curve(mode, along), dim=1)
        spread = torch.stack([draws.normals(noise[0], noise[1]), draws.normals(noise[2], noise[3])], dim=1)
        points = (clean + self.noise * spread - self._mean) * self._scale
        return points, mode.long() if self.modes > 1 else None

    def _moments(self) -> tuple[Tensor, Tensor]:
        nodes = 4096
        along = (torch.arange(nodes, dtype=torch.float64) + 0.5) / nodes
        mode = torch.arange(self.modes, dtype=torch.float64)
        clean = torch.stack(self.curve(mode.repeat_interleave(nodes), along.repeat(self.modes)))
        return clean.mean(1), (clean.var(1, correction=0) + self.noise**2).sqrt()
