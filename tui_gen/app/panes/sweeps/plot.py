"""The parallel coordinates of a sweep as a widget. Drawn anew only where something of it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.app.terminal.found import shows_ascii
from tui_gen.draw.text import Row

if TYPE_CHECKING:
    from tui_gen.draw.parallel import ParallelPlot
    from tui_gen.sweeps import SweepTable

DARK = ("#4a5578", "#5b74a6", "#5aa2b8", "#8fd694", "#f5e663", "#ffffff")
LIGHT = ("#c3cad9", "#8fa6c9", "#4f87b5", "#1f6d6d", "#8a3800", "#000000")
"""Colours from the worst to the best, each farther from the ground than the one before; the last is the chosen's."""


class SweepPlot(Widget):
    """Draws the trials of a table, the chosen one over all others."""

    DEFAULT_CSS = """
    SweepPlot { width: 1fr; height: 1fr; color: $quiet; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._table: SweepTable | None = None
        self._cursor: int | None = None
        self._last_circumstances: tuple[object, ...] = ()
        self._plot: ParallelPlot | None = None
        self._last_cursor: int | None = -1
        self._rows: list[Row] = []

    def show(self, table: SweepTable | None, cursor: int | None) -> None:
        """The trials of this table, and which is under the cursor."""
        if table is not self._table or cursor != self._cursor:
            self._table, self._cursor = table, cursor
            self.refresh()

    def _draw(self) -> None:
        plain = shows_ascii(self)
        circumstances = (self._table, self.size, plain)
        if circumstances != self._last_circumstances:
            from tui_gen import sweep_plot

            self._last_circumstances, self._last_cursor = circumstances, -1
            table = self._table
            self._plot = sweep_plot.plot_of(table, *self.size, plain) if table is not None else None
        if self._cursor != self._last_cursor:
            self._last_cursor = self._cursor
            self._rows = self._plot.rows(self._cursor) if self._plot is not None else []

    def render_line(self, y: int) -> Strip:
        """One row of it."""
        self._draw()
        if y >= len(self._rows):
            return Strip.blank(self.size.width, self.rich_style)
        segments = [Segment(text, self._style(key)) for text, key in self._rows[y]]
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _style(self, key: str) -> Style | None:
        if key == "label":
            return Style(bold=True)
        if not key[-1:].isdecimal():
            return None
        level = int(key[-1])
        colours = DARK if self.app.current_theme.dark else LIGHT
        if self.app.no_color:
            return Style(bold=level >= 4, dim=level < 3)
        return Style(color=colours[level], bold=level >= 4)
