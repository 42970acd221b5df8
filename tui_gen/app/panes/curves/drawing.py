"""What one plot shows, legend and all: rows of styled text for a panel of a run's curves. Knows no widget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from tui_gen.draw.canvas import MARKS
from tui_gen.draw.curves import Frame, FrameOptions, Plot, Reading, Series
from tui_gen.draw.legend import legend_rows
from tui_gen.draw.text import Row, fit_row

if TYPE_CHECKING:
    from tui_gen.verdicts.panels import Panel

HUES = 12
"""Colours of curves."""
STYLES = (
    "", "axis", "label", "note", "text", "level", "cursor", "title", "title.chosen", "value",
    *(f"mark.{kind}" for kind in MARKS), *(f"{kind}.{hue}" for kind in ("line", "band") for hue in range(HUES)),
)  # fmt: skip
"""The styles of a plot's text; those of curves with the number of the colour."""
SYMMETRIC = "±log"
"""What a plot's title says where a logarithmic axis is symmetric about 0, as there are values that are not above it."""
MANY = 4
"""Curves of a plot beyond which its legend may have one more row."""
WIDE = -0.1234
"""A value that takes as many cells as any."""


class DrawnPlot(msgspec.Struct, frozen=True):
    """A frame, the legend rows above it included."""

    rows: list[Row]
    frame: Frame
    legend: int
    panel: Panel


def hued(key: str, panel: Panel | None) -> str:
    """The one of STYLES that a row's text has: of a curve it tells the slot, which a panel gives a colour."""
    kind, _, which = key.partition(".")
    if kind not in ("line", "band"):
        return key
    slot = int(which)
    return f"{kind}.{(panel.hue(slot) if panel is not None else slot) % HUES}"


def drawn(
    plot: Plot,
    panel: Panel,
    series: Mapping[str, Series],
    options: FrameOptions,
    width: int,
    height: int,
    chosen: bool = False,
) -> DrawnPlot:
    """A panel of these series in so many cells, by a `plot` that drew it before, or a new one; the title of a `chosen`
    one is marked.
    """
    some = []
    for curve in panel.curves:
        curve_series = series.get(curve.metric)
        if curve_series is not None:
            # the legend's name and glyph are the panel's; a series may be drawn in several
            curve_series.name, curve_series.slot, curve_series.smooth = curve.label, curve.slot, curve.smooth
            some.append(curve_series)
    options = replace(options, legend=False)
    most = 0 if height < 6 else 1 if height < 11 else 2 if len(panel.curves) <= MANY or height < 14 else 3
    readings = _expected(some, options)
    name = f"{panel.title} {panel.note}" if panel.note else panel.title
    title = f"{name} {SYMMETRIC}" if options.log_y else name
    count = len(legend_rows(title, readings, width, most, False)) if most else 0
    frame = plot.render(width, height - count, some, options)
    rows = list(frame.rows)
    if count:
        title = title if frame.scale.kind == "symmetric" else name
        rows = legend_rows(title, frame.readings, width, count, options.cursor is not None) + rows
        if chosen:
            rows[0] = [(rows[0][0][0], "title.chosen"), *rows[0][1:]]
        rows = [fit_row([], width)] * (height - len(rows)) + rows
    return DrawnPlot(rows, frame, count, panel)


def _expected(some: list[Series], options: FrameOptions) -> list[Reading]:
    """Readings of the right number and widths, before the frame is there.

    With a crosshair, a curve without an average has so few points that it may be said where one was measured.
    """
    at = "" if options.cursor is None else options.called(options.cursor)
    return [
        Reading(curve.name, "●", "text", 0.0, WIDE, WIDE, at="" if curve.smooth else at) for curve in some if len(curve)
    ]
