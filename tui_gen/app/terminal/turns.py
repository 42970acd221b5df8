"""Whose turn it is: keys go to what has the focus one by one, as each may move it, end a dialog, or lead to one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from textual import events
from textual.message import Message

if TYPE_CHECKING:
    from textual.app import App
    from textual.widget import Widget

Typed = events.Key | events.Paste
LOOK = 0.1
"""Seconds after which it is looked whether what a key went to is still there: it may have been taken away."""


class Passed(Message, bubble=True):
    """Went up from a widget to the app, behind a key, whose binding has done what it does, or behind what gives a new
    screen its focus."""

    def __init__(self, target: Widget) -> None:
        self.target = target
        super().__init__()


class Turns:
    """Holds what is typed back while a key is on its way up from the widget that had the focus.

    Textual hands a key to the focused widget and takes the next one, and only when it has come up from parent to parent
    is it what a binding does. Where that ends a dialog, as Escape does, keys that came meanwhile are within it, and
    are text of its field, or gone with it; where it goes to a field, as `/` does, they are keys instead of its text;
    where it opens a dialog, they come before this has its focus.
    """

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._target: Widget | None = None
        self._held: deque[Typed] = deque()

    @property
    def waiting(self) -> bool:
        """Whether anything is held back."""
        return bool(self._held)

    def hold(self, event: Typed) -> bool:
        """Whether something that was typed has to wait; `due` has it when its turn has come."""
        if self._held or self._busy:
            self._held.append(event)
            return True
        return False

    @property
    def _busy(self) -> bool:
        """Whether a key is on its way through the screen that is on top."""
        target, stack = self._target, self._app.screen_stack
        return target is not None and target.is_attached and bool(stack) and target.screen is stack[-1]

    def went_to(self, target: Widget) -> None:
        """A key was handed to this widget, or this screen is the one that keys go to now."""
        self._target = target if target.post_message(Passed(target)) else None

    def wait_for(self, target: Widget) -> None:
        """What was typed before is still being done by this widget: `went_to` says when it will be."""
        self._target = target

    def passed(self, target: Widget) -> None:
        """It has come up to the app, and what it does is done."""
        if target is self._target:
            self._target = None

    def due(self) -> Typed | None:
        """What is to be handed on now, if anything is."""
        return self._held.popleft() if self._held and not self._busy else None
