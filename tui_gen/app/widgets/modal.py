"""What every dialog, menu, palette and overlay is: a modal screen that can be left only once."""

from __future__ import annotations

from typing import Any, TypeVar

from textual.await_complete import AwaitComplete
from textual.events import Resize
from textual.geometry import Size
from textual.screen import Screen

from tui_gen.app.terminal.app import TerminalApp
from tui_gen.app.terminal.private import PaintedWhole

Result = TypeVar("Result")


def on_top(screen: Screen[Any]) -> bool:
    """Whether a screen is the one that keys go to. (Textual calls those below current, too, where they show.)"""
    stack = screen.app.screen_stack
    return bool(stack) and stack[-1] is screen


class Modal(PaintedWhole[Result]):
    """A modal screen whose `dismiss` counts once, and never for another screen.

    Of two keys or clicks in quick succession the second one reaches a screen that is already being left, or that has
    another one over it; Textual's `dismiss` takes away whatever is on top: the other screen, or the application. What
    lies below is dimmed, but not over a slow link, where two more screenfuls for that would be waited for.
    """

    DEFAULT_CSS = "Modal.-bare { background: $background 0%; }"

    def on_mount(self) -> None:
        """See how fast the link is."""
        self.set_class(isinstance(self.app, TerminalApp) and self.app.slow_link, "-bare")

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Leave with a result; nothing where this screen is not the one on top."""
        return super().dismiss(result) if on_top(self) else AwaitComplete.nothing()


class PlacedModal(Modal[str]):
    """A modal screen whose parts stand at what lies below: left, without an answer, where the window changes."""

    _window: Size | None = None

    def on_resize(self, event: Resize) -> None:
        """The first is told when it comes; after another what lies below is elsewhere."""
        if self._window not in (None, event.size):
            self.dismiss("")
        self._window = event.size
