"""A dialog that asks for the numbers of both axes."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from tui_gen.app.widgets.modal import Modal
from tui_gen.exploring import Axes


class AxesDialog(Modal[Axes | None]):
    """Two whole numbers, counted as the axes' names count them; the answer are axes, or None."""

    DEFAULT_CSS = """
    AxesDialog { align: center middle; }
    AxesDialog > Vertical {
        width: 50; max-width: 90%; height: auto; border: round $primary; background: $surface; padding: 0 1;
    }
    AxesDialog #axes-words { height: auto; color: $quiet; }
    AxesDialog #axes-words.wrong { color: $text-error; }
    """
    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel", id="axes.cancel")]

    def __init__(self, axes: Axes, dimensions: int) -> None:
        super().__init__()
        self._axes = axes
        self._base = 1 if axes.sort == "component" else 0
        self._last = (min(dimensions, 32) if axes.sort == "component" else dimensions) - 1 + self._base

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(" Axes ")
            numbers = Input(f"{self._axes.first + self._base} {self._axes.second + self._base}")
            numbers.cursor_blink = False
            yield numbers
            words = f"across and upwards, each from {self._base} to {self._last}: 3 7"
            yield Static(words, id="axes-words", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _on_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        entries = event.value.replace(",", " ").split()
        numbers = [int(word) for word in entries if word.isdecimal() and word.isascii() and len(word) < 10]
        if len(entries) != 2 or len(numbers) != 2 or not all(self._base <= number <= self._last for number in numbers):
            words = self.query_one("#axes-words", Static)
            words.update(f"type two numbers from {self._base} to {self._last}, a space between them")
            words.add_class("wrong")
            return
        first, second = (number - self._base for number in numbers)
        self.dismiss(Axes(self._axes.sort, first, second))
