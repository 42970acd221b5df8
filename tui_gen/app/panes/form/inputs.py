"""What lies over the row of a field that is edited: a line of text, or a list of its choices."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Protocol

from textual import events
from textual.actions import SkipAction
from textual.widgets import Input, OptionList

from tui_gen.app.panes.form.rows import typed
from tui_gen.text import clean

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
    """A line of text, whose keys are taken in the order in which they were pressed.

    It hands the form its keys at once instead of by way of the app: on a slow link several keys come in one read, and
    an Enter that took the long way would be overtaken by what was typed after it.
    """

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


class Choices(OptionList):
    """A list with one choice a row.

    Letters go to the first choice that begins with them, else to one that has them; Enter or Space takes it.
    """

    def __init__(self) -> None:
        super().__init__(id="choices", compact=True, markup=False)
        self.letters = ""
        """The letters typed since the list was opened."""

    def offer(self, choices: Sequence[object], value: object) -> None:
        """Show these, with the cursor on the one that is in force."""
        self.letters = ""
        self.set_options([clean(str(choice)) for choice in choices])
        self.highlighted = choices.index(value) if value in choices else 0 if choices else None

    @property
    def widest(self) -> int:
        """The longest choice, in characters."""
        return max((len(str(option.prompt)) for option in self.options), default=8)

    def seek(self, letters: str) -> None:
        """Go to the first choice that begins with these letters, else to the first that has them anywhere."""
        words = [str(option.prompt).lower() for option in self.options]
        places = [at for at, word in enumerate(words) if word.startswith(letters)]
        places += [at for at, word in enumerate(words) if letters in word]
        if places:
            self.letters, self.highlighted = letters, places[0]
        else:
            self.app.bell()

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """What is typed here is no key of the pane or of the app."""
        return character is not None and character.isprintable()

    def on_key(self, event: events.Key) -> None:
        """Letters, and what takes them back."""
        if event.key == "space":
            self.action_select()
        elif character := typed(event):
            self.seek(self.letters + character.lower())
        elif event.key == "backspace":
            self.seek(self.letters[:-1])
        else:
            return
        event.stop()
