"""Curves as SVG: of every bucket of steps the lowest and the highest value, an average through them, and marks.

A plot has no size of its own: it is as wide as there is room, with texts and lines as thin as ever. The curves are in
a drawing inside it that is stretched, all else is placed by shares of the width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tui_gen.draw.axes import label, ticks
from tui_gen.draw.canvas import MARKS, Level, Mark
from tui_gen.draw.scales import LINEAR, Scale, choose_scale, extent, taking_in, worth
from tui_gen.draw.series import Series
from tui_gen.quantities import count, metric
from tui_gen.report.page.markup import Markup, element, together
from tui_gen.verdicts.panels import Curve, Panel

WIDTH, HEIGHT = 1000.0, 220.0
"""Units of the drawing that holds the curves."""
MOST_BUCKETS, FEWEST_BUCKETS = 450, 40
POINTS = 80_000
"""Buckets of all curves together: of a thousand curves each has fewer."""
DOTTED = 40
"""Values up to which each has a dot."""
AVERAGED = 150
"""Values from which on a curve that may be averaged is."""
WIDE = 0.03
"""Share of all buckets over which an average goes."""
DECADE = 10.0
"""How many times the lowest value the highest is where a logarithmic axis tells more."""
LINES = ("linear", "log")


@dataclass(frozen=True)
class Buckets:
    """A curve in at most so many buckets of steps: in the order of `x` (steps), NaN where a gap is."""

    x: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean: np.ndarray
    whole: bool
    """Whether each is a single value."""


@dataclass(frozen=True)
class Window:
    """What a plot shows: steps from `left` to `right`, heights on a scale from `bottom` to `top`."""

    left: float
    right: float
    scale: Scale
    bottom: float
    top: float

    def across(self, steps: np.ndarray) -> np.ndarray:
        """Steps as places in the drawing."""
        return (steps - self.left) / max(self.right - self.left, 1e-9) * WIDTH

    def down(self, values: np.ndarray) -> np.ndarray:
        """Values as places in the drawing, NaN where there is none."""
        heights = self.scale.forward(values)
        return (self.top - heights) / max(self.top - self.bottom, 1e-300) * HEIGHT


def buckets_for(curves: int) -> int:
    """How many buckets each of so many curves has."""
    return max(FEWEST_BUCKETS, min(MOST_BUCKETS, POINTS // max(1, curves)))


def in_buckets(curve: Series, left: float, right: float, most: int) -> Buckets:
    """A curve's values between two steps; where there are no more than two for each bucket, every one."""
    steps, values = curve.steps, curve.values.astype(np.float64)
    if len(steps) <= 2 * most:
        return Buckets(steps.copy(), values, values, values, True)
    edges = np.linspace(left, right, most + 1)
    place = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, most - 1)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    finite = np.isfinite(values)
    counts = np.add.reduceat(finite.astype(np.float64), starts)
    sums = np.add.reduceat(np.where(finite, values, 0.0), starts)
    mean = np.divide(sums, counts, out=np.full(len(starts), np.nan), where=counts > 0)
    low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    return Buckets((edges[place[starts]] + edges[place[starts] + 1]) / 2, low, high, mean, False)


def plot(
    panel: Panel, series: dict[str, Series], steps: tuple[float, float], marks: Sequence[Mark], levels: Sequence[Level],
    most: int, number: int,
) -> Markup:  # fmt: skip
    """A panel as a figure: title, what its curves are, the plot, on a logarithmic axis as well where that tells more.

    `steps` are the first and the last of the run, which all plots share; `most` is how many buckets a curve has.
    """
    curve_buckets = [(curve, in_buckets(series[curve.metric], *steps, most)) for curve in panel.curves]
    curve_buckets = [(curve, buckets) for curve, buckets in curve_buckets if np.isfinite(buckets.mean).any()]
    if not curve_buckets:
        return Markup("")
    windows, outside = [_window(curve_buckets, steps, levels, LINEAR)], ""
    if _out_of_view(curve_buckets, windows[0]):
        outside = "What would flatten the rest is out of view; the logarithmic scale has all of it."
    scale = choose_scale(True, [buckets.low for _, buckets in curve_buckets], LINEAR)
    if outside or _tells_more(curve_buckets, scale):
        windows.append(_window(curve_buckets, steps, levels, scale))
    legend = [_legend(panel, curve, series[curve.metric]) for curve, _ in curve_buckets]
    words = "; ".join(_spoken(curve, series[curve.metric]) for curve, _ in curve_buckets)
    drawings = []
    for kind, window in zip(LINES, windows):
        only = kind if len(windows) > 1 else ""
        parts = [element("title", f"{panel.title} over steps"), element("desc", words), *_axes(window)]
        parts.append(_curves(panel, curve_buckets, window))
        parts += [_level(level, window) for level in levels]
        parts += [_mark(mark, window) for mark in grouped(marks, window)]
        drawings.append(
            element("svg", *parts, class_=f"plot {only}".strip(), width="100%", height=HEIGHT + 22, role="img",
                    aria_label=f"{panel.title}, {words}")
        )  # fmt: skip
    note = [element("p", outside, class_="note")] if outside else []
    heading = element("h3", panel.title, id=f"plot-{number}")
    return element("figure", heading, element("ul", *legend, class_="legend"), *drawings, *note, class_="curves")


