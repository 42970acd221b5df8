"""Which values of pixels of more than 8 bits are black and white: one decision for a whole set, never per picture.

A file does not tell: 16 bits may hold 12, 10 or 8, and real numbers 0 … 1, −1 … 1, 0 … 255 or anything else. Decided
for each picture by itself, a dark one would be trained on as a bright one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

BITS = (8, 10, 12, 14, 16)
"""How many bits cameras and scanners put into 16."""
OVER = 0.1
"""How far, as a share of the range, real values may stray from one of the usual ranges: resampling overshoots."""
LITTLE = 0.1
"""Below this share of the range used a set is as good as one grey: that deserves a warning."""


@dataclass(frozen=True)
class Range:
    """Values from `low` (black) to `high` (white); the set's own go from `least` to `most`."""

    low: float
    high: float
    least: float
    most: float

    @property
    def share(self) -> float:
        """The share of the range that the set uses, 0 … 1."""
        least, most = (min(max(end, self.low), self.high) for end in (self.least, self.most))
        return (most - least) / (self.high - self.low) if self.high > self.low else 0.0

    def levels(self, values: np.ndarray) -> np.ndarray:
        """float64 in 0 … 1, of the shape given; what is no number is black, what is beyond the range is cut."""
        values = np.nan_to_num(values.astype(np.float64), nan=self.low, posinf=self.high, neginf=self.low)
        return np.clip((values - self.low) / ((self.high - self.low) or 1.0), 0, 1)

    def words(self, kind: str, count: int) -> str:
        """A line about it."""
        numbers = "real numbers" if kind == "real" else "whole numbers of more than 8 bits"
        meaning = f"{self.low:,.7g} is black and {self.high:,.7g} white"
        own = f"the set goes from {self.least:,.7g} to {self.most:,.7g}, {self.share:.0%} of that"
        return f"{count:,} image{'s' if count > 1 else ''} of {numbers}: {meaning} in all of them ({own})"


def decide(extents: Iterable[tuple[float, float]], kind: str) -> Range:
    """The range of a set from its images' least and greatest values, for pixels of a `kind` (whole or real)."""
    pairs = list(extents)
    least = min((low for low, _ in pairs), default=0.0)
    most = max((high for _, high in pairs), default=1.0)
    low, high = _real(least, most) if kind == "real" else _whole(least, most)
    return Range(low, high, least, most)


def _whole(least: float, most: float) -> tuple[float, float]:
    if least < 0:
        return least, most
    return 0.0, next((float(2**bits - 1) for bits in BITS if most < 2**bits), most)


def _real(least: float, most: float) -> tuple[float, float]:
    usual = [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)] + [(0.0, 65535.0)] * (most > 16383)
    for low, high in usual:
        width = high - low
        # a little below 0 is resampling's overshoot; values as far below 0 as above it are meant
        strays = low - OVER * min(width, max(most, 0.0)) <= least < low
        if (least >= low or strays) and most <= high + OVER * width:
            return low, high
    return min(least, 0.0), most
