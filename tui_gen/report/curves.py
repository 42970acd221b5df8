"""The curves of a run as text, for the end of a headless run: as the workbench draws them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from tui_gen.draw.curves import Frame, FrameOptions, render
from tui_gen.draw.legend import legend_rows
from tui_gen.draw.series import Series
from tui_gen.draw.text import Row, fit_row
from tui_gen.verdicts.panels import Panel, panels_of
from tui_gen.view import RunView

MOST = 2
"""Plots: of the metric that the model is judged by, and of its loss."""
HEIGHT = 14
SIDE_BY_SIDE = 90
"""Columns from which two plots are beside each other."""
HUES = (34, 33, 32, 35, 36, 31, 94, 37)
"""SGR colours of curves, from the sixteen that every terminal has in its own theme."""


def curves_text(view: RunView, width: int, *, colour: bool, unicode: bool = True) -> str:
    """The most telling curves over the steps, with legends above the plots; empty where there is nothing to plot."""
    series = {name: curve for name, curve in view.series.items() if np.isfinite(curve.values).any()}
    judged, together = (view.plan.judged, view.plan.together) if view.plan else ([], [])
    panels = panels_of(series, judged, together)
    if not panels:
        return ""
    losses = [panel for panel in panels[1:] if any(curve.metric.endswith("/loss") for curve in panel.curves)]
    panels = [panels[0], *(losses or panels[1:])][:MOST]
    last = float(view.plan.steps) if view.plan and view.plan.steps and view.state == "finished" else None
    options = FrameOptions(legend=False, ascii=not unicode, last_step=last)
    each = (width - 2) // 2 if len(panels) > 1 and width >= SIDE_BY_SIDE else width
    plots = [plot_lines(panel, series, each, options, colour) for panel in panels]
    if len(plots) > 1 and each < width:
        lines = [f"{left}  {right}" for left, right in zip(*plots)]
    else:
        lines = [line for plot in plots for line in plot]
    return "\n".join(line.rstrip() for line in lines)


def plot_lines(panel: Panel, series: dict[str, Series], width: int, options: FrameOptions, colour: bool) -> list[str]:
    """A panel as lines of `width` cells, its legend above it."""
    lines = []
    for curve in panel.curves:
        line = series[curve.metric]
        line.name, line.slot, line.smooth = curve.label, curve.slot, curve.smooth
        lines.append(line)
    log = _spans_decades(lines)
    frame: Frame = render(width, HEIGHT - 1, lines, replace(options, log_y=log))
    title = f"{panel.title}, logarithmic" if log else panel.title
    rows: Sequence[Row] = [*legend_rows(title, frame.readings, width, 1, False), *frame.rows]
    return ["".join(_styled(text, key, panel, colour) for text, key in fit_row(row, width)) for row in rows]


def _spans_decades(series: Sequence[Series]) -> bool:
    """Whether values, outliers left out, are above 0 and of such unlike sizes that a linear axis tells little."""
    values = np.concatenate([curve.values[np.isfinite(curve.values)] for curve in series])
    if not len(values) or values.min() <= 0:
        return False
    low, high = np.quantile(values, (0.05, 0.95))
    return bool(high > 100 * low)


def _styled(text: str, key: str, panel: Panel, colour: bool) -> str:
    kind, _, which = key.partition(".")
    if not colour or not text.strip():
        return text
    if kind in ("line", "band"):
        hue = HUES[panel.hue(int(which)) % len(HUES)]
        return f"\x1b[{2 if kind == 'band' else 1};{hue}m{text}\x1b[0m"
    style = {"title": 1, "axis": 2, "label": 2, "note": 2}.get(kind)
    return f"\x1b[{style}m{text}\x1b[0m" if style else text
