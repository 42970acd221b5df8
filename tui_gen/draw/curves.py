"""The live plot: series to rows of styled text, drawn with braille dots (2 x 4 per cell) or plain ASCII.

Per series a dim band spans the extremes of each dot column, so a spike of a single step is always seen, and the EMA
runs over it as a bright line. A cell has one colour, therefore an upper layer *replaces* the dots of a cell.

`Plot` keeps what makes the next frame cheap and alike: stepped axis limits (see `axes`) and per-column extremes (see
`series`). The result is plain data; style keys are names, and whoever shows the frame decides their colours:

    ""          blank             "axis" "label" "text" "note"   axes, tick labels, legend, messages
    "band.N"    extremes          "line.N"    EMA line, legend glyph      (N: colour slot of the series)
    "mark.KIND" vertical marks    "cursor"    the crosshair       "level"   a value to come to
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence

import msgspec
import numpy as np

from tui_gen.draw.axes import GROW_X, GROW_Y, Limits, reading
from tui_gen.draw.canvas import Canvas, Level, Mark, legend_glyph, raster
from tui_gen.draw.compose import compose
from tui_gen.draw.frames import Area, Frame, FrameOptions, Reading
from tui_gen.draw.scales import LINEAR, Extent, Scale, choose_scale, extent, taking_in, worth
from tui_gen.draw.series import Columns, ColumnStats, Series
from tui_gen.draw.xscale import XScale
from tui_gen.text import clean

__all__ = ["Area", "Frame", "FrameOptions", "Level", "Mark", "Plot", "Reading", "Series", "legend_glyph", "render"]

def render(width: int, height: int, series: Sequence[Series], options: FrameOptions | None = None) -> Frame:
    """Draw once, without anything kept for a next frame."""
    return Plot().render(width, height, series, options)


class Plot:
    """A plot that is drawn again and again; keeps limits and column extremes between frames."""

    def __init__(self) -> None:
        self._x = Limits(GROW_X)
        self._y = Limits(GROW_Y)
        self._x_kind: tuple[object, ...] = ()  # what was asked for when the limits were last chosen
        self._y_kind: tuple[object, ...] = ()
        self._scale = LINEAR
        self._cut = False  # whether outliers were left out of the last frame
        self._stats: weakref.WeakKeyDictionary[Series, ColumnStats] = weakref.WeakKeyDictionary()

    def render(
        self, width: int, height: int, series: Sequence[Series], options: FrameOptions | None = None
    ) -> Frame:
        """A frame of `width` x `height` cells. Any size works; below about 24 x 6 axes and legend are left out."""
        options = options or FrameOptions()
        if width < 1 or height < 1:
            return Frame(max(0, width), max(0, height), [[] for _ in range(max(0, height))])
        area = _layout(width, height, options)
        canvas = Canvas(area.width, area.height, options.ascii)
        lines = [(i if s.slot is None else s.slot, s) for i, s in enumerate(series) if len(s)]
        x0, x1 = self._x_limits([s for _, s in lines], options)
        x_scale = XScale(options.log_x, options.clock or None)
        edges = x_scale.edges((x0, x1), area.width * canvas.across)

        column_stats = []
        for _, line in lines:
            stats = self._stats.setdefault(line, ColumnStats())
            column_stats.append(stats.update(line, edges, _smoothing(line, options), options.zero_phase))
        ends = [end for columns in column_stats for end in (columns.lo, columns.hi)]
        self._scale = scale = choose_scale(options.log_y, ends, self._scale)
        curves = [
            _Curve(slot, line, columns, *_spans(line, columns, edges, options, scale))
            for (slot, line), columns in zip(lines, column_stats)
        ]
        heights = self._heights(curves, options)

        canvas.marks(options.marks, (x0, x1), x_scale)
        rows = self._levels(canvas, heights, options)
        self._draw(canvas, curves, heights)
        outside = sum(self._mark_outside(canvas, curves, heights, options.bands, above) for above in (True, False))
        self._name(canvas, curves, heights)
        for row, text in rows:
            canvas.name_level(row, text)
        if options.cursor is not None:
            canvas.vertical(x_scale.part(options.cursor, (x0, x1)), "│", "|", "cursor")
        if not curves:
            canvas.message("no values yet")

        limits = scale.inverse(heights[0]), scale.inverse(heights[1])
        frame = Frame(width, height, [], area, (x0, x1), limits, x_scale, scale, heights, outside)
        here = (0.0, 0.0) if options.cursor is None else _column(options.cursor, frame)
        frame.readings = [_reading(slot, line, options, here) for slot, line in lines]
        frame.rows = compose(frame, canvas, options, bool(lines))
        return frame

    def _levels(self, canvas: Canvas, heights: tuple[float, float], options: FrameOptions) -> list[tuple[int, str]]:
        """The levels' lines, under the curves: rows of cells and names. One out of view has its name on the edge."""
        rows = []
        for level in options.levels:
            height = float(self._scale.forward(np.array([level.value]))[0])
            if math.isnan(height):
                continue
            if heights[0] <= height <= heights[1]:
                row = int(canvas.rows_at(np.array([height]), heights)[0])
                canvas.level(row)
                rows.append((row, level.text))
            else:
                above = height > heights[1]
                arrow = ("^" if above else "v") if options.ascii else ("↑" if above else "↓")
                rows.append((0 if above else canvas.chars.shape[0] - 1, f"{arrow} {level.text}"))
        return rows

    def _draw(self, canvas: Canvas, curves: list[_Curve], heights: tuple[float, float]) -> None:
        """Bands, the lines over them, and what tells the lines apart without colour."""
        y0, y1 = heights
        rows = canvas.chars.shape[0] * canvas.down
        for curve in curves:
            if curve.mean is not None:
                canvas.dots(raster(*curve.band, y0, y1, rows), f"band.{curve.slot}", curve.slot)
        for curve in curves:
            if curve.mean is not None:
                canvas.dots(raster(*curve.mean, y0, y1, rows), f"line.{curve.slot}", curve.slot, np.zeros(1, bool))
            else:  # without an average on top of it, the band is the line
                canvas.dots(raster(*curve.band, y0, y1, rows), f"line.{curve.slot}", curve.slot, curve.columns.filled)
        if len(curves) > 1:
            canvas.markers([curve.sparse for curve in curves])
        for curve in curves:
            if curve.sparse:
                canvas.points(curve.places(self._scale, heights, canvas), curve.slot)

    def _mark_outside(
        self, canvas: Canvas, curves: list[_Curve], heights: tuple[float, float], bands: bool, above: bool
    ) -> int:
        """Mark the columns whose values leave the picture, and say how many those are and how far they go.

        Without `bands`, values are out of the picture wherever they are, and only averages are marked.
        """
        limit = self._scale.inverse(heights[1] if above else heights[0])
        count, furthest, at = 0, limit, 0
        for curve in curves:
            ends = curve.columns.hi if above else curve.columns.lo
            with np.errstate(invalid="ignore"):
                out = np.flatnonzero(ends > limit if above else ends < limit)
                if curve.mean is not None:  # the average may stay out for longer than the values that took it there
                    mean_out = curve.mean[0] > heights[1] if above else curve.mean[1] < heights[0]
                    canvas.edge(np.flatnonzero(mean_out) // canvas.across, above, curve.slot)
            if not len(out) or not (bands or curve.mean is None):
                continue
            starts = curve.columns.starts
            for begin, end in zip(starts[out], starts[out + 1]):
                values = curve.series.values[begin:end]
                with np.errstate(over="ignore"):  # a limit that is beyond all that float32 can be
                    count += int(np.count_nonzero(values > limit if above else values < limit))
            canvas.edge(out // canvas.across, above, curve.slot)
            best = out[np.argmax(ends[out]) if above else np.argmin(ends[out])]
            if (ends[best] > furthest) if above else (ends[best] < furthest):
                furthest, at = float(ends[best]), int(best) // canvas.across
        if count and canvas.chars.shape[0] > 2:
            words = f"{count:,} value{'s' * (count > 1)} clipped, to {reading(furthest)}"
            canvas.write_beside(0 if above else canvas.chars.shape[0] - 1, at, words, "note")
        return count

    def _name(self, canvas: Canvas, curves: list[_Curve], heights: tuple[float, float]) -> None:
        """Curves are named where they end, if there are several; a single measurement has its value beside it."""
        for curve in curves:
            words = [clean(curve.series.name)] if len(curves) > 1 and curve.series.name else []
            alone = int(np.count_nonzero(np.isfinite(curve.columns.hi))) == 1 and curve.sparse
            if alone:
                words.append(reading(float(curve.columns.hi[np.isfinite(curve.columns.hi)][0])))
            end = curve.end(heights, canvas)
            if words and end is not None:
                canvas.name_at(*end, " ".join(words), f"line.{curve.slot}")

    def _x_limits(self, series: Sequence[Series], options: FrameOptions) -> tuple[float, float]:
        kind = (options.follow, options.last_step, options.log_x)
        if kind != self._x_kind:
            self._x_kind = kind
            self._x.reset()
        if options.x_window is not None:
            x0, x1 = sorted(map(float, options.x_window))
            if not x1 > x0:
                x1 = x0 + 1.0
        elif not series:
            x0, x1 = 0.0, float(options.last_step or 1.0)
        else:
            lo = min(float(s.steps[0]) for s in series)
            hi = max(float(s.steps[-1]) for s in series)
            if options.follow and hi - lo > options.follow:
                x0, x1 = self._x.fit_page(hi, options.follow)
            else:
                x0, x1 = self._x.fit_growing(lo, hi, options.last_step)
        if options.log_x:
            x0 = max(1.0, x0)
            x1 = max(x1, x0 * 1.1)
        return x0, x1

    def _heights(self, curves: list[_Curve], options: FrameOptions) -> tuple[float, float]:
        """The y limits on the scale."""
        scale = self._scale
        if options.y_window is not None:
            values = np.array(sorted(map(float, options.y_window)))
            if scale.kind == "log":
                values[1] = max(values[1], 1e-150)
                values[0] = max(values[0], 1e-160) if values[0] > 0 else values[1] * 1e-6
            lo, hi = map(float, scale.forward(values))
            return (lo, hi) if hi > lo else (lo, lo + 1.0)
        some = [ends for curve in curves if (ends := curve.extent()) is not None]
        lo, hi, cut = 0.0, 1.0, False
        if some:
            lo, hi, cut = worth(some, self._cut, options.whole)
        kind = (scale, options.whole, options.x_window, cut)
        if kind != self._y_kind:
            self._y_kind = kind
            self._y.reset()
        self._cut = cut
        if not some:
            return 0.0, 1.0
        if scale.kind == "log":
            hi = max(hi, -150.0)
            lo = max(lo, hi - 12.0)
        levels = scale.forward(np.array([level.value for level in options.levels]))
        lo, hi = taking_in(levels[np.isfinite(levels)].tolist(), lo, max(lo, hi))
        return self._y.fit_around(lo, hi)


Span = tuple[np.ndarray, np.ndarray]
"""The lowest and the highest height in every column."""


class _Curve(msgspec.Struct):
    """A series as it is to be drawn: `mean` is the average's span, None where the band is the line."""

    slot: int
    series: Series
    columns: Columns
    band: Span
    mean: Span | None

    def extent(self) -> Extent | None:
        """What it spans on the scale."""
        line = (self.mean or self.band)[0]
        finite = np.flatnonzero(np.isfinite(line))
        return extent(*self.band, float(line[finite[-1]]) if len(finite) else math.nan)

    @property
    def sparse(self) -> bool:
        """Whether there are so few values that each can be shown as one."""
        first, last = self.columns.starts[0], self.columns.starts[-1]
        return bool((last - first) * 12 <= len(self.columns.filled))

    def places(self, scale: Scale, heights: tuple[float, float], canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
        """Columns and rows of cells of its values in view."""
        line = scale.forward(self.columns.hi)
        with np.errstate(invalid="ignore"):
            at = np.flatnonzero((line >= heights[0]) & (line <= heights[1]))
        return at // canvas.across, canvas.rows_at(line[at], heights)

    def end(self, heights: tuple[float, float], canvas: Canvas) -> tuple[int, int] | None:
        """Column and row of the cell where its line ends; None where that is out of view."""
        low, high = self.mean or self.band
        finite = np.flatnonzero(np.isfinite(low))
        if not len(finite):
            return None
        last = int(finite[-1])
        middle = (low[last] + high[last]) / 2
        if not heights[0] <= middle <= heights[1]:
            return None
        return last // canvas.across, int(canvas.rows_at(np.array([middle]), heights)[0])


def _layout(width: int, height: int, options: FrameOptions) -> Area:
    gutter = 8 if width >= 40 else 6 if width >= 24 else 0
    top = 1 if options.legend and height >= 6 else 0
    bottom = 2 if height >= 5 else 0
    return Area(gutter, top, width - gutter, height - top - bottom)


def _smoothing(series: Series, options: FrameOptions) -> float:
    """How much a series is smoothed."""
    return options.smoothing if series.smooth else 0.0


def _spans(
    series: Series, columns: Columns, edges: np.ndarray, options: FrameOptions, scale: Scale
) -> tuple[Span, Span | None]:
    """Heights (low, high) of the band and of the average (None without one), joined from column to column."""
    lo, hi, first, last = map(scale.forward, (columns.lo, columns.hi, columns.first, columns.last))
    empty = np.flatnonzero(~columns.filled)
    fill = _interpolate(series.steps, series.values, columns, edges, empty, scale)
    lo, hi, first, last = (_filled(a, empty, fill) for a in (lo, hi, first, last))
    band = _joined(lo, hi, first, last)
    smoothing = _smoothing(series, options)
    if smoothing == 0.0:
        return band, None
    fill = _interpolate(series.steps, series.ema(smoothing, options.zero_phase), columns, edges, empty, scale)
    mean = _filled(scale.forward(columns.mean), empty, fill)
    line = _joined(mean, mean, mean, mean)
    return band if options.bands else line, line


def _filled(values: np.ndarray, where: np.ndarray, fill: np.ndarray) -> np.ndarray:
    out = values.copy()
    out[where] = fill
    return out


def _interpolate(
    steps: np.ndarray, values: np.ndarray, columns: Columns, edges: np.ndarray, where: np.ndarray, scale: Scale
) -> np.ndarray:
    """The straight line between the points left and right of each column in `where`; NaN next to a gap or an end."""
    after = columns.starts[where]
    out = np.full(len(where), np.nan)
    inside = (after > 0) & (after < len(steps))
    j = after[inside]
    if len(j):
        x = (edges[where[inside]] + edges[where[inside] + 1]) / 2
        a, b = (scale.forward(values[at].astype(np.float64)) for at in (j - 1, j))
        part = (x - steps[j - 1]) / np.maximum(steps[j] - steps[j - 1], 1e-300)
        with np.errstate(invalid="ignore"):
            out[inside] = a + (b - a) * part
        out[~np.isfinite(out)] = np.nan
    return out


def _joined(lo: np.ndarray, hi: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Extend each column half-way to its neighbours, so that steep curves stay connected."""
    meet = (last[:-1] + first[1:]) / 2  # NaN where a side is a gap: not joined
    low, high = lo.copy(), hi.copy()
    low[1:] = np.where(np.isnan(lo[1:]), np.nan, np.fmin(low[1:], meet))
    high[1:] = np.where(np.isnan(hi[1:]), np.nan, np.fmax(high[1:], meet))
    low[:-1] = np.where(np.isnan(lo[:-1]), np.nan, np.fmin(low[:-1], meet))
    high[:-1] = np.where(np.isnan(hi[:-1]), np.nan, np.fmax(high[:-1], meet))
    return low, high


def _reading(slot: int, series: Series, options: FrameOptions, here: tuple[float, float]) -> Reading:
    """What the legend has of a series: its newest value, or that at the crosshair, in whose column are steps `here`."""
    i: int | None = len(series) - 1
    there = True
    if options.cursor is not None:
        first, last = options.ends.get(series.name, (-math.inf, math.inf))
        i, there = series.read(options.cursor, *here) if first <= options.cursor <= last else (None, False)
    step, value, mean = (math.nan,) * 3 if i is None else (
        float(series.steps[i]),
        float(series.values[i]),
        float(series.ema(_smoothing(series, options), options.zero_phase)[i]),
    )  # fmt: skip
    return Reading(
        name=series.name,
        glyph=legend_glyph(slot, options.ascii),
        style=f"line.{slot}",
        step=step,
        value=value,
        mean=mean,
        absent=i is None,
        at="" if i is None or there else options.called(step),
    )


def _column(step: float, frame: Frame) -> tuple[float, float]:
    """The steps in the column of a frame whose middle a step is."""
    part, half = frame.x_scale.part(step, frame.x_limits), 0.5 / max(1, frame.area.width)
    return frame.x_scale.step_at(part - half, frame.x_limits), frame.x_scale.step_at(part + half, frame.x_limits)
