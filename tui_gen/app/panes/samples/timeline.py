"""All previews of a kind on one strip, a mark each: which is shown, which are pinned, and what can be done with them.

At its left a button plays; at its right there is a letter for each way of comparing, where there is room.
"""

from __future__ import annotations

from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.app.terminal.found import shows_ascii

ROOM = 40
"""Columns from which on there are letters for what can be done."""
MARKS = ("─", "┼", "╪", "●", "▶", "■")
"""The line, a preview, several in one cell, the one that is shown, play, stop."""
PLAIN = ("-", "+", "#", "O", ">", "=")
SEVERAL = 3
"""With more previews in a cell than this, every cell is known to have several."""
RIGHT = 3
"""The number of the right button of a mouse."""


class Tool(NamedTuple):
    """A letter at the right, which is the key that does the same: an action of the pane, and whether that is on."""

    letter: str
    action: str
    on: bool = False


class History(NamedTuple):
    """What the strip shows: the previews' steps, the number of the one shown, whether the newest is followed.

    `pins` are letters for numbers of previews; `ends` are words for the first and the last, where those are not steps.
    """

    steps: tuple[int, ...] = ()
    at: int = 0
    following: bool = True
    pins: tuple[tuple[str, int], ...] = ()
    playing: bool = False
    tools: tuple[Tool, ...] = ()
    ends: tuple[str, str] = ("", "")


class Timeline(Widget):
    """All previews of a kind in a row, in the order of their steps; a click or a drag goes to one."""

    DEFAULT_CSS = """
    Timeline { height: 1; width: 1fr; color: $quiet; }
    """

    class Scrubbed(Message):
        """Preview number `index` was pointed at."""

        def __init__(self, index: int) -> None:
            self.index = index
            super().__init__()

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Timeline.Scrubbed)

    class PinAsked(Message):
        """Preview number `index` was clicked with the right button."""

        def __init__(self, index: int) -> None:
            self.index = index
            super().__init__()

    class ToolAsked(Message):
        """The letter of an action was clicked."""

        def __init__(self, action: str) -> None:
            self.action = action
            super().__init__()

    def __init__(self) -> None:
        super().__init__()
        self.history = History()
        self._held = False

    def show(self, history: History) -> None:
        """Show these previews."""
        if history != self.history:
            self.history = history
            self.refresh()

    def _labels(self) -> tuple[str, str]:
        steps = self.history.steps
        if not steps:
            return "", ""
        first, last = (words or f"{step:,}" for words, step in zip(self.history.ends, (steps[0], steps[-1])))
        return f"  {first} ", f" {last} " + ("now " if self.history.following else "end ")

    def _tools(self) -> tuple[Tool, ...]:
        return self.history.tools if self.size.width >= ROOM else ()

    def _track(self) -> tuple[int, int]:
        """First column and length of the track."""
        left, right = self._labels()
        return len(left), max(1, self.size.width - len(left) - len(right) - 2 * len(self._tools()))

    def render_line(self, y: int) -> Strip:
        history = self.history
        if not history.steps:
            return Strip.blank(self.size.width, self.rich_style)
        left, right = self._labels()
        line, mark, several, knob, play, stop = PLAIN if shows_ascii(self) else MARKS
        length, count = self._track()[1], len(history.steps)
        cells = [several if count > SEVERAL * length else line] * length
        for index in range(count if cells[0] == line else 0):
            at = _place(index, count, length)
            cells[at] = mark if cells[at] == line else several
        styles: dict[int, Style] = {}
        for letter, index in history.pins:
            at = _place(index, count, length)
            cells[at], styles[at] = letter, Style(bold=True)
        here = _place(history.at, count, length)
        pinned = here in styles
        cells[here] = cells[here] if pinned else knob
        styles[here] = Style(bold=True, reverse=pinned)
        segments = [Segment(stop if history.playing else play, Style(bold=True)), Segment(left[1:])]
        start = 0
        for at, style in sorted(styles.items()):
            segments += [Segment("".join(cells[start:at])), Segment(cells[at], style)]
            start = at + 1
        segments += [Segment("".join(cells[start:])), Segment(right)]
        for tool in self._tools():
            style = Style(bold=tool.on, reverse=tool.on, underline=not tool.on)
            segments += [Segment(" "), Segment(tool.letter, style)]
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _pointed(self, x: int) -> int:
        """The number of the preview at a column."""
        start, length = self._track()
        part = min(max((x - start) / max(1, length - 1), 0.0), 1.0)
        return round(part * (len(self.history.steps) - 1))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """The button, a letter, or a place on the track."""
        if not self.history.steps:
            return
        tools = self._tools()
        first = self.size.width - 2 * len(tools)
        if event.x < 2:
            self.post_message(self.ToolAsked("play"))
        elif tools and event.x >= first:
            self.post_message(self.ToolAsked(tools[min((event.x - first) // 2, len(tools) - 1)].action))
        elif event.button == RIGHT:
            self.post_message(self.PinAsked(self._pointed(event.x)))
        else:
            self._held = True
            self.capture_mouse()
            self.post_message(self.Scrubbed(self._pointed(event.x)))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """A drag along the track."""
        if self._held and self.history.steps:
            self.post_message(self.Scrubbed(self._pointed(event.x)))

    def on_mouse_up(self) -> None:
        """The end of a drag."""
        if self._held:
            self._held = False
            self.release_mouse()


def _place(index: int, count: int, length: int) -> int:
    """The cell of a track of some length where one of so many previews is."""
    return round(index * (length - 1) / max(1, count - 1))
