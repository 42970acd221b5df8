"""How the curves looked, for the next time that a run is opened: see `tui_gen.app.first_look`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style

from tui_gen.app.first_look import Seen

if TYPE_CHECKING:
    from textual.geometry import Region

    from tui_gen.app.panes.curves.pane import CurvesPane
    from tui_gen.app.terminal.app import TerminalApp

LINE_ART, WORDS = "⣿", "loss"
"""Text of both kinds: where a terminal has few colours, theirs are not the same."""


def seen(app: TerminalApp, pane: CurvesPane, grid: Region) -> Seen:
    """The colours of the plots of this pane, which stand in this part of the screen."""
    plot = pane.plots[0]
    looks = plot.looks()
    segments = [Segment(text, style) for style in looks.values() for text in (LINE_ART, WORDS)]
    for line_filter in app.get_line_filters():
        if line_filter.enabled:
            segments = line_filter.apply(segments, plot.background_colors[1])
    before = [_before(segment.style, app) for segment in segments]
    styles = dict(zip(looks, zip(before[::2], before[1::2]), strict=True))
    return Seen((grid.x, grid.y, grid.width, grid.height), styles)


def _before(style: Style | None, app: TerminalApp) -> str:
    """What is sent before text of a style."""
    return style.render("\0", color_system=app.color_system).partition("\0")[0] if style is not None else ""