def _tells_more(curves: Sequence[tuple[Curve, Buckets]], scale: Scale) -> bool:
    """Whether values are so far apart that a logarithmic axis tells more."""
    low = np.nanmin([np.nanmin(buckets.low) for _, buckets in curves])
    high = np.nanmax([np.nanmax(buckets.high) for _, buckets in curves])
    if scale.kind == "log":
        return bool(high >= DECADE * low)
    return bool(max(abs(low), abs(high)) >= DECADE**3 * scale.threshold)


def _window(
    curves: Sequence[tuple[Curve, Buckets]], steps: tuple[float, float], levels: Sequence[Level], scale: Scale
) -> Window:
    """The part of the plane worth showing: of a linear axis without what would flatten the rest."""
    extents = []
    for _, buckets in curves:
        low, high = scale.forward(buckets.low), scale.forward(buckets.high)
        finite = high[np.isfinite(high)]
        if (reach := extent(low, high, float(finite[-1]) if len(finite) else math.nan)) is not None:
            extents.append(reach)
    if not extents:
        return Window(*steps, scale, 0.0, 1.0)
    bottom, top, _ = worth(extents, False, scale.kind != "linear")
    heights = scale.forward(np.array([level.value for level in levels]))
    bottom, top = taking_in([float(height) for height in heights if math.isfinite(height)], bottom, top)
    if top - bottom <= 1e-9 * max(abs(top), abs(bottom)):
        half = abs(top) * 0.05 or 0.5
        bottom, top = bottom - half, top + half
    room = 0.05 * (top - bottom)
    return Window(*steps, scale, bottom - room, top + room)


def _out_of_view(curves: Sequence[tuple[Curve, Buckets]], window: Window) -> bool:
    return any(
        bool((window.scale.forward(buckets.high) > window.top).any())
        or bool((window.scale.forward(buckets.low) < window.bottom).any())
        for _, buckets in curves
    )


def _curves(panel: Panel, curves: Sequence[tuple[Curve, Buckets]], window: Window) -> Markup:
    """The drawing that is stretched."""
    paths = []
    for curve, buckets in curves:
        x = window.across(buckets.x)
        low, high = (np.clip(window.down(side), -2, HEIGHT + 2) for side in (buckets.low, buckets.high))
        dashed = panel.paired and curve.slot >= 4
        looks = f"c{panel.hue(curve.slot) % 8}{' dashed' if dashed else ''}"
        averaged = curve.smooth and len(x) >= AVERAGED
        shape = _path(x, low) if buckets.whole else _band(x, low, high)
        paths.append(element("path", d=shape, class_=f"line {looks}{' faint' if averaged else ''}"))
        if averaged:
            middle = np.clip(window.down(_average(buckets.mean)), -2, HEIGHT + 2)
            paths.append(element("path", d=_path(x, middle), class_=f"line {looks}"))
        elif buckets.whole and np.isfinite(low).sum() <= DOTTED:
            paths.append(element("path", d=_dots(x, low), class_=f"dots {looks}"))
    return element(
        "svg", *paths, viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}", preserveAspectRatio="none", width="100%",
        height=HEIGHT, class_="inner", aria_hidden="true",
    )  # fmt: skip


def _average(values: np.ndarray) -> np.ndarray:
    """An average over about WIDE of all, which lags nowhere; NaN where the values are."""
    series = Series("", np.arange(len(values), dtype=np.float64), values)
    return series.ema(1 - 1 / max(1.5, WIDE * len(values) / 2), zero_phase=True)


def _path(x: np.ndarray, y: np.ndarray) -> str:
    """Straight lines from one to the next, broken at gaps."""
    words, pen = [], "M"
    for across, down in zip(x.round(1).tolist(), y.round(1).tolist()):
        if down != down:  # NaN
            pen = "M"
            continue
        words.append(f"{pen}{across:g},{down:g}")
        pen = "L"
    return "".join(words)


