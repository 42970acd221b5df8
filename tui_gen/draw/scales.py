"""Scales of the y axis, and which part of the values is worth its height."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np

from tui_gen.draw.axes import log_ticks, ticks

SHARE = 0.1
"""Of the columns of a curve so many may run out of the picture on each side."""
SLACK = 0.5
"""Beyond what the others span, as a share of that, values are still shown."""
GAIN = 2.0
"""All is shown unless the rest gets more than so many times the height for what is left out."""
KEEP = 1.5
"""The same once something is out of view: the axis must not jump to and fro."""
REACH = 1.0
"""How far beyond the curves, in parts of what they span, a level to come to is taken into view."""
FEW = 16
"""Columns below which nothing is left out."""


class Scale(msgspec.Struct, frozen=True):
    """How values become heights: `linear`, `log`, or `symmetric`: logarithmic both ways from 0, for values of any sign.

    `threshold` is the size of value about which a symmetric scale turns from linear (around 0) to logarithmic.
    """

    kind: str = "linear"
    threshold: float = 1.0

    def forward(self, values: np.ndarray) -> np.ndarray:
        """Values as heights; NaN where a value has none."""
        if self.kind == "linear":
            return values
        if self.kind == "symmetric":
            with np.errstate(over="ignore"):
                return np.sign(values) * np.log10(1.0 + np.minimum(np.abs(values) / self.threshold, 1e300))
        with np.errstate(divide="ignore", invalid="ignore"):
            heights = np.log10(values)
        return np.where(np.isfinite(heights), heights, np.nan)

    def inverse(self, height: float) -> float:
        """The value at a height."""
        if self.kind == "linear":
            return height
        if self.kind == "symmetric":
            return math.copysign(self.threshold * (10.0 ** min(300.0, abs(height)) - 1.0), height)
        return float(10.0**height)

    def part(self, value: float, limits: tuple[float, float]) -> float:
        """Where a value lies between two heights, 0 to 1."""
        height = float(self.forward(np.array([value]))[0])
        return (height - limits[0]) / (limits[1] - limits[0])

    def ticks(self, lo: float, hi: float, count: int, dense: int) -> tuple[list[float], float | None]:
        """About `count` round values from `lo` to `hi` and their distance; of a logarithmic scale `dense`, and None."""
        if self.kind == "log":
            values = log_ticks(lo, hi, max(2, dense))
            if len(values) >= 2 and hi / lo >= 5:
                return values.tolist(), None
        elif self.kind == "symmetric":
            powers = _symmetric_ticks(lo, hi, self.threshold, max(2, dense))
            if len(powers) >= 2:
                return powers, None
        values, distance = ticks(lo, hi, count)
        return values.tolist(), distance


LINEAR = Scale()


def _symmetric_ticks(lo: float, hi: float, threshold: float, count: int) -> list[float]:
    """0 and powers of ten, with 2 and 5 between them if they fit, and their negatives, from `lo` to `hi`."""
    last = math.ceil(math.log10(max(abs(lo), abs(hi), threshold)))
    first = math.floor(math.log10(threshold) + 1e-9)
    ticks: list[float] = []
    for factors, stride in (((1, 2, 5), 1), ((1,), 1), ((1,), 2), ((1,), 3), ((1,), 6), ((1,), 12), ((1,), 50)):
        sizes = [m * 10.0**e for e in range(first, last + 1, stride) for m in factors]
        ticks = [tick for tick in (*(-size for size in reversed(sizes)), 0.0, *sizes) if lo <= tick <= hi]
        if len(ticks) <= count + 1:
            break
    return ticks


def choose_scale(log: bool, ends: Iterable[np.ndarray], before: Scale) -> Scale:
    """The scale for columns with these ends: linear unless `log`; symmetric where one of them is not above 0.

    Of a symmetric scale all but the smallest twentieth of the values are in the logarithmic part, or 12 powers of ten.
    """
    if not log:
        return LINEAR
    finite = [values[np.isfinite(values)] for values in ends]
    values = np.concatenate(finite) if finite else np.empty(0)
    if not len(values) or values.min() > 0:
        return Scale("log")
    sizes = np.sort(np.abs(values[values != 0]))
    if not len(sizes):
        return Scale("symmetric")
    threshold = 10.0 ** math.floor(math.log10(max(sizes[len(sizes) // 20], sizes[-1] * 1e-12)))
    if before.kind == "symmetric" and before.threshold <= threshold < 100 * before.threshold:
        threshold = before.threshold  # another one moves every dot
    return Scale("symmetric", threshold)


class Extent(msgspec.Struct, frozen=True):
    """What a curve's columns span: all of them, and all but the outliers."""

    whole: tuple[float, float]
    most: tuple[float, float]


def extent(low: np.ndarray, high: np.ndarray, newest: float) -> Extent | None:
    """The extent of columns from `low` to `high` (heights, NaN where there is nothing); None without any.

    Outliers are those beyond the SHARE quantiles by more than SLACK of what is between these. The newest value is none,
    and where everything else is one value, nothing is.
    """
    low, high = np.sort(low[np.isfinite(low)]), np.sort(high[np.isfinite(high)])
    count = min(len(low), len(high))
    if not count:
        return None
    whole = float(low[0]), float(high[-1])
    a, b = float(low[int(SHARE * (len(low) - 1))]), float(high[-1 - int(SHARE * (len(high) - 1))])
    if count < FEW or b - a <= 1e-6 * max(abs(a), abs(b)):
        return Extent(whole, whole)
    slack = SLACK * (b - a)
    lo, hi = max(whole[0], a - slack), min(whole[1], b + slack)
    if math.isfinite(newest):
        lo, hi = min(lo, newest), max(hi, newest)
    return Extent(whole, (lo, hi))


def worth(extents: Iterable[Extent], cut: bool, everything: bool) -> tuple[float, float, bool]:
    """The limits for curves with these extents, and whether something is left out by them; `cut`: it was before."""
    some = list(extents)
    lo, hi = min(extent.whole[0] for extent in some), max(extent.whole[1] for extent in some)
    low, high = min(extent.most[0] for extent in some), max(extent.most[1] for extent in some)
    if not everything and hi - lo > (KEEP if cut else GAIN) * (high - low):
        return low, high, True
    return lo, hi, False


def taking_in(levels: Iterable[float], lo: float, hi: float) -> tuple[float, float]:
    """Limits that take in the levels (heights) that are not much further from them than they are from each other."""
    far = REACH * (hi - lo)
    near = [level for level in levels if lo - far <= level <= hi + far]
    return min([lo, *near]), max([hi, *near])
