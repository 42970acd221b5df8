"""One metric over time: growing arrays, an incremental EMA, and min/max per pixel column.

Everything is computed in float64; values may be kept in float32, which metrics are measured in: 12 bytes a point.
A value that is no number (NaN, an infinity, None, or beyond LARGEST) is a gap: it is stored as NaN, never drawn, and
it neither moves nor poisons the average.
"""

from __future__ import annotations

from array import array

import msgspec
import numpy as np

# A chunk of the EMA scan stays in the L2 cache while the ~12 doubling passes go over it.
_SCAN_CHUNK = 1 << 14
# A loss this large has diverged; leaving it out keeps the arithmetic of averages and axes from overflowing.
LARGEST = 1e150
LARGEST_SINGLE = 1e37
"""The same for values that are kept in float32."""
LARGEST_EXACT = 1 << 53
"""Whole numbers up to this are float64, every one."""


def _scan(values: np.ndarray, factor: float, carry: float) -> np.ndarray:
    """`s[t] = factor * s[t-1] + (1 - factor) * values[t]` with `s[-1] = carry`, without a Python loop over points.

    Doubling: after the pass with shift k, `s[t]` holds the weighted sum of the last 2k values; passes end when the
    remaining weight is below the precision of a float64.
    """
    out = np.empty_like(values)
    for begin in range(0, len(values), _SCAN_CHUNK):
        s = values[begin : begin + _SCAN_CHUNK] * (1.0 - factor)
        s[0] += factor * carry
        shift, weight = 1, factor
        while shift < len(s) and weight > 1e-18:
            s[shift:] += weight * s[:-shift]
            shift, weight = shift * 2, weight * weight
        carry = float(s[-1])
        out[begin : begin + len(s)] = s
    return out


def _correct(s: np.ndarray, factor: float, before: int) -> None:
    """Divide an average over `before` values and those of `s` by the sum of its weights, in place.

    That is 1 - factor**count, which is 1 to the last bit after enough values.
    """
    decay = np.log(factor)
    count = np.arange(before + 1, min(before + len(s), int(-40 / decay)) + 1)
    s[: len(count)] /= -np.expm1(count * decay)


def _reach(values: np.ndarray, factor: float) -> int:
    """The index of the first of `values` on which one that comes after them still has a weight that counts."""
    far = int(-40 / np.log(factor)) + 1
    if len(values) <= far:
        return 0
    finite = np.flatnonzero(~np.isnan(values[-2 * far :]))
    if len(finite) < far:  # many gaps, which do not count
        finite = np.flatnonzero(~np.isnan(values))
        return int(finite[-far]) if len(finite) >= far else 0
    return max(0, len(values) - 2 * far) + int(finite[-far])


class _Average:
    """State of one bias-corrected EMA (Kingma & Ba 2015, section 3) over the finite values of a series."""

    def __init__(self, factor: float, dtype: type[np.floating] = np.float64) -> None:
        self.factor = factor
        self.length = 0  # points already averaged
        self.finite = 0  # of them, how many were no gap
        self.sum = 0.0  # the uncorrected average
        self.values: np.ndarray = np.empty(0, dtype)

    def extend(self, values: np.ndarray) -> None:
        """Average `values[self.length:]`."""
        n = len(values)
        if len(self.values) < n:
            buffer = np.empty(max(1024, 2 * n), self.values.dtype)
            buffer[: self.length] = self.values[: self.length]
            self.values = buffer
        new, out = values[self.length : n].astype(np.float64, copy=False), self.values[self.length : n]
        keep = ~np.isnan(new)
        whole = bool(keep.all())
        x = new if whole else new[keep]
        if len(x):
            s = _scan(x, self.factor, self.sum)
            self.sum = float(s[-1])
            _correct(s, self.factor, self.finite)
            self.finite += len(x)
        else:
            s = x
        if whole:
            out[:] = s
        else:
            out[:] = np.nan
            out[keep] = s
        self.length = n

    def cut(self, values: np.ndarray, n: int) -> None:
        """Go back to the state after the first `n` points."""
        if n >= self.length:
            return
        keep = np.flatnonzero(~np.isnan(values[:n]))
        self.length, self.finite = n, len(keep)
        self.sum = 0.0
        if self.finite:
            self.sum = float(self.values[keep[-1]]) * -np.expm1(self.finite * np.log(self.factor))


