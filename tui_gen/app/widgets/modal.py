"""What every dialog, menu and overlay is: a modal screen that can be left only once."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

from tui_gen.app.terminal.app import TerminalApp

Result = TypeVar("Result")


class Modal(ModalScreen[Result]):
    """A modal screen whose `dismiss` counts once.

    Of two keys pressed in quick succession the second one reaches a screen that is already being left; dismissing it
    again would take the screen below away with it, and the application. What lies below is dimmed, but not over a slow
    link, where two more screenfuls for that would be waited for.
    """

    DEFAULT_CSS = "Modal.-bare { background: $background 0%; }"

    def on_mount(self) -> None:
        """See how fast the link is."""
        self.set_class(isinstance(self.app, TerminalApp) and self.app.slow_link, "-bare")

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Leave with a result; nothing where this screen is not the one on top any more."""
        return super().dismiss(result) if self.is_current else AwaitComplete.nothing()
