"""What every dialog, menu and overlay is: a modal screen that can be left only once."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

Result = TypeVar("Result")


class Modal(ModalScreen[Result]):
    """A modal screen whose `dismiss` counts once.

    Of two keys pressed in quick succession the second one reaches a screen that is already being left; dismissing it
    again would take the screen below away with it, and the application.
    """

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Leave with a result; nothing where this screen is not the one on top any more."""
        return super().dismiss(result) if self.is_current else AwaitComplete.nothing()