class _ZeroPhase:
    """State of an EMA that runs over the values and then backwards over its own result, so that it lags nowhere.

    Both ways it is corrected for its beginning. A new value changes only those before it that it still weighs upon.
    """

    def __init__(self, factor: float, dtype: type[np.floating] = np.float64) -> None:
        self.factor = factor
        self.length = 0
        self.current = True  # whether nothing was taken away since
        self.values: np.ndarray = np.empty(0, dtype)

    def extend(self, forward: np.ndarray) -> None:
        """Smooth so many of the causal averages, NaN in gaps, as there are now."""
        n = len(forward)
        if len(self.values) < n:
            grown = np.empty(max(1024, 2 * n), self.values.dtype)
            grown[: self.length] = self.values[: self.length]
            self.values = grown
        begin = _reach(forward[: self.length], self.factor)
        tail, out = forward[begin:n].astype(np.float64, copy=False), self.values[begin:n]
        keep = ~np.isnan(tail)
        backwards = tail[keep][::-1]
        out[:] = np.nan
        if len(backwards):
            s = _scan(backwards, self.factor, 0.0)
            _correct(s, self.factor, 0)
            out[keep] = s[::-1]
        self.length, self.current = n, True

    def cut(self, n: int) -> None:
        """Keep the first `n` points, of which the last are to be smoothed again."""
        if n < self.length:
            self.length, self.current = n, False


MOST_PROGRESSIONS = 64
_progressions: dict[tuple[float, float], np.ndarray] = {}
"""Steps that are shared, by their first and their distance."""


def _progression(first: float, stride: float, count: int) -> np.ndarray:
    """`first`, `first + stride`, … as (count,) float64, not to be written to: all series of such steps have the same.

    Nearly all metrics are measured at every step, or at every so many: kept once, their steps take no room.
    """
    steps = _progressions.get((first, stride))
    if steps is None or len(steps) < count:
        steps = first + stride * np.arange(max(1024, 2 * count))
        steps.flags.writeable = False
        while len(_progressions) >= MOST_PROGRESSIONS:
            _progressions.pop(next(iter(_progressions)), None)
        _progressions[first, stride] = steps
    return steps[:count]


