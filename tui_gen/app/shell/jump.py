"""Jump mode: a letter stands on every pane, and that key goes there."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from tui_gen.app.widgets.modal import PlacedModal

LETTERS = "asdfghjklqwertyuiopzxcvbnm"
FOOT = 2
"""Rows of the screen below the panes."""


class Jump(PlacedModal):
    """Letters over the places to go; dismissed with the name of the place, or an empty text.

    `places` are (name, column, row) on the screen; `others`, (name, words), are on it neither as panes nor as tabs, and
    stand in a row at its bottom.
    """

    DEFAULT_CSS = """
    Jump { background: $background 30%; }
    Jump > Static { position: absolute; width: 3; height: 1; background: $primary; color: $text; }
    Jump > Static { text-style: bold reverse; }
    Jump > .word { width: auto; }
    """

    def __init__(self, places: list[tuple[str, int, int]], others: list[tuple[str, str]]) -> None:
        super().__init__()
        self._places = list(zip(LETTERS, places, strict=False))
        self._others = list(zip(LETTERS[len(self._places) :], others, strict=False))

    def compose(self) -> ComposeResult:
        for letter, (name, x, y) in self._places:
            label = Static(Content(f" {letter} "), name=name)
            label.styles.offset = (x, y)
            yield label
        places, x, row, (width, height) = [], 0, 0, self.app.size
        for letter, (name, title) in self._others:
            words = f" {letter} {title} "
            if x and x + len(words) > width:
                x, row = 0, row + 1
            places.append((name, words, x, row))
            x += len(words) + 1
        for name, words, x, at in places:
            label = Static(Content(words), name=name, classes="word")
            label.styles.offset = (x, max(0, height - FOOT - row - 1 + at))
            yield label

    def on_key(self, event: events.Key) -> None:
        """Go there; any other key leaves."""
        event.stop()
        event.prevent_default()
        names = {letter: place[0] for letter, place in self._places} | {letter: one[0] for letter, one in self._others}
        self.dismiss(names.get(event.key, ""))

    def on_click(self, event: events.Click) -> None:
        """A letter can be clicked."""
        event.stop()
        x, y = int(event.screen_x), int(event.screen_y)
        self.dismiss(next((label.name or "" for label in self.query(Static) if label.region.contains(x, y)), ""))
