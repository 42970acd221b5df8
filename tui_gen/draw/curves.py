"""The live plot: series to rows of styled text, drawn with braille dots (2 x 4 per cell) or plain ASCII.

Per series a dim band spans the extremes of each dot column, so a spike of a single step is always seen, and the EMA
runs over it as a bright line. A cell has one colour, therefore an upper layer *replaces* the dots of a cell.

`Plot` keeps what makes the next frame cheap and alike: stepped axis limits (see `axes`) and per-column extremes (see
`series`). The result is plain data; style keys are names, and whoever shows the frame decides their colours:

    ""          blank             "axis" "label" "text" "note"   axes, tick labels, legend, messages
    "band.N"    extremes          "line.N"    EMA line, legend glyph      (N: colour slot of the series)
    "mark.KIND" vertical marks    "cursor"    the crosshair
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tui_gen.draw.axes import GROW_X, GROW_Y, Limits, label, log_ticks, reading, ticks
from tui_gen.draw.canvas import MARKS, Canvas, Mark, legend_glyph, part_of, raster
from tui_gen.draw.clock import Clock
from tui_gen.draw.series import Columns, ColumnStats, Series
from tui_gen.draw.text import Row, Run, cells_of, fit_row, rows_of, width_of
from tui_gen.text import clean

__all__ = ["Area", "Frame", "Mark", "Options", "Plot", "Reading", "Series", "legend_glyph", "render"]

@dataclass(frozen=True)
class Options:
    """What to show and how.

    `smoothing`: EMA factor in [0, 1), 0 draws the data alone; `x_window`, `y_window`: fixed limits (zoom and pan);
    `follow`: show the newest so many steps, paging on by half of it; `last_step`: where the run is planned to end, the
    x axis stops there; `clip`: let the highest and lowest 2 % of columns run out of the picture; `cursor`: a step for
    the crosshair; `unit`: steps in one unit of the x axis' labels (an epoch's, say); `clock`: labels are times
    instead; `ascii`: no braille or other non-ASCII characters.
    """

    smoothing: float = 0.9
    log_y: bool = False
    log_x: bool = False
    x_window: tuple[float, float] | None = None
    y_window: tuple[float, float] | None = None
    follow: float | None = None
    last_step: float | None = None
    clip: bool = False
    legend: bool = True
    cursor: float | None = None
    unit: float = 1.0
    clock: Clock | None = None
    marks: Sequence[Mark] = ()
    ascii: bool = False


@dataclass(frozen=True)
class Area:
    """A rectangle of cells."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Reading:
    """One line of the legend: a series at a step; NaN where it has no value."""

    name: str
    glyph: str
    style: str
    step: float
    value: float
    mean: float


@dataclass
class Frame:
    """A drawn plot: `rows` of (text, style key) runs, each row exactly `width` cells, and what lies where."""

    width: int
    height: int
    rows: list[Row]
    area: Area = Area(0, 0, 0, 0)
    x_limits: tuple[float, float] = (0.0, 1.0)
    y_limits: tuple[float, float] = (0.0, 1.0)
    log_x: bool = False
    log_y: bool = False
    readings: list[Reading] = field(default_factory=list)

    def text(self) -> str:
        """The frame as plain text."""
        return "\n".join("".join(text for text, _ in row) for row in self.rows)

    def changed_rows(self, previous: Frame | None) -> list[int]:
        """Indices of the rows that differ from `previous`."""
        if previous is None or (previous.width, previous.height) != (self.width, self.height):
            return list(range(self.height))
        return [i for i, (a, b) in enumerate(zip(self.rows, previous.rows)) if a != b]

    def changed_spans(self, previous: Frame | None) -> list[tuple[int, int, int]]:
        """(row, first cell, cell after the last) of what differs from `previous`: one span a row, far fewer bytes."""
        spans = []
        for i in self.changed_rows(previous):
            if previous is None or previous.width != self.width or i >= len(previous.rows):
                spans.append((i, 0, self.width))
                continue
            new, old = cells_of(self.rows[i]), cells_of(previous.rows[i])
            differ = [j for j, (a, b) in enumerate(zip(new, old)) if a != b]
            spans.append((i, differ[0], differ[-1] + 1) if differ else (i, 0, self.width))
        return spans

    def step_at(self, column: float) -> float:
        """The step under the middle of cell `column` of the frame (not only of the plot area)."""
        part = (column - self.area.x + 0.5) / max(1, self.area.width)
        return _between(self.x_limits, min(1.0, max(0.0, part)), self.log_x)

    def value_at(self, row: float) -> float:
        """The value at the middle of cell `row` of the frame."""
        part = 1.0 - (row - self.area.y + 0.5) / max(1, self.area.height)
        return _between(self.y_limits, min(1.0, max(0.0, part)), self.log_y)


