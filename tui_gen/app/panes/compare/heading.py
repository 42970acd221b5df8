"""What stands above a comparison: its pages, and the runs with their letters and colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.draw.text import elided, width_of
from tui_gen.history.comparison_rows import TableCell

MOST_ROWS = 3
"""Rows that the runs may take."""
LEAST_NAME = 6
"""Cells that are left of a name at least, where not all have room."""


class PageTabs(Widget):
    """One row that names the pages; a click shows one."""

    DEFAULT_CSS = """
    PageTabs { height: 1; width: 1fr; color: $quiet; }
    """

    class Picked(Message):
        """A page was clicked."""

        def __init__(self, page: str) -> None:
            super().__init__()
            self.page = page

    def __init__(self, pages: Sequence[str]) -> None:
        super().__init__()
        self._pages, self._page, self._words = tuple(pages), pages[0], ""

    def show(self, page: str, words: str = "") -> None:
        """Mark the page that is shown; `words` stand behind them all."""
        if (page, words) != (self._page, self._words):
            self._page, self._words = page, words
            self.refresh()

    def render_line(self, y: int) -> Strip:
        segments = []
        for page in self._pages:
            current = page == self._page
            segments.append(Segment(f" {page.capitalize()} ", Style(bold=current, reverse=current)))
        segments.append(Segment(f"  {self._words}" if self._words else ""))
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """The page that was clicked."""
        x = 0
        for page in self._pages:
            if x <= event.x < x + len(page) + 2:
                self.post_message(self.Picked(page))
            x += len(page) + 2


class RunsKey(Widget):
    """The runs by name, each in its colour: in one row where they have room, in a few where they have not."""

    DEFAULT_CSS = """
    RunsKey { height: 1; width: 1fr; }
    """

    def __init__(self, colour: Callable[[int], str]) -> None:
        super().__init__()
        self._colour = colour
        self._cells: list[TableCell] = []
        self._rows: list[list[TableCell]] = []

    def show(self, cells: Sequence[TableCell]) -> None:
        """Name these."""
        if list(cells) != self._cells:
            self._cells = list(cells)
            self._lay_out()

    def on_resize(self) -> None:
        """Break the rows anew."""
        self._lay_out()

    def _lay_out(self) -> None:
        width = max(1, self.size.width)
        cells = self._cells
        each = max(LEAST_NAME, MOST_ROWS * width // max(1, len(cells)) - 4)
        rows: list[list[TableCell]] = [[]]
        x = 0
        for cell in cells:
            text = elided(cell.text, each)
            if x and x + width_of(text) > width:
                rows.append([])
                x = 0
            rows[-1].append(cell._replace(text=text))
            x += width_of(text) + 2
        self._rows = rows[:MOST_ROWS]
        if self.styles.height is None or self.styles.height.value != len(self._rows):
            self.styles.height = len(self._rows)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        segments = []
        for cell in self._rows[y] if y < len(self._rows) else []:
            slot = int(cell.look.rpartition(".")[2])
            segments += [Segment(cell.text, Style(color=self._colour(slot), bold=True)), Segment("  ")]
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(self.rich_style)
