"""The choices of a form's field as a list over the form, in which letters find one."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.widgets import OptionList

from tui_gen.app.panes.form.typing import typed
from tui_gen.text import clean


class Choices(OptionList):
    """One choice a row. Letters go to the first choice that begins with them, else to one that has them; Enter or
    Space takes it."""

    def __init__(self) -> None:
        super().__init__(id="choices", compact=True, markup=False)
        self.sought = ""
        """The letters typed since the list was opened."""

    def offer(self, choices: Sequence[object], value: object) -> None:
        """Show these, with the cursor on the one that is in force."""
        self.sought = ""
        self.set_options([clean(str(choice)) for choice in choices])
        self.highlighted = choices.index(value) if value in choices else 0 if choices else None

    @property
    def widest(self) -> int:
        """The longest choice, in characters."""
        return max((len(str(option.prompt)) for option in self.options), default=8)

    def seek(self, sought: str) -> None:
        """Go to the first choice that begins with these letters, else to the first that has them anywhere."""
        words = [str(option.prompt).lower() for option in self.options]
        places = [at for at, word in enumerate(words) if word.startswith(sought)]
        places += [at for at, word in enumerate(words) if sought in word]
        if places:
            self.sought, self.highlighted = sought, places[0]
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
            self.seek(self.sought + character.lower())
        elif event.key == "backspace":
            self.seek(self.sought[:-1])
        else:
            return
        event.stop()