def render(width: int, height: int, series: Sequence[Series], options: Options | None = None) -> Frame:
    """Draw once, without anything kept for a next frame."""
    return Plot().render(width, height, series, options)


class Plot:
    """A plot that is drawn again and again; keeps limits and column extremes between frames."""

    def __init__(self) -> None:
        self._x = Limits(GROW_X)
        self._y = Limits(GROW_Y)
        self._x_kind: tuple = ()  # what was asked for when the limits were last chosen
        self._y_kind: tuple = ()
        self._stats: weakref.WeakKeyDictionary[Series, ColumnStats] = weakref.WeakKeyDictionary()

    def render(
        self, width: int, height: int, series: Sequence[Series], options: Options | None = None
    ) -> Frame:
        """A frame of `width` x `height` cells. Any size works; below about 24 x 6 axes and legend are left out."""
        options = options or Options()
        if width < 1 or height < 1:
            return Frame(max(0, width), max(0, height), [[] for _ in range(max(0, height))])
        area = _layout(width, height, options)
        across, down = (1, 1) if options.ascii else (2, 4)
        drawn = [(i if s.slot is None else s.slot, s) for i, s in enumerate(series) if len(s)]
        x0, x1 = self._x_limits([s for _, s in drawn], options)
        edges = _edges(x0, x1, area.width * across, options.log_x)

        spans = []
        for slot, one in drawn:
            smoothing = options.smoothing if one.smooth else 0.0
            stats = self._stats.setdefault(one, ColumnStats())
            columns = stats.update(one, edges, smoothing)
            spans.append((slot, one, *_spans(one, columns, edges, smoothing, options)))
        log_y = options.log_y and any(np.isfinite(s[2][1]).any() for s in spans)
        if options.log_y and not log_y and drawn:  # nothing positive to show on a logarithmic axis
            return self.render(width, height, series, replace(options, log_y=False))
        y0, y1 = self._y_limits([s[2] for s in spans], options)

        canvas = Canvas(area.width, area.height, options.ascii)
        canvas.marks(options.marks, (x0, x1), options.log_x)
        rows = area.height * down
        for layer in ("band", "line"):
            for slot, _, band, mean in spans:
                span = band if layer == "band" else mean
                if span is None:
                    continue
                # without an average on top of it, the band is the line
                key = f"line.{slot}" if mean is None else f"{layer}.{slot}"
                canvas.dots(raster(*span, y0, y1, rows), key, slot)
        if len(spans) > 1:
            canvas.markers()
        if options.cursor is not None:
            canvas.vertical(part_of(options.cursor, (x0, x1), options.log_x), "│", "|", "cursor")
        if not spans:
            canvas.message("no values yet")

        limits = (10.0**y0, 10.0**y1) if log_y else (y0, y1)
        readings = [_reading(slot, one, options) for slot, one in drawn]
        frame = Frame(width, height, [], area, (x0, x1), limits, options.log_x, log_y, readings)
        frame.rows = _compose(frame, canvas, options, bool(drawn))
        return frame

    def _x_limits(self, series: Sequence[Series], options: Options) -> tuple[float, float]:
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

    def _y_limits(self, spans: list, options: Options) -> tuple[float, float]:
        """Limits in drawing space (log10 of the values on a logarithmic axis)."""
        if options.y_window is not None:
            lo, hi = sorted(map(float, options.y_window))
            if options.log_y:
                hi = max(hi, 1e-150)
                lo = max(lo, 1e-160) if lo > 0 else hi * 1e-6
                lo, hi = math.log10(lo), math.log10(hi)
            return (lo, hi) if hi > lo else (lo, lo + 1.0)
        kind = (options.log_y, options.clip, options.x_window)
        if kind != self._y_kind:
            self._y_kind = kind
            self._y.reset()
        lows, highs = [], []
        for low, high in spans:
            low, high = low[np.isfinite(low)], high[np.isfinite(high)]
            if len(low) and len(high):
                lows.append(np.quantile(low, 0.02) if options.clip else low.min())
                highs.append(np.quantile(high, 0.98) if options.clip else high.max())
        if not lows:
            return 0.0, 1.0
        lo, hi = float(min(lows)), float(max(highs))
        if options.log_y:
            hi = max(hi, -150.0)
            lo = max(lo, hi - 12.0)
        return self._y.fit_around(lo, max(lo, hi))


