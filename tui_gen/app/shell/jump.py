"""Jump mode: a letter stands on every pane, and that key goes there."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from tui_gen.app.widgets.modal import PlacedModal

LETTERS = "asdfghjklqwertyuiopzxcvbnm"


class Jump(PlacedModal):
    """Letters over the places to go; dismissed with the name of the place, or an empty text.

    `places` are (name, column, row) on the screen.
    """

    DEFAULT_CSS = """
    Jump { background: $background 30%; }
    Jump > Static { position: absolute; width: 3; height: 1; background: $primary; color: $text; }
    Jump > Static { text-style: bold reverse; }
    """

    def __init__(self, places: list[tuple[str, int, int]]) -> None:
        super().__init__()
        self._places = list(zip(LETTERS, places, strict=False))

    def compose(self) -> ComposeResult:
        for letter, (name, x, y) in self._places:
            label = Static(Content(f" {letter} "), name=name)
            label.styles.offset = (x, y)
            yield label

    def on_key(self, event: events.Key) -> None:
        """Go there; any other key leaves."""
        event.stop()
        event.prevent_default()
        self.dismiss(next((place[0] for letter, place in self._places if letter == event.key), ""))

    def on_click(self, event: events.Click) -> None:
        """A letter can be clicked."""
        event.stop()
        x, y = int(event.screen_x), int(event.screen_y)
        self.dismiss(next((label.name or "" for label in self.query(Static) if label.region.contains(x, y)), ""))
