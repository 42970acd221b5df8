"""The tabs of panes that share a place: one row that names them."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.app.panes.registry import row


def tab_texts(panes: tuple[str, ...], current: str, room: int) -> list[tuple[str, str]]:
    """(pane, what stands on its tab) in the order of `panes`, with names as long as there is room for.

    The `current` one is marked. Where there is little room, those without a digit have a tab only while they are shown
    (the palette and the View menu have them always); where there is next to none, the others are digits alone.
    """
    rows = [place for place in map(row, panes) if place is not None]
    some = [place for place in rows if place.key or place.id == current]
    texts: list[tuple[str, str]] = []
    for those, most, most_current, gap in (
        (rows, 99, 99, " "), (rows, 99, 99, ""), *((rows, *both, "") for both in NARROWER if both[0] >= LEGIBLE),
        *((some, *both, "") for both in NARROWER),
    ):  # fmt: skip
        texts = []
        for pane, title, key, *_ in those:
            name = title[: most_current if pane == current else most]
            text = f"{gap}{key} {name}".rstrip() + gap if key else f"{gap}{name or title[:2]}{gap}"
            texts.append((pane, f"▐{text}▌" if pane == current else f" {text} "))
        if sum(len(text) for _, text in texts) <= room:
            break
    return texts


NARROWER = ((8, 9), (6, 9), (5, 9), (4, 9), (3, 9), (3, 5), (3, 3), (2, 5), (0, 5), (0, 0))
"""Letters of a pane's name, and of the name of the one that is shown, where not all have room."""
LEGIBLE = 3
"""Letters that tell panes without a digit apart."""


class PaneTabs(Widget):
    """One row that names the panes of a group; a click shows one."""

    DEFAULT_CSS = """
    PaneTabs { height: 1; background: $panel; color: $on-panel; }
    """

    class Picked(Message):
        """A tab was clicked."""

        def __init__(self, pane: str) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self) -> None:
        super().__init__()
        self._panes: tuple[str, ...] = ()
        self._current = ""
        self._spans: list[tuple[int, int, str]] = []
        self.display = False

    def show(self, panes: tuple[str, ...], current: str) -> None:
        """Name these panes, one of them as the one on screen."""
        if (panes, current) != (self._panes, self._current):
            self._panes, self._current = panes, current
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The row: ` 1 Models │▌2 Form▐`."""
        base = self.rich_style
        room = self.size.width
        segments: list[Segment] = []
        self._spans = []
        x = 0
        for pane, text in tab_texts(self._panes, self._current, room):
            segments.append(Segment(text, base + Style(bold=True, reverse=True) if pane == self._current else base))
            self._spans.append((x, x + len(text), pane))
            x += len(text)
        return Strip(segments).adjust_cell_length(room, base)

    def places(self) -> list[tuple[str, int, int]]:
        """(pane, column, row) on the screen of each tab whose pane is not shown."""
        return [(pane, self.region.x + start, self.region.y) for start, _, pane in self._spans if pane != self._current]

    def on_click(self, event: events.Click) -> None:
        """Show the pane whose tab was clicked."""
        for start, end, pane in self._spans:
            if start <= event.x < end:
                self.post_message(self.Picked(pane))
