"""Pictures of points in the plane: where they lie, how densely, and by which ways they came. (side, side, 3) uint8.

The axes reach from -span to span, upwards and to the right; points beyond them are left out.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

PLOT = 160
"""Side of a plot, in pixels."""
DARK, GREY, ORANGE = (16, 16, 16), (95, 105, 125), (255, 170, 40)
RAMP = np.array([(16, 16, 16), (70, 20, 110), (190, 50, 90), (250, 140, 40), (255, 245, 180)], float)
"""Colours from no density to the greatest of the real examples; also those of a way, from noise to sample."""
BLUR = 0.02
"""Standard deviation of the density's Gaussian kernel, as a share of the picture's side."""


def scatter(points: np.ndarray, real: np.ndarray | None, side: int = PLOT, span: float = 3.0) -> np.ndarray:
    """Generated points (N, 2) in orange over real ones in grey."""
    picture = np.full((side, side, 3), DARK, np.uint8)
    for cloud, colour in ((real, GREY), (points, ORANGE)):
        if cloud is not None:
            row, column = places(cloud, side, span)
            picture[row, column] = colour
    return picture


def density(points: np.ndarray, side: int = PLOT, span: float = 3.0) -> np.ndarray:
    """A Gaussian kernel estimate of the density that points (N, 2) have: (side, side), mean 1 if none are outside."""
    row, column = places(points, side, span)
    counts = np.zeros((side, side))
    np.add.at(counts, (row, column), side * side / max(1, len(points)))
    reach = np.arange(-side + 1, side)
    kernel = np.exp(-0.5 * (reach / (BLUR * side)) ** 2)
    kernel /= kernel.sum()
    index = np.arange(side)
    spread = kernel[index[:, None] - index[None] + side - 1]  # a blur along one axis, as a matrix
    return spread @ counts @ spread.T


def heat(values: np.ndarray, most: float) -> np.ndarray:
    """Values (side, side) from 0 to `most`, and what lies above it, as colours."""
    return _ramp(np.sqrt(np.clip(values / max(most, 1e-12), 0, 1)))  # roots: faint bridges between modes are seen


def paths(frames: np.ndarray, real: np.ndarray | None, side: int = PLOT, span: float = 3.0) -> np.ndarray:
    """The ways of N points, (frames, N, 2), drawn as lines that begin dark and end bright, over real points in grey."""
    picture = scatter(np.empty((0, 2)), real, side, span)
    total = len(frames) - 1
    for step, (here, there) in enumerate(pairwise(frames)):
        for share in np.linspace(0, 1, 24, endpoint=False):
            row, column = places(here + share * (there - here), side, span)
            picture[row, column] = _ramp(np.array(0.25 + 0.65 * (step + share) / total))
    row, column = places(frames[-1], side, span)
    picture[row, column] = _ramp(np.array(1.0))
    return picture


def places(points: np.ndarray, side: int, span: float) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each finite point inside the axes."""
    points = points[np.isfinite(points).all(1)]
    column = np.round((points[:, 0] + span) / (2 * span) * (side - 1)).clip(-1, side).astype(int)
    row = np.round((span - points[:, 1]) / (2 * span) * (side - 1)).clip(-1, side).astype(int)
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
    return row[inside], column[inside]


def _ramp(shares: np.ndarray) -> np.ndarray:
    """Shares in [0, 1] → colours (…, 3) uint8."""
    at = np.linspace(0, 1, len(RAMP))
    return np.stack([np.interp(shares, at, RAMP[:, channel]) for channel in range(3)], axis=-1).astype(np.uint8)
