"""A dialog that asks for a line of text."""

from __future__ import annotations

from collections.abc import Callable

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from tui_gen.app.widgets.modal import Modal
from tui_gen.text import clean


class TextDialog(Modal[str | None]):
    """Asks for a line; the answer is the text, or None. `wrong` says why a text cannot be taken: it stays to be mended.

    `why` is said below the line.
    """

    DEFAULT_CSS = """
    TextDialog {
        align: center middle;
        & > Vertical {
            width: 80%; max-width: 90; min-width: 40; height: auto; max-height: 90%;
            border: round $primary; background: $surface; padding: 0 1;
        }
        & Input { margin: 0; }
        & Static { height: auto; color: $quiet; }
        & Static.wrong { color: $text-error; }
    }
    """
    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel", id="text.cancel")]

    def __init__(
        self, title: str, text: str = "", why: str = "", wrong: Callable[[str], str] = lambda text: ""
    ) -> None:
        super().__init__()
        self._title, self._text, self._why, self._wrong = clean(title), text, clean(why), wrong

    def compose(self) -> ComposeResult:
        """The line, and words below it."""
        with Vertical() as box:
            box.border_title = Content(f" {self._title} ")
            line = Input(self._text, select_on_focus=False)
            line.cursor_blink = False
            yield line
            yield Static(Content(self._why or "Enter takes it, Esc leaves"))

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _on_submitted(self, event: Input.Submitted) -> None:
        if words := self._wrong(event.value):
            line = self.query_one(Static)
            line.update(Content(clean(words)))
            line.set_class(True, "wrong")
        else:
            self.dismiss(event.value)

    def on_click(self, event: events.Click) -> None:
        """A click beside the box leaves."""
        if not self.query_one(Vertical).region.contains(int(event.screen_x), int(event.screen_y)):
            self.dismiss(None)
