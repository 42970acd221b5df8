"""The text editor of a form's field: an Input whose keys are taken in the order in which they were pressed."""

from __future__ import annotations

import contextlib
from typing import Protocol

from textual import events
from textual.actions import SkipAction
from textual.widgets import Input

FORM_KEYS = ("up", "down", "big_up", "big_down", "page_up", "page_down", "enter", "next", "previous", "cancel")
"""What the form does on a key while a text is being edited; other keys are the editor's."""


class Owner(Protocol):
    """The form, as far as its editor knows it."""

    editing: str
    """The key of the field that is edited; empty where none is."""

    def doing(self, key: str) -> str:
        """What the form does on a key; empty where nothing."""

    def do(self, action: str) -> None:
        """Do it."""


class LineEditor(Input):
    """Hands the form its keys at once instead of by way of the app: on a slow link several keys come in one read, and
    an Enter that took the long way would be overtaken by what was typed after it."""

    def __init__(self, owner: Owner) -> None:
        super().__init__(id="editor", compact=True, select_on_focus=False)
        self.cursor_blink = False
        self._owner = owner

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """As any Input's, and a slash, which Textual 8.2 does not know by its name."""
        return key == "slash" or super().check_consume_key(key, character)

    def on_key(self, event: events.Key) -> None:
        doing = self._owner.doing(event.key)
        if doing in FORM_KEYS or (doing and not self._owner.editing):
            event.stop()
            event.prevent_default()
            with contextlib.suppress(SkipAction):
                self._owner.do(doing)
        elif not self._owner.editing:
            event.prevent_default()
