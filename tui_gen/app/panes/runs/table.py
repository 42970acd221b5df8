"""A table of runs with a cursor, marks and a header: thousands of rows, of which only those on screen are drawn."""

from __future__ import annotations

from collections.abc import Callable

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import Reactive
from textual.strip import Strip

from tui_gen.app.panes.runs.columns import GAP, MARK, Column, cell_of, columns_for, fitted
from tui_gen.app.widgets.cursor_list import CursorList
from tui_gen.history.run_facts import FACTS, RunRow
from tui_gen.states import state_look, themed

TONES = ("accent", "success", "warning", "primary", "quiet", "error")
QUIET = ("step", "run", "idle", "time", "size", "metric", "best_step")
"""Columns that are there to be looked up."""


class RunTable(CursorList, can_focus=True):
    """Rows of runs. `changed()` is called after the cursor or the marks moved."""

    ALLOW_SELECT = False
    virtual_size = Reactive(Size(0, 0), layout=False)  # the scroll bar is told of it, and no other place changes
    COMPONENT_CLASSES = {f"runs--{name}" for name in (*TONES, "header", "here", "cursor", "star")}
    DEFAULT_CSS = (
        """
    RunTable {
        height: 1fr; background: $background; color: $foreground;
        overflow-x: hidden; overflow-y: auto; scrollbar-size-vertical: 1;
        & > .runs--header { color: $quiet; text-style: bold; }
        & > .runs--cursor { background: $boost; }
        & > .runs--here { background: $here; text-style: $here-style; }
        & > .runs--star { color: $text-warning; }
    """
        + "".join(f"    & > .runs--{tone} {{ color: {themed(tone)}; }}\n" for tone in TONES)
        + "}"
    )
    BINDINGS = [
        Binding("up", "move(-1)", "Row before", show=False, id="runs.up"),
        Binding("down", "move(1)", "Next row", show=False, id="runs.down"),
        Binding("pageup", "page(-1)", "Page before", show=False, id="runs.page_up"),
        Binding("pagedown", "page(1)", "Next page", show=False, id="runs.page_down"),
        Binding("home", "end(0)", "First row", show=False, id="runs.home"),
        Binding("end", "end(1)", "Last row", show=False, id="runs.end"),
        Binding("space", "mark", "Mark", id="runs.mark"),
        Binding("shift+up", "extend(-1)", "Mark upwards", show=False, id="runs.extend_up"),
        Binding("shift+down", "extend(1)", "Mark downwards", show=False, id="runs.extend_down"),
        Binding("enter", "open", "Show", id="runs.open"),
    ]

    class Opened(Message):
        """A row was chosen to be shown."""

    class Sorted(Message):
        """A header was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, on_change: Callable[[], None]) -> None:
        super().__init__()
        self.rows: list[RunRow] = []
        self.columns: list[Column] = []
        self.marked: set[str] = set()
        self.cursor = 0
        self.open_path = ""
        """The run that is shown in the other panes."""
        self.sort, self.down = "", False
        self._on_change = on_change
        self._width_rows: list[RunRow] = []
        """The runs that the columns have room for."""
        self._columns_width = 0
        """Cells that they share."""
        self._last_columns: list[Column] = []
        """The columns as they were drawn last."""

    # -- content

    @property
    def current(self) -> RunRow | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    @property
    def on_screen(self) -> list[RunRow]:
        """The rows that are seen now."""
        top = round(self.scroll_y)
        return self.rows[top : top + max(1, self.size.height)]

    def show_rows(self, rows: list[RunRow], sort: str = "", down: bool = False) -> None:
        """Show other rows; the cursor stays on its run, where that is still there, and else in its place."""
        path = self.current.info.path if self.current is not None else ""
        before = (self.rows, self._last_columns, self.sort, self.down, self.cursor)
        self.rows, self.sort, self.down = rows, sort, down
        if path and not (self.cursor < len(rows) and rows[self.cursor].info.path == path):
            place = next((at for at, row in enumerate(rows) if row.info.path == path), self.cursor)
            self.cursor = max(0, min(place, len(rows) - 1))
        self._reach()
        if before != (self.rows, self.columns, self.sort, self.down, self.cursor):
            self._refresh_changed(before[0] if before[1:] == (self.columns, sort, down, self.cursor) else None)
        self._last_columns = self.columns

    def _refresh_changed(self, before: list[RunRow] | None) -> None:
        """Draw what is on screen anew: all of it, or, with the rows as they were, those that are others now."""
        if before is None:
            self.refresh()
            return
        top = round(self.scroll_y)
        for y in range(1, self.size.height):
            at = top + y - 1
            old, new = before[at : at + 1], self.rows[at : at + 1]
            if old != new:
                self.refresh(Region(0, y, self.size.width, 1))

    def measure(self, rows: list[RunRow]) -> None:
        """Give the columns the widths that these runs need, of which some or all are shown."""
        self._width_rows = rows
        self._columns_width = self.scrollable_content_region.width
        self.columns = columns_for(self._columns_width, rows) if self._columns_width else []

    def _reach(self) -> None:
        """Give the scroll bar its length."""
        size = Size(self.scrollable_content_region.width, len(self.rows) + 1)
        height = self.container_size.height
        if size != self.virtual_size:
            self.virtual_size = size
            shown = size.height > height
            if height and shown != self.show_vertical_scrollbar:
                self.vertical_scrollbar.display = shown
                self.show_vertical_scrollbar = shown
            if height and shown:
                self.vertical_scrollbar.window_virtual_size = size.height
                self.vertical_scrollbar.window_size = height
            self.scroll_y = self.validate_scroll_y(self.scroll_y)
            self._follow()

    def open_is(self, path: str) -> None:
        """This run is shown in the other panes."""
        if path != self.open_path:
            self.open_path = path
            self.refresh()

    def draw_anew(self, path: str) -> None:
        """Something in the row of a run is another."""
        for at in range(round(self.scroll_y), min(len(self.rows), round(self.scroll_y) + self.size.height)):
            if self.rows[at].info.path == path:
                self._refresh_row(at)

    # -- drawing

    def render_line(self, y: int) -> Strip:
        if self._columns_width != self.scrollable_content_region.width:  # painted before it hears of its size
            self.measure(self._width_rows)
        width, base = self.size.width, self.rich_style
        if y == 0 and self._width_rows:
            return self._header(base).adjust_cell_length(width, base)
        at = round(self.scroll_y) + y - 1
        if not 0 <= at < len(self.rows):
            return Strip.blank(width, base)
        row = self.rows[at]
        here = at == self.cursor
        if here:
            base = base + self._own("runs--here" if self.has_focus else "runs--cursor")
        mark, is_open = row.info.path in self.marked, row.info.path == self.open_path
        bold = base + Style(bold=True)
        segments = [Segment("◆" if mark else " ", bold), Segment("›" if is_open else " ", bold)]
        for place, column in enumerate(self.columns):
            text = cell_of(row, column) + " " * (GAP if place < len(self.columns) - 1 else 0)
            segments.append(Segment(text, self._style(base, row, column)))
        return Strip(segments).adjust_cell_length(width, base)

    def _style(self, base: Style, row: RunRow, column: Column) -> Style:
        if column.name == "state":
            tone = state_look(row.info.state).tone if row.info.state else "quiet"
            return base + self._own(f"runs--{tone}")
        if column.name in ("star", "notes"):
            return base + self._own("runs--star")
        if column.name == "best" and row.summary.reached:
            return base + self._own("runs--success")
        return base + self._own("runs--quiet") if column.name in QUIET else base

    def _own(self, name: str) -> Style:
        return self.get_component_rich_style(name, partial=True)

    def _header(self, base: Style) -> Strip:
        style, parts = base + self._own("runs--header"), [Segment(" " * MARK, base)]
        for place, column in enumerate(self.columns):
            title = column.title
            if column.name == self.sort:
                arrow = "▼" if self.down else "▲"
                title = arrow if column.width < 3 else title[: column.width - 1] + arrow
            gap = " " * (GAP if place < len(self.columns) - 1 else 0)
            parts.append(Segment(fitted(title, column.width, column.right) + gap, style))
        return Strip(parts)

    # -- moving

    def move_to(self, at: int) -> None:
        """Put the cursor on a row."""
        at = max(0, min(at, len(self.rows) - 1))
        if at == self.cursor:
            return
        before, self.cursor = self.cursor, at
        if not self._follow():
            self._refresh_row(before)
            self._refresh_row(at)
        self._on_change()

    def _follow(self) -> bool:
        """Scroll to the cursor; whether that was needed."""
        height, top = self.size.height - 1, round(self.scroll_y)
        if height < 1:
            return False
        new = min(self.cursor, max(top, self.cursor - height + 1))
        if new != top:
            self.scroll_to(y=new, animate=False, immediate=True)
            self.refresh()
        return new != top

    def _refresh_row(self, at: int) -> None:
        y = at - round(self.scroll_y) + 1
        if 1 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def action_move(self, by: int) -> None:
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.move_to(self.cursor + by * max(1, self.size.height - 2))

    def action_end(self, last: int) -> None:
        """To the first or the last row."""
        self.move_to((len(self.rows) - 1) * last)

    def action_mark(self) -> None:
        """Mark the row, or not, and go on to the next."""
        self.mark(self.cursor)
        self.move_to(self.cursor + 1)

    def mark(self, at: int, on: bool | None = None) -> None:
        """Mark a row; None is whichever it is not."""
        if at < len(self.rows):
            path = self.rows[at].info.path
            value = path not in self.marked if on is None else on
            (self.marked.add if value else self.marked.discard)(path)
            self._refresh_row(at)
            self._on_change()

    def action_extend(self, by: int) -> None:
        """Mark this row and the next one."""
        self.mark(self.cursor, True)
        self.move_to(self.cursor + by)
        self.mark(self.cursor, True)

    def mark_all(self) -> None:
        """Mark all rows; none, where all are marked."""
        paths = {row.info.path for row in self.rows}
        self.marked = set() if paths <= self.marked else self.marked | paths
        self.refresh()
        self._on_change()

    def unmark(self) -> None:
        self.marked = set()
        self.refresh()
        self._on_change()

    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(self.Opened())

    # -- events

    def refresh_cursor(self) -> None:
        self._refresh_row(self.cursor)

    def on_resize(self) -> None:
        self.measure(self._width_rows)
        self._reach()
        self._follow()
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.refresh()  # the header stays where it is

    def on_click(self, event: events.Click) -> None:
        """A header sorts; the first cells of a row mark it; a row takes the cursor, and is shown by a second click."""
        event.stop()
        if event.y == 0:
            left = MARK
            for column in self.columns:
                if left <= event.x < left + column.width + GAP and column.name in FACTS:
                    self.post_message(self.Sorted(column.name))
                    return
                left += column.width + GAP
            return
        at = round(self.scroll_y) + event.y - 1
        if at >= len(self.rows):
            return
        if event.x < MARK or event.ctrl:
            self.move_to(at)
            self.mark(at)
        elif event.shift:
            for between in range(min(at, self.cursor), max(at, self.cursor) + 1):
                self.mark(between, True)
            self.move_to(at)
        elif at == self.cursor:
            self.action_open()
        else:
            self.move_to(at)