def _layout(width: int, height: int, options: Options) -> Area:
    gutter = 8 if width >= 40 else 6 if width >= 24 else 0
    top = 1 if options.legend and height >= 6 else 0
    bottom = 2 if height >= 5 else 0
    return Area(gutter, top, width - gutter, height - top - bottom)


def _between(limits: tuple[float, float], part: float, log: bool) -> float:
    lo, hi = limits
    return lo * (hi / lo) ** part if log else lo + (hi - lo) * part


def _edges(x0: float, x1: float, n: int, log: bool) -> np.ndarray:
    edges = np.geomspace(x0, x1, n + 1) if log else np.linspace(x0, x1, n + 1)
    if log and x0 == 1.0:
        edges[0] = 0.0  # step 0 has no logarithm; it is shown in the first column
    return edges


def _spans(series: Series, columns: Columns, edges: np.ndarray, smoothing: float, options: Options) -> tuple:
    """Drawing-space (low, high) of the band and of the average (None without one), joined from column to column."""
    lo, hi, first, last = columns.lo, columns.hi, columns.first, columns.last
    if options.log_y:
        with np.errstate(divide="ignore", invalid="ignore"):
            lo, hi, first, last = (np.log10(a) for a in (np.maximum(lo, 0.0), hi, first, last))
        lo = np.where(np.isfinite(hi), lo, np.nan)
        hi = np.where(np.isfinite(hi), hi, np.nan)
        first = np.where(np.isfinite(first), first, np.nan)
        last = np.where(np.isfinite(last), last, np.nan)
    empty = np.flatnonzero(~columns.filled)
    fill = _interpolate(series.steps, series.values, columns, edges, empty, options.log_y)
    lo, hi, first, last = (_filled(a, empty, fill) for a in (lo, hi, first, last))
    band = _joined(lo, hi, first, last)
    if smoothing == 0.0:
        return band, None
    mean = columns.mean
    if options.log_y:
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.log10(mean)
        mean = np.where(np.isfinite(mean), mean, np.nan)
    fill = _interpolate(series.steps, series.ema(smoothing), columns, edges, empty, options.log_y)
    mean = _filled(mean, empty, fill)
    return band, _joined(mean, mean, mean, mean)


def _filled(values: np.ndarray, where: np.ndarray, fill: np.ndarray) -> np.ndarray:
    out = values.copy()
    out[where] = fill
    return out


def _interpolate(
    steps: np.ndarray, values: np.ndarray, columns: Columns, edges: np.ndarray, where: np.ndarray, log: bool
) -> np.ndarray:
    """The straight line between the points left and right of each column in `where`; NaN next to a gap or an end."""
    after = columns.starts[where]
    out = np.full(len(where), np.nan)
    inside = (after > 0) & (after < len(steps))
    j = after[inside]
    if len(j):
        x = (edges[where[inside]] + edges[where[inside] + 1]) / 2
        a, b = values[j - 1].astype(np.float64), values[j].astype(np.float64)
        if log:
            with np.errstate(divide="ignore", invalid="ignore"):
                a, b = np.log10(a), np.log10(b)
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


def _reading(slot: int, series: Series, options: Options) -> Reading:
    i = len(series) - 1 if options.cursor is None else series.nearest(options.cursor)
    smoothing = options.smoothing if series.smooth else 0.0
    return Reading(
        name=series.name,
        glyph=legend_glyph(slot, options.ascii),
        style=f"line.{slot}",
        step=float(series.steps[i]),
        value=float(series.values[i]),
        mean=float(series.ema(smoothing)[i]),
    )


