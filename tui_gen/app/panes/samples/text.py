"""A preview made of text as a widget: plain lines, wrapped unless they are a table, scrolled where they do not fit."""

from __future__ import annotations

import re
from itertools import groupby
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


COLUMNS = re.compile(r"\S {2,}\S|[▀-▟]")
"""Words in columns, or bars: broken, such a line says nothing any more."""


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, those that are wider than `width` cells broken; they hold no control characters.

    Lines that stand together with one of words in columns are left whole.
    """
    lines, source = [], clean_lines(text)
    whole = _in_columns(source)
    for rest, whole_line in zip(source, whole):
        while not whole_line and width_of(rest) > width:
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


def _in_columns(lines: list[str]) -> list[bool]:
    """For every line whether it belongs to a table: a paragraph with words in columns, or with marks under words."""
    flags: list[bool] = []
    for blank, group in groupby(lines, lambda line: not line.strip()):
        part = list(group)
        table = not blank and len(part) > 1 and any(COLUMNS.search(line.strip()) for line in part)
        flags += [table] * len(part)
    return flags


class TextView(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows one file of text."""

    DEFAULT_CSS = """
    TextView { width: 1fr; height: 1fr; overflow-x: auto; scrollbar-size: 1 1; }
    """

    BINDINGS: ClassVar = [
        Binding("up", "scroll_up", "Scroll up", show=False),
        Binding("down", "scroll_down", "Scroll down", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
        Binding("shift+left", "scroll_left", "Scroll left", show=False),
        Binding("shift+right", "scroll_right", "Scroll right", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.text = ""
        self._path: Path | None = None
        self._lines: list[str] = []
        self._widest = 0

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
        self._widest = max([width, *map(width_of, self._lines)])
        self.virtual_size = Size(self._widest, len(self._lines))
        self.refresh()

    def on_resize(self, event: events.Resize) -> None:
        self._wrap()

    def render_line(self, y: int) -> Strip:
        at = y + self.scroll_offset.y
        line = self._lines[at] if at < len(self._lines) else ""
        left = self.scroll_offset.x
        whole = Strip([Segment(line)]).adjust_cell_length(max(self._widest, left + self.size.width))
        return whole.crop(left, left + self.size.width).apply_style(self.rich_style)
