"""A preview made of text as a widget: plain lines, wrapped, scrolled where they are more than fit."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui_gen.draw.text import width_of
from tui_gen.files import open_regular
from tui_gen.text import clean_lines

MOST = 256 * 1024
"""Bytes of a file that are shown."""


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, those that are wider than `width` cells broken; they hold no control characters."""
    lines = []
    for rest in clean_lines(text):
        while width_of(rest) > width:
            end = 1  # a wide character goes on a line of its own rather than nowhere
            while end < len(rest) and width_of(rest[: end + 1]) <= width:
                end += 1
            if rest[end] != " ":  # rather after a blank than within a word
                end = rest.rfind(" ", end // 2, end) + 1 or end
            lines.append(rest[:end])
            rest = rest[end:]
        lines.append(rest)
    while lines and not lines[-1]:
        lines.pop()
    return lines


class TextView(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows one file of text."""

    DEFAULT_CSS = """
    TextView { width: 1fr; height: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    """

    BINDINGS: ClassVar = [
        Binding("up", "scroll_up", "Scroll up", show=False),
        Binding("down", "scroll_down", "Scroll down", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.text = ""
        self._path: Path | None = None
        self._lines: list[str] = []

    def show_file(self, path: Path) -> None:
        """Show a file; where it cannot be read, say why."""
        if path == self._path:
            return
        self._path = path
        try:
            with open_regular(path) as file:
                self.text = file.read(MOST).decode("utf-8", "replace")
        except OSError as error:
            self.text, self._path = f"{path.name} cannot be read: {error.strerror or error}", None
        self._wrap()

    def _wrap(self) -> None:
        width = max(1, self.scrollable_content_region.width)
        self._lines = wrapped(self.text, width)
        self.virtual_size = Size(width, len(self._lines))
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        self._wrap()

    def render_line(self, y: int) -> Strip:
        at = y + self.scroll_offset.y
        line = self._lines[at] if at < len(self._lines) else ""
        return Strip([Segment(line)]).adjust_cell_length(self.size.width).apply_style(self.rich_style)