def _legend(frame: Frame, options: Options) -> Row:
    runs: list[Run] = []
    if options.cursor is not None:
        runs.append((f"step {options.cursor:,.0f}  ", "cursor"))
    used = sum(width_of(text) for text, _ in runs)
    for i, r in enumerate(frame.readings):
        value = reading(r.value if options.cursor is not None or math.isnan(r.mean) else r.mean)
        if options.cursor is not None and r.mean != r.value and not math.isnan(r.mean):
            value += f" (mean {reading(r.mean)})"
        name = clean(r.name)
        if options.ascii:
            name = name.encode("ascii", "replace").decode()
        text = f" {name} {value}  "
        left = len(frame.readings) - i
        need = width_of(text) + 1 + (len(f"+{left - 1}") if left > 1 else 0)
        if used + need > frame.width:
            runs.append((f"+{left}", "label"))
            break
        runs += [(r.glyph, r.style), (text, "text")]
        used += width_of(text) + 1
    return fit_row(runs, frame.width)


def _compose(frame: Frame, canvas: Canvas, options: Options, any_data: bool) -> list[Row]:
    """Canvas, axes and legend put together."""
    area = frame.area
    rows: list[Row] = []
    if area.y:
        rows.append(_legend(frame, options))
    body = rows_of(canvas.chars, canvas.style, canvas.keys)
    if area.x:
        labels = _y_labels(frame, area.height) if any_data else {}
        bar, tick = ("|", "+") if options.ascii else ("│", "┤")
        for i, row in enumerate(body):
            text = labels.get(i, "")
            body[i] = [(text.rjust(area.x - 1), "label"), (tick if text else bar, "axis"), *row]
    rows += body
    if frame.height - area.y - area.height:
        rows += _x_axis(frame, canvas, options, any_data)
    return rows


def _y_labels(frame: Frame, height: int) -> dict[int, str]:
    lo, hi = frame.y_limits
    count = max(3, height // 4)
    if frame.log_y:
        values, distance = log_ticks(lo, hi, max(2, height // 3)), None
        if len(values) < 2 or hi / lo < 5:
            values, distance = ticks(lo, hi, count)
    else:
        values, distance = ticks(lo, hi, count)
    labels: dict[int, str] = {}
    for value in values:
        part = part_of(float(value), (lo, hi), frame.log_y)
        row = round((1.0 - part) * (height * 4 - 1)) // 4 if height > 1 else 0
        text = label(float(value), distance)
        if len(text) >= frame.area.x:  # a small difference of large numbers: better rough than nothing
            text = reading(float(value)) if frame.area.x > 7 else f"{value:.0e}"
        if len(text) < frame.area.x and 0 <= row < height:
            labels.setdefault(row, text)
    return labels


def _x_axis(frame: Frame, canvas: Canvas, options: Options, any_data: bool) -> list[Row]:
    """The axis line with its marks, and the labels below it."""
    area, width = frame.area, frame.width
    corner, line, tick = ("+", "-", "+") if options.ascii else ("└", "─", "┴")
    chars = np.full((1, area.width), ord(line), dtype="<u4")
    style = np.full((1, area.width), canvas.index_of("axis"), dtype=np.int16)
    text = [" "] * width
    free = 0
    for step, name in _x_ticks(frame, options) if any_data else []:
        column = min(area.width - 1, int(part_of(step, frame.x_limits, options.log_x) * area.width))
        chars[0, column] = ord(tick)
        begin = min(max(area.x + column - len(name) // 2, 0), width - len(name))
        if begin >= free:
            text[begin : begin + len(name)] = name
            free = begin + len(name) + 1
    for column, kind in canvas.ticks.items():
        glyph = MARKS.get(kind, MARKS["sample"])[1 if options.ascii else 0]
        chars[0, column] = ord(glyph)
        style[0, column] = canvas.index_of(f"mark.{kind}")
    axis = rows_of(chars, style, canvas.keys)[0]
    if area.x:
        axis = [(" " * (area.x - 1) + corner, "axis"), *axis]
    return [axis, [("".join(text), "label")]]


def _x_ticks(frame: Frame, options: Options) -> list[tuple[float, str]]:
    """The steps that are named below the axis, and their names."""
    count = max(2, frame.area.width // 10)
    if options.clock:
        return options.clock.ticks(*frame.x_limits, count)
    lo, hi = (limit / options.unit for limit in frame.x_limits)
    whole = hi - lo >= 2 and options.unit == 1
    values, distance = (log_ticks(lo, hi, count), None) if options.log_x else ticks(lo, hi, count, whole)
    return [(float(value) * options.unit, label(float(value), distance)) for value in values]