class Series:
    """A named metric: steps in ascending order and one value per step.

    `slot` is its colour (its place in the list drawn unless given); `smooth=False` draws it without an average (sparse
    validation losses). `dtype` is what values are kept in, `room` is for how many at first. `revision` changes with
    every change of the data, `generation` when points were taken away.
    """

    def __init__(
        self,
        name: str = "",
        steps: object = None,
        values: object = None,
        *,
        slot: int | None = None,
        smooth: bool = True,
        dtype: type[np.floating] = np.float64,
        room: int = 256,
    ) -> None:
        self.name = name
        self.slot = slot
        self.smooth = smooth
        self._first, self._stride = 0.0, 1.0
        self._steps: np.ndarray | None = None
        """None where they are a progression, from the first by the stride."""
        self._values: np.ndarray = np.empty(room, dtype)
        self._largest = LARGEST if dtype is np.float64 else LARGEST_SINGLE
        self._extremes = (np.nan, np.nan)  # of points that were thinned out
        self._n = 0
        self._averages: dict[float, _Average] = {}
        self._zero_phase: dict[float, _ZeroPhase] = {}
        self.has_gaps = False
        self.revision = 0
        self.generation = 0
        if steps is not None:
            self.append(steps, values)

    def __len__(self) -> int:
        return self._n

    @property
    def steps(self) -> np.ndarray:
        """All steps, ascending, shape (n,). A view: do not write to it or keep it across appends."""
        return _progression(self._first, self._stride, self._n) if self._steps is None else self._steps[: self._n]

    @property
    def values(self) -> np.ndarray:
        """All values, shape (n,), NaN where there is a gap. A view, as `steps`."""
        return self._values[: self._n]

    def append(self, steps: object, values: object) -> None:
        """Add points; `steps` and `values` are scalars or sequences of equal length (None and non-finite are gaps).

        Steps that go back behind the last one replace what is there (a run resumed from an earlier checkpoint).
        Raises ValueError when the lengths differ.
        """
        x = np.atleast_1d(np.asarray(steps, dtype=np.float64))
        y = np.atleast_1d(np.asarray(values, dtype=np.float64))
        if x.shape != y.shape or x.ndim != 1:
            raise ValueError(f"{self.name or 'series'}: {x.shape} steps but {y.shape} values")
        drawable = np.abs(x) <= LARGEST
        if not drawable.all():  # a point without a place cannot be drawn
            x, y = x[drawable], y[drawable]
        if not len(x):
            return
        if len(x) > 1 and np.any(x[1:] < x[:-1]):
            order = np.argsort(x, kind="stable")
            x, y = x[order], y[order]
        if self._n and x[0] < self.steps[-1]:
            self._cut(int(np.searchsorted(self.steps, x[0], side="left")))
        stride = float(x[1] - x[0]) if len(x) > 1 else self._stride
        if not self._goes_on(float(x[0]), stride) or np.any(x != x[0] + stride * np.arange(len(x))):
            self._place(x)
        self._put(y)

    def append_stride(self, start: int, stride: int, values: object) -> None:
        """Add the values of steps `start`, `start + stride`, …; None and non-finite ones are gaps."""
        if isinstance(values, array) and values.typecode == "f":
            column = np.frombuffer(values, np.float32)
        elif isinstance(values, np.ndarray) and values.dtype == np.float32:
            column = values
        else:
            column = np.asarray(values, dtype=np.float64)
        if stride > 0 and abs(start) + stride * len(column) < LARGEST_EXACT and self._goes_on(start, stride):
            self._put(column)
        else:
            self.append(start + stride * np.arange(len(column)), column)

    def _goes_on(self, first: float, stride: float) -> bool:
        """Whether steps from `first` by `stride` go on with the progression that is there; they do where none is."""
        if self._steps is not None or not stride > 0:
            return False
        if self._n == 0:
            self._first, self._stride = float(first), float(stride)
            return True
        if self._n == 1 and first == self._first + stride:
            self._stride = float(stride)
        return stride == self._stride and first == self._first + self._n * self._stride

    def _place(self, x: np.ndarray) -> None:
        """Keep these steps, and those before them, one by one."""
        end = self._n + len(x)
        if self._steps is None or end > len(self._steps):
            grown = np.empty(max(256, end, 2 * self._n))
            grown[: self._n] = self.steps
            self._steps = grown
        self._steps[self._n : end] = x

    def _put(self, y: np.ndarray) -> None:
        """Add values, for whose steps there is a place."""
        if not len(y):
            return
        end = self._n + len(y)
        if end > len(self._values):
            grown = np.empty(max(256, end, 2 * self._n), self._values.dtype)
            grown[: self._n] = self._values[: self._n]
            self._values = grown
        finite = np.abs(y) <= self._largest  # False for NaN
        if not finite.all():
            y = np.where(finite, y, np.nan)
            self.has_gaps = True
        self._values[self._n : end] = y
        self._n = end
        self.revision += 1

    def truncate(self, step: float) -> None:
        """Drop every point after `step` (a run resumed there rewrites them)."""
        self._cut(int(np.searchsorted(self.steps, step, side="right")))

    def _cut(self, n: int) -> None:
        if n >= self._n:
            return
        for average in self._averages.values():
            average.cut(self.values, n)
        for smooth in self._zero_phase.values():
            smooth.cut(n)
        self._n = n
        self.revision += 1
        self.generation += 1

    def ema(self, factor: float, zero_phase: bool = False) -> np.ndarray:
        """Bias-corrected EMA of the values, shape (n,), NaN in gaps; `factor` in [0, 1), 0 is the data itself.

        It is causal, and therefore late; `zero_phase` runs it backwards over its result as well. Only points added
        since the last call with the same factor are computed, and those that they change. The last two factors are
        remembered.
        """
        if not 0.0 <= factor < 1.0:
            raise ValueError(f"EMA factor must be in [0, 1), not {factor}")
        if factor == 0.0:
            return self.values
        average = self._averages.pop(factor, None) or _Average(factor, self._values.dtype.type)
        self._averages[factor] = average  # most recent last
        while len(self._averages) > 2:
            del self._averages[next(iter(self._averages))]
        if average.length < self._n:
            average.extend(self.values)
        if zero_phase:
            return self._smooth_both_ways(factor, average.values[: self._n])
        return average.values[: self._n]

    def _smooth_both_ways(self, factor: float, forward: np.ndarray) -> np.ndarray:
        smooth = self._zero_phase.pop(factor, None) or _ZeroPhase(factor, self._values.dtype.type)
        self._zero_phase[factor] = smooth
        while len(self._zero_phase) > 2:
            del self._zero_phase[next(iter(self._zero_phase))]
        if smooth.length < self._n or not smooth.current:
            smooth.extend(forward)
        return smooth.values[: self._n]

    def first_changed(self, before: int, factor: float, zero_phase: bool) -> int:
        """The index of the first average that points after the first `before` may have changed."""
        return _reach(self.values[:before], factor) if zero_phase and factor else before

    def thin(self, most: int) -> None:
        """Keep at most `most` points: the newest half as it is, of those before it some at about equal distances."""
        if self._n <= most:
            return
        self._extremes = self.extremes()
        older = self._n - most // 2
        steps = self.steps[:older]
        width = max((steps[-1] - steps[0]) / max(1, most // 4 - 1), 1e-300)
        place = np.floor((steps - steps[0]) / width)
        keep = np.concatenate((np.flatnonzero(np.diff(place, prepend=-1.0)), np.arange(older, self._n)))
        self._steps, self._values = self.steps[keep], self._values[keep]
        self._averages.clear()
        self._zero_phase.clear()
        self._n = len(keep)
        self.revision += 1
        self.generation += 1

    def extremes(self) -> tuple[float, float]:
        """The lowest and the highest value there was, also of points that were thinned out; NaN without any."""
        finite = self.values[~np.isnan(self.values)]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (np.nan, np.nan)
        return float(np.fmin(low, self._extremes[0])), float(np.fmax(high, self._extremes[1]))

    def read(self, step: float, low: float, high: float) -> tuple[int | None, bool]:
        """Index of the point to read at a step, and whether it stands there: in `low` to `high`, what counts as there.

        That is the nearest point of those that stand there; without any, the last before, for between two measurements
        nobody knows more. None before the first.
        """
        steps = self.steps
        after = int(np.searchsorted(steps, step))
        beside = [place for place in (after - 1, after) if 0 <= place < len(steps)]
        here = [place for place in beside if low <= steps[place] <= high or steps[place] == step]
        if here:
            return min(here, key=lambda place: abs(steps[place] - step)), True
        return (after - 1 if after else None), False


class Columns(msgspec.Struct):
    """What a series does in each of n pixel columns; arrays of shape (n,), NaN where nothing is to be drawn.

    `lo`, `hi`: extremes; `first`, `last`: the values at the column's ends (NaN when that point is a gap);
    `mean`: the EMA at the column's last finite point; `filled`: whether the column holds points at all.
    """

    lo: np.ndarray
    hi: np.ndarray
    first: np.ndarray
    last: np.ndarray
    mean: np.ndarray
    filled: np.ndarray
    starts: np.ndarray  # (n + 1,) index of the first point of each column


class ColumnStats:
    """Column extremes of one series, kept between frames: only columns touched by new points are recomputed."""

    def __init__(self) -> None:
        self._key: tuple[int, int, float, bool, bytes] | None = None
        self._length = 0
        self._columns: Columns | None = None

    def update(self, series: Series, edges: np.ndarray, smoothing: float, zero_phase: bool = False) -> Columns:
        """Columns of `series` between consecutive `edges` (n + 1 ascending steps; the last column is closed)."""
        n = len(edges) - 1
        steps, values = series.steps, series.values
        starts = np.searchsorted(steps, edges, side="left")
        starts[n] = np.searchsorted(steps, edges[n], side="right")
        key = (id(series), series.generation, smoothing, zero_phase, edges.tobytes())
        if key != self._key or self._columns is None:
            lo, hi, first, last, mean = (np.full(n, np.nan) for _ in range(5))
            self._columns = Columns(lo, hi, first, last, mean, filled=np.zeros(n, dtype=bool), starts=starts)
            self._key, begin = key, 0
        elif self._length == len(steps):
            return self._columns
        else:
            # nothing changed before the column of the first new point, or of the first average that it changed
            first_changed = series.first_changed(self._length, smoothing, zero_phase)
            begin = max(0, int(np.searchsorted(starts, first_changed, side="right")) - 1)
        columns = self._columns
        columns.starts = starts
        self._length = len(steps)
        a, b = starts[begin:n], starts[begin + 1 :]
        some = b > a
        columns.filled[begin:] = some
        if not some.any():
            return columns
        where = begin + np.flatnonzero(some)
        a, b = a[some], b[some]
        window, offset = values[a[0] : b[-1]], a - a[0]
        low, high = (np.fmin, np.fmax) if series.has_gaps else (np.minimum, np.maximum)
        columns.lo[where] = low.reduceat(window, offset)
        columns.hi[where] = high.reduceat(window, offset)
        columns.first[where] = values[a]
        columns.last[where] = values[b - 1]
        average = series.ema(smoothing, zero_phase)
        mean = average[b - 1]
        for i in np.flatnonzero(np.isnan(mean)):
            finite = np.flatnonzero(~np.isnan(average[a[i] : b[i]]))
            if len(finite):
                mean[i] = average[a[i] + finite[-1]]
        columns.mean[where] = mean
        return columns