def _band(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    """Up and down through every bucket, once each way in turn: no extreme is lost."""
    first = np.where(np.arange(len(x)) % 2 == 0, low, high)
    second = np.where(np.arange(len(x)) % 2 == 0, high, low)
    return _path(np.repeat(x, 2), np.column_stack((first, second)).ravel())


def _dots(x: np.ndarray, y: np.ndarray) -> str:
    """Lines of no length: with round ends they are dots, whatever the drawing is stretched by."""
    fine = np.isfinite(y)
    return "".join(f"M{a:g},{b:g}h0" for a, b in zip(x[fine].round(1).tolist(), y[fine].round(1).tolist()))


def _axes(window: Window) -> list[Markup]:
    """Lines and numbers of both axes."""
    parts = []
    span = window.top - window.bottom
    low, high = window.scale.inverse(window.bottom), window.scale.inverse(window.top)
    values, distance = window.scale.ticks(low, high, 5, 6)
    for value in values:
        down = float(window.down(np.array([value]))[0])
        if span > 0 and -1 <= down <= HEIGHT + 1:
            parts.append(element("line", x1="0", x2="100%", y1=f"{down:.1f}", y2=f"{down:.1f}", class_="grid"))
            parts.append(element("text", label(value, distance), x="-6", y=f"{down + 4:.1f}", class_="tick left"))
    places, distance = ticks(window.left, window.right, 6, whole=True)
    for place in places.tolist():
        part = float(window.across(np.array([place]))[0]) / WIDTH
        if 0 <= part <= 1:
            near = "end" if part > 0.96 else "start" if part < 0.02 else "middle"
            parts.append(element("text", label(place, distance), x=f"{part:.2%}", y=f"{HEIGHT + 17:.0f}",
                                 class_=f"tick {near}"))  # fmt: skip
    parts.append(element("line", x1="0", x2="100%", y1=f"{HEIGHT:.0f}", y2=f"{HEIGHT:.0f}", class_="axis"))
    return parts


def _level(level: Level, window: Window) -> Markup:
    """The figure that is to be reached, across the plot."""
    down = float(window.down(np.array([level.value]))[0])
    if not 0 <= down <= HEIGHT:
        return Markup("")
    place = f"{down:.1f}"
    name = element("text", level.text, x="100%", y=f"{down - 4 if down > 16 else down + 13:.1f}", class_="goal end")
    return element("g", element("line", x1="0", x2="100%", y1=place, y2=place, class_="goal"), name)


def grouped(marks: Sequence[Mark], window: Window) -> list[Mark]:
    """Marks of one kind that would be drawn over each other as one, which has the words of all."""
    groups: dict[tuple[str, int], list[Mark]] = {}
    for mark in marks:
        if window.left <= mark.step <= window.right:
            place = round(float(window.across(np.array([mark.step]))[0]) / WIDTH * 150)
            groups.setdefault((mark.kind, place), []).append(mark)
    return [Mark(some[0].step, kind, _words(some)) for (kind, _), some in groups.items()]


def _words(marks: Sequence[Mark]) -> str:
    lines = [f"step {count(int(mark.step))}: {mark.text}" for mark in marks[:4]]
    return "\n".join([*lines, *([f"and {count(len(marks) - 4)} more"] if len(marks) > 4 else [])])


def _mark(mark: Mark, window: Window) -> Markup:
    part = f"{float(window.across(np.array([mark.step]))[0]) / WIDTH:.2%}"
    glyph, _, through = MARKS.get(mark.kind, ("•", "*", True))
    parts = [element("title", mark.text)]
    if through:
        parts.append(element("line", x1=part, x2=part, y1="0", y2=f"{HEIGHT:.0f}"))
        parts.append(element("text", glyph, x=part, y="11"))
    else:
        parts.append(element("text", glyph, x=part, y=f"{HEIGHT - 2:.0f}"))
    return element("g", *parts, class_=f"mark {mark.kind}")


def _legend(panel: Panel, curve: Curve, series: Series) -> Markup:
    dashed = " dashed" if panel.paired and curve.slot >= 4 else ""
    key = element("i", class_=f"key c{panel.hue(curve.slot) % 8}{dashed}", aria_hidden="true")
    low, high = series.extremes()
    values = f"last {metric(_last(series))}, lowest {metric(low)}, highest {metric(high)}"
    return element("li", key, element("b", curve.label), " ", element("span", values))


def _last(series: Series) -> float:
    return float(series.values[-1]) if len(series) else math.nan


def _spoken(curve: Curve, series: Series) -> str:
    low, high = series.extremes()
    first = float(series.values[0]) if len(series) else math.nan
    ends = f"from {metric(first)} to {metric(_last(series))}, lowest {metric(low)}, highest {metric(high)}"
    return f"{curve.label}: {ends}"


def key_to_marks(marks: Sequence[Mark]) -> Markup:
    """What the signs of the marks there are stand for."""
    names = {"resume": "resumed", "rollback": "rolled back", "fork": "forked"}
    kinds = [kind for kind in MARKS if any(mark.kind == kind for mark in marks)]
    items = [
        element("span", element("b", MARKS[kind][0], class_=f"mark {kind}"), f" {names.get(kind, kind)}")
        for kind in kinds
    ]
    return element("p", together(items, "  "), class_="note keys") if items else Markup("")
