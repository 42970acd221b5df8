"""A table of runs as a widget: a column a run, its first column and its head always in view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui_gen.draw.text import elided, width_of
from tui_gen.history.comparison_rows import Cells, TableCell

WIDEST = 26
"""Cells of a column at most, but for a lone one."""
GAP = 2


class TableView(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows a head and rows. Scrolls both ways; `colour` gives the colour of a run by its number."""

    DEFAULT_CSS = """
    TableView { width: 1fr; height: 1fr; scrollbar-size: 1 1; }
    """
    BINDINGS: ClassVar = [
        Binding("up", "scroll_up", "Scroll up", show=False),
        Binding("down", "scroll_down", "Scroll down", show=False),
        Binding("left", "scroll_left", "Scroll left", show=False),
        Binding("right", "scroll_right", "Scroll right", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
        Binding("home", "scroll_home", "To the top", show=False),
        Binding("end", "scroll_end", "To the end", show=False),
    ]

    def __init__(self, colour: Callable[[int], str]) -> None:
        super().__init__()
        self._colour = colour
        self._table: list[Cells] = []
        self._columns: list[int] = []

    def show(self, head: Cells, rows: Sequence[Cells]) -> None:
        """Show this table from now on; nothing is drawn where it is the same."""
        table = [head, *rows]
        if table != self._table:
            self._table = table
            self._lay_out()

    def _lay_out(self) -> None:
        table = [row for row in self._table if len(row) > 1]
        columns = [max(width_of(cell.text) for cell in column) for column in zip(*table)]
        room = max(1, self.scrollable_content_region.width)
        if columns:
            first = min(columns[0], max(12, room // 3 if len(columns) > 2 else room // 2))
            columns = [first, *(min(WIDEST, wide) if len(columns) > 2 else wide for wide in columns[1:])]
        self._columns = columns
        whole = sum(columns) + GAP * max(0, len(columns) - 1)
        self.virtual_size = Size(max(room, whole), len(self._table))
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        """Columns follow the width."""
        self._lay_out()

    def notify_style_update(self) -> None:
        """Colours are another theme's."""
        super().notify_style_update()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """A row; the head is the first one, wherever the rest is scrolled to."""
        width = self.size.width
        place = 0 if y == 0 else y + self.scroll_offset.y
        if place >= len(self._table):
            return Strip.blank(width, self.rich_style)
        row = self._table[place]
        if len(row) < 2:
            lone = row[0] if row else TableCell("")
            return self._strip([Segment(elided(lone.text, width), self._style(lone.look))], width)
        first = self._columns[0] + GAP
        label = Strip([self._segment(row[0], self._columns[0]), Segment(" " * GAP)], first)
        cells = []
        for cell, wide in zip(row[1:], self._columns[1:]):
            cells += [self._segment(cell, wide), Segment(" " * GAP)]
        rest = Strip(cells)
        left = self.scroll_offset.x
        room = max(0, width - first)
        rest = rest.adjust_cell_length(max(rest.cell_length, left + room)).crop(left, left + room)
        return Strip.join([label, rest]).adjust_cell_length(width).apply_style(self.rich_style)

    def _strip(self, segments: list[Segment], width: int) -> Strip:
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)

    def _segment(self, cell: TableCell, wide: int) -> Segment:
        text = elided(cell.text, wide)
        return Segment(text + " " * (wide - width_of(text)), self._style(cell.look))

    def _style(self, look: str) -> Style:
        kind, _, which = look.partition(".")
        if kind == "run":
            return Style(color=self._colour(int(which)), bold=True)
        return Style(bold=kind in ("strong", "head"), dim=kind == "quiet")
