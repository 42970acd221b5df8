"""A pane with a filter line above what it lists: `/` opens it, words narrow the list as they are typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual.geometry import Size
from textual.reactive import Reactive
from textual.widgets import Input

from tui_gen.app.panes.base import Pane


class FilterLine(Input):
    """A line whose width is given: what is typed into it moves nothing, so that no key has the screen laid out anew."""

    virtual_size = Reactive(Size(0, 0), layout=False)

    def __init__(self, on_text: Callable[[], None]) -> None:
        super().__init__(placeholder="filter", compact=True)
        self.cursor_blink = False
        self._on_text, self._last_text = on_text, ""

    def watch_value(self, value: str) -> None:
        """Tell of it at once: by a message, what it finds would be in the frame after that of the letter."""
        if value != self._last_text:
            self._last_text = value
            self._on_text()


class FilterPane(Pane):
    """A subclass yields `filter_line()` first when it composes, lists what is `matching`, and binds the two actions."""

    DEFAULT_CSS = """
    FilterPane > FilterLine { height: 1; border: none; padding: 0 1; background: $surface; display: none; }
    """

    def filter_line(self) -> Input:
        """The line, hidden until it is asked for."""
        return FilterLine(self.list_anew)

    def matching(self, texts: Iterable[str]) -> list[bool]:
        """Whether each text has all words of the filter, in any case."""
        boxes = self.query(Input)
        words = boxes.first(Input).value.lower().split() if boxes else []
        return [not words or all(word in text.lower() for word in words) for text in texts]

    def list_anew(self) -> None:
        """List what matches; the filter changed."""

    def action_filter(self) -> None:
        """Type a filter."""
        box = self.query_one(Input)
        box.display = True
        box.focus()

    def action_clear_filter(self) -> None:
        """No filter."""
        box = self.query_one(Input)
        box.value = ""
        box.display = False
        self.focus_inside()

    def on_input_changed(self, event: Input.Changed) -> None:
        """The line has told of it."""
        event.stop()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter and go to what it found."""
        event.stop()
        event.input.display = bool(event.value)
        self.focus_inside()
