"""Axes of a live plot: limits that grow in steps, round ticks, short labels.

Limits that follow the data point by point move every dot in every frame. Limits that grow in steps (20 % in x, 8 % in
y) leave most cells as they were, and over a slow link only changed cells are sent: a tenth of the bytes.
"""

from __future__ import annotations

import math

import numpy as np

GROW_X = 0.20
GROW_Y = 0.08


class Limits:
    """Limits of one axis that change rarely. `grow` is the fraction of the span added when the data reach them."""

    def __init__(self, grow: float) -> None:
        self.grow = grow
        self.lo = math.nan
        self.hi = math.nan

    def reset(self) -> None:
        """Forget the limits; the next `fit` starts anew."""
        self.lo = self.hi = math.nan

    def fit_growing(self, lo: float, hi: float, most: float | None = None) -> tuple[float, float]:
        """Limits for an axis that only extends to the right: from `lo` to beyond `hi`, but not beyond `most`."""
        lo = beginning(lo, hi)
        span = max(hi - lo, 1.0)
        if not (self.lo <= lo and hi <= self.hi) or self.hi - self.lo > 2.5 * span:
            self.lo = lo
            self.hi = lo + _round_up(span * (1 + self.grow))
        if most is not None and hi <= most < self.hi:
            self.hi = most
        return self.lo, self.hi

    def fit_page(self, hi: float, width: float) -> tuple[float, float]:
        """A window `width` wide that jumps half a page on when `hi` leaves it, instead of sliding."""
        half = width / 2
        end = max(width, math.ceil(hi / half) * half)
        self.lo, self.hi = end - width, end
        return self.lo, self.hi

    def fit_around(self, lo: float, hi: float) -> tuple[float, float]:
        """Limits for values between `lo` and `hi`; shrinks only when the data use less than half of them."""
        span = hi - lo
        # Next to a constant, a relative noise floor keeps the axis from magnifying rounding errors.
        floor = max(abs(lo), abs(hi)) * 1e-6 or 1e-6
        if span < floor:
            middle, half = (lo + hi) / 2, max(abs(lo) * 0.05, floor, 1e-6)
            lo, hi, span = middle - half, middle + half, 2 * half
        room = self.grow * span
        if not (self.hi - self.lo <= 2.2 * span):  # also the first time, when both are NaN
            self.lo, self.hi = lo - room, hi + room
        else:
            if lo < self.lo:
                self.lo = lo - room
            if hi > self.hi:
                self.hi = hi + room
        return self.lo, self.hi


def beginning(lo: float, hi: float) -> float:
    """Where an axis begins whose values go from `lo` to `hi`: at 0 where they begin near it, as with the first step."""
    return 0.0 if 0 <= lo <= max(1.0, 0.1 * hi) else lo


def zoomed(window: tuple[float, float], factor: float, centre: float | None = None) -> tuple[float, float]:
    """`window` made `factor` times as wide about `centre` (its middle unless told)."""
    lo, hi = window
    centre = (lo + hi) / 2 if centre is None else centre
    return centre - (centre - lo) * factor, centre + (hi - centre) * factor


def panned(window: tuple[float, float], fraction: float) -> tuple[float, float]:
    """`window` moved by `fraction` of its width (positive: towards larger values)."""
    lo, hi = window
    shift = (hi - lo) * fraction
    return lo + shift, hi + shift


def _round_up(value: float) -> float:
    """The next value with two significant digits, so that an axis ends on a number one can read."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit - 1e-9) * unit


def ticks(lo: float, hi: float, count: int, whole: bool = False) -> tuple[np.ndarray, float]:
    """About `count` round values in [lo, hi] and their distance: 1, 2 or 5 times a power of ten, >= 1 if `whole`."""
    span = hi - lo
    if not span > 0 or not math.isfinite(span):
        return np.array([lo]), 1.0
    raw = span / max(1, count)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))
    if whole:
        step = max(1.0, step)
    first, last = math.ceil(lo / step - 1e-9), math.floor(hi / step + 1e-9)
    return np.arange(first, last + 1) * step, step


def log_ticks(lo: float, hi: float, count: int) -> np.ndarray:
    """Round values in [lo, hi], both > 0, for a logarithmic axis: decades, with steps between them if they fit."""
    first, last = math.floor(math.log10(lo)), math.ceil(math.log10(hi))
    decades = last - first
    if math.log10(hi / lo) < 0.7:  # less than a decade: linear ticks read better
        values, _ = ticks(lo, hi, count)
        return values[values > 0]
    factors: tuple[int, ...] = (1,)
    for more in ((1, 3), (1, 2, 5)):
        if math.log10(hi / lo) * len(more) <= count:
            factors = more
    stride = max(1, math.ceil(decades / max(1, count)))
    round_ones = [m * 10.0**e for e in range(first, last + 1) if (e - first) % stride == 0 for m in factors]
    return np.array([v for v in round_ones if lo * (1 - 1e-9) <= v <= hi * (1 + 1e-9)])


_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def label(value: float, step: float | None = None) -> str:
    """A short text for a tick; `step`, the distance to the next tick, decides the decimals, so that labels differ."""
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    size = abs(value)
    if size == 0 or (step and size < step * 1e-6):
        return "0"
    if step is None:
        step = 10.0 ** math.floor(math.log10(size))  # the ticks of a logarithmic axis have one digit
    if size >= 1e12 or size < 1e-3 or step < 1e-4:
        digits = max(0, min(6, math.floor(math.log10(size)) - math.floor(math.log10(step) + 1e-9)))
        mantissa, exponent = f"{value:.{digits}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if size >= 1e4 or (size >= 1e3 and step >= 1e2):
        for unit, suffix in _UNITS:
            if size >= unit and _decimals(step / unit) <= 3:
                text = f"{value / unit:.{_decimals(step / unit)}f}"
                return (text.rstrip("0").rstrip(".") if "." in text else text) + suffix
    return f"{value:.{_decimals(step)}f}"


def _decimals(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9))


def reading(value: float) -> str:
    """`value` with four significant digits, for legends and readouts."""
    if not math.isfinite(value):
        return label(value)
    size = abs(value)
    if size != 0 and (size < 1e-3 or size >= 1e6):
        return f"{value:.2e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    if size >= 1e4:
        return f"{value:.0f}"
    return f"{value:.4g}"
