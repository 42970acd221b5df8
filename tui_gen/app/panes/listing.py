"""What panes share that are a list of what files say: read away from the UI's thread, redrawn where it differs."""

from __future__ import annotations

from typing import Any

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tui_gen.app.panes.base import Pane


class ListPane(Pane):
    """A list, and words about the row under the cursor. A subclass reads in `read`, and shows it in `list_anew`."""

    DEFAULT_CSS = """
    ListPane > OptionList {
        height: 1fr; border: none; padding: 0; background: $background; scrollbar-size-vertical: 1;
    }
    ListPane > OptionList:focus { border: none; }
    ListPane > Static { height: auto; max-height: 3; padding: 0 1; color: $quiet; }
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._busy = self._again = False
        self._prompts: dict[str, Content] = {}

    def on_show(self) -> None:
        """On screen: look at once."""
        self.look()

    def on_resize(self) -> None:
        """Rows are as wide as the pane."""
        self.list_anew()

    def look(self) -> None:
        """Read, away from the UI's thread; once more where it was asked for meanwhile."""
        if self._busy:
            self._again = True
        elif self.is_attached:
            self._busy = True
            self.run_worker(self._look(), exit_on_error=False)

    async def _look(self) -> None:
        try:
            await self.read()
        finally:
            self._busy = False
        if self.is_attached:
            self.list_anew()
            if self._again:
                self._again = False
                self.look()

    async def read(self) -> None:
        """Find out what is to be shown."""
        raise TypeError(f"{type(self).__name__} must define read()")

    def list_anew(self) -> None:
        """Show what was read."""
        raise TypeError(f"{type(self).__name__} must define list_anew()")

    def put(self, prompts: dict[str, Content], cursor: str | int) -> None:
        """Show these rows, by id; only those that differ are drawn. Where other rows come, `cursor` is the one to go
        to: its id (the first row where that is gone) or its place (the last row where there are fewer)."""
        options = self.query_one(OptionList)
        if list(prompts) != list(self._prompts):
            options.clear_options()
            options.add_options([Option(prompt, id=id) for id, prompt in prompts.items()])
            if prompts:
                idents = list(prompts)
                place = cursor if isinstance(cursor, int) else idents.index(cursor) if cursor in prompts else 0
                options.highlighted = min(place, len(prompts) - 1)
        else:
            for id, prompt in prompts.items():
                if prompt != self._prompts[id]:
                    options.replace_option_prompt(id, prompt)
        self._prompts = prompts

    @property
    def highlighted(self) -> str:
        """The id of the row under the cursor, or an empty text."""
        options = self.query_one(OptionList)
        if options.highlighted is None or options.highlighted >= options.option_count:
            return ""
        return options.get_option_at_index(options.highlighted).id or ""
