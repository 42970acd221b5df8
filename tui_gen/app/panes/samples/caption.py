"""The kinds of previews a run has: tabs above the picture, and a list of them where there are many."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.geometry import Offset
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tui_gen.app.terminal.found import shows_ascii
from tui_gen.app.widgets.modal import PlacedModal
from tui_gen.draw.text import elided, width_of
from tui_gen.text import clean

PREVIOUS, NEXT, LIST = "<", ">", "…"
"""What a click on the caption means besides a kind's name: no kind is called so."""
ROOM = 24
"""Cells that tabs leave to what is shown: its step and number. The rest of the words may be cut off, unless they are
asked for."""


class Caption(Widget):
    """One row: a tab for each kind of preview, then what is shown.

    Where the tabs have no room, the kind that is shown stands between arrows, with its number; a click on it lists all.
    """

    DEFAULT_CSS = """
    Caption { height: 1; width: 1fr; color: $quiet; }
    """

    class KindPicked(Message):
        """The tab of this kind was clicked."""

        def __init__(self, kind: str) -> None:
            self.kind = kind
            super().__init__()

    class Stepped(Message):
        """The kind before (-1) or after (1) is to be shown."""

        def __init__(self, by: int) -> None:
            self.by = by
            super().__init__()

    class ListAsked(Message):
        """All kinds are to be listed."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.kinds: list[str] = []
        self.kind = ""
        self._room = ROOM

    def show(self, kinds: list[str], kind: str, text: str, room: int = ROOM) -> None:
        """Tabs for `kinds` where there are several, `kind` the one shown, then `text`, of which `room` cells must be
        seen.
        """
        if (kinds, kind, text, room) != (self.kinds, self.kind, self.text, self._room):
            self.kinds, self.kind, self.text, self._room = kinds, kind, text, room
            self.refresh()

    def _parts(self) -> list[tuple[str, str]]:
        """(text, what a click on it means): a kind, PREVIOUS, NEXT, LIST, or nothing."""
        if len(self.kinds) < 2:
            return []
        tabs = [(f" {clean(kind)} ", kind) for kind in self.kinds]
        if sum(width_of(text) for text, _ in tabs) + min(self._room, width_of(self.text)) < self.size.width:
            return tabs
        before, more, after = "<v>" if shows_ascii(self) else "◀▾▶"
        number = f" {self.kinds.index(self.kind) + 1}/{len(self.kinds)} " if self.kind in self.kinds else " "
        return [(f" {before} ", PREVIOUS), (f" {clean(self.kind)} {more} ", LIST), (number, ""), (f"{after} ", NEXT)]

    def render_line(self, y: int) -> Strip:
        segments = []
        for text, meaning in self._parts():
            current = meaning in (self.kind, LIST)
            segments.append(Segment(text, Style(bold=current, reverse=current)))
        text = (" " if segments else "") + self.text
        segments.append(Segment(elided(text, max(0, self.size.width - sum(each.cell_length for each in segments)))))
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """What was clicked."""
        x = 0
        for text, meaning in self._parts():
            if x <= event.x < x + width_of(text):
                if meaning in (PREVIOUS, NEXT):
                    self.post_message(self.Stepped(-1 if meaning == PREVIOUS else 1))
                elif meaning:
                    self.post_message(self.ListAsked() if meaning == LIST else self.KindPicked(meaning))
            x += width_of(text)


class KindList(PlacedModal):
    """Every kind with how many previews it has, at `place` of the screen; dismissed with the one chosen, or nothing."""

    DEFAULT_CSS = """
    KindList { background: transparent; }
    KindList > OptionList {
        position: absolute; width: auto; height: auto; max-height: 100%; max-width: 100%; min-width: 20;
        border: round $primary; background: $surface; padding: 0; scrollbar-size-vertical: 1;
    }
    KindList > OptionList:focus { border: round $primary; }
    """
    BINDINGS = [Binding("escape", "leave", "Close", show=False, id="kinds.close")]

    def __init__(self, kinds: list[tuple[str, str]], kind: str, place: Offset) -> None:
        super().__init__()
        self.kinds, self.kind, self.place = kinds, kind, place

    def compose(self) -> ComposeResult:
        """The list: a digit to choose by, the name, what there is of it."""
        wide = max(width_of(clean(kind)) for kind, _ in self.kinds)
        options = []
        for number, (kind, what) in enumerate(self.kinds, 1):
            name = clean(kind)
            digit = str(number) if number < 10 else " "
            gap = " " * (wide - width_of(name) + 2)
            words = Content.assemble(f" {digit} ", (name, "bold"), gap, (what, "$quiet"), " ")
            options.append(Option(words, id=str(number - 1)))
        yield OptionList(*options)

    def on_mount(self) -> None:
        """Under the caption, as far as there is room, with the cursor on the kind that is shown."""
        options = self.query_one(OptionList)
        wide = max(width_of(clean(kind)) + width_of(what) for kind, what in self.kinds) + 8
        x = max(0, min(self.place.x, self.app.size.width - wide))
        y = max(0, min(self.place.y, self.app.size.height - len(self.kinds) - 2))
        options.styles.offset = (x, y)
        options.styles.max_height = self.app.size.height - y
        options.highlighted = next((i for i, (kind, _) in enumerate(self.kinds) if kind == self.kind), 0)
        options.focus()

    def on_key(self, event: events.Key) -> None:
        """A digit chooses."""
        if event.character and event.character.isdigit() and 0 < int(event.character) <= len(self.kinds):
            event.stop()
            self.dismiss(self.kinds[int(event.character) - 1][0])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """An entry was chosen."""
        self.dismiss(self.kinds[int(event.option.id or 0)][0])

    def on_click(self, event: events.Click) -> None:
        """A click beside the list closes it."""
        if not self.query_one(OptionList).region.contains(int(event.screen_x), int(event.screen_y)):
            self.dismiss("")

    def action_leave(self) -> None:
        """No choice."""
        self.dismiss("")
