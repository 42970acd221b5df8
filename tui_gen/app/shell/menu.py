"""The menu bar, and an open menu under its title."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tui_gen.app.widgets.modal import Modal


class Item(NamedTuple):
    """An entry of a menu: an action of the app, and the id of the binding whose key is shown beside it."""

    label: str
    action: str
    binding: str = ""


class Menu(NamedTuple):
    """A menu: its title (its first letter opens it with Alt) and entries; None is a line between."""

    title: str
    items: tuple[Item | None, ...]


class MenuBar(Widget):
    """The row at the top: titles of the menus, and the name of what is shown at the right."""

    DEFAULT_CSS = """
    MenuBar { height: 1; width: 1fr; background: $panel; color: $on-panel; }
    """

    class Opened(Message):
        """A menu is to be shown: its number and the column where its title begins."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, menus: Sequence[Menu], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.menus = list(menus)
        self.open_number: int | None = None
        self._caption = ""

    @property
    def caption(self) -> str:
        """What stands at the right end."""
        return self._caption

    @caption.setter
    def caption(self, text: str) -> None:
        if text != self._caption:
            self._caption = text
            self.refresh()

    def column(self, number: int) -> int:
        """The column where a menu's title begins."""
        return 1 + sum(len(menu.title) + 2 for menu in self.menus[:number])

    def number_at(self, x: int) -> int | None:
        """The menu whose title is at a column."""
        for number, menu in enumerate(self.menus):
            if self.column(number) <= x < self.column(number) + len(menu.title) + 2:
                return number
        return None

    def render_line(self, y: int) -> Strip:
        base = self.rich_style
        segments = [Segment(" ", base)]
        for number, menu in enumerate(self.menus):
            style = base + Style(reverse=True) if number == self.open_number else base
            segments.append(Segment(" ", style))
            segments.append(Segment(menu.title[0], style + Style(underline=True, bold=True)))
            segments.append(Segment(menu.title[1:] + " ", style))
        left = Strip(segments)
        room = self.size.width - left.cell_length - 2
        caption = Strip([Segment(self._caption, base + Style(bold=True))])
        if caption.cell_length > room:
            caption = caption.crop(0, max(0, room))
        gap = self.size.width - left.cell_length - caption.cell_length - 1
        return Strip.join([left, Strip([Segment(" " * max(0, gap), base)]), caption]).adjust_cell_length(
            self.size.width, base
        )

    def show_open(self, number: int | None) -> None:
        """Mark the menu that is open."""
        if number != self.open_number:
            self.open_number = number
            self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Open the menu that was clicked."""
        number = self.number_at(event.x)
        if number is not None:
            self.post_message(self.Opened(number))


class DropDown(Modal[str]):
    """An open menu. Dismissed with the action chosen, `menu:N` for a neighbour, or an empty text."""

    DEFAULT_CSS = """
    DropDown { background: transparent; }
    DropDown > OptionList {
        position: absolute; width: auto; height: auto; max-height: 100%; max-width: 100%; min-width: 24;
        border: round $primary; background: $surface; padding: 0; scrollbar-size-vertical: 1;
    }
    DropDown > OptionList:focus { border: round $primary; }
    """
    BINDINGS = [
        Binding("escape,f10", "close", "Close", show=False, id="menu.close"),
        Binding("left", "neighbour(-1)", show=False, id="menu.left"),
        Binding("right", "neighbour(1)", show=False, id="menu.right"),
    ]

    def __init__(
        self,
        bar: MenuBar,
        number: int,
        key_of: Callable[[str], str],
        enabled: Callable[[str], bool],
        label: Callable[[str, str], str],
    ) -> None:
        super().__init__()
        self._bar = bar
        self._number = number
        self._key_of = key_of
        self._enabled = enabled
        self._label = label
        self._letters: dict[str, int] = {}

    def compose(self) -> ComposeResult:
        menu = self._bar.menus[self._number]
        # What cannot be chosen now has no key beside it, so that it shows without colours, too.
        keys = {
            item: self._key_of(item.binding) if self._enabled(item.action) else ""
            for item in menu.items
            if item is not None
        }
        words = {item: self._label(item.label, item.action) for item in keys}
        width = max(len(words[item]) + max(3, len(keys[item])) for item in keys) + 4
        options: list[Option | None] = []
        for item in menu.items:
            if item is None:
                options.append(None)
                continue
            text = words[item]
            gap = " " * (width - len(text) - len(keys[item]) - 2)
            letter = next((c for c in text.lower() if c.isalpha() and c not in self._letters), "")
            place = text.lower().find(letter) if letter else -1
            enabled = self._enabled(item.action)
            if letter:
                self._letters[letter] = len(options)
            label = (
                Content.assemble(text[:place], (text[place], "underline"), text[place + 1 :])
                if place >= 0
                else Content(text)
            )
            line = Content.assemble(" ", label, gap, (keys[item], "$quiet"), " ")
            options.append(Option(line, id=item.action, disabled=not enabled))
        yield OptionList(*options)

    def on_mount(self) -> None:
        """Hang the list under its title."""
        options = self.query_one(OptionList)
        self._hang()
        options.focus()
        options.action_first()
        self._bar.show_open(self._number)

    def on_resize(self) -> None:
        """As much of it as the window has room for now."""
        self._hang()

    def _hang(self) -> None:
        options = self.query_one(OptionList)
        region = self._bar.region
        x = region.x + self._bar.column(self._number) - 1
        options.styles.offset = (max(0, min(x, self.app.size.width - 34)), region.bottom)
        options.styles.max_height = max(5, self.app.size.height - region.bottom)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """An entry was chosen."""
        self._leave(event.option.id or "")

    def on_key(self, event: events.Key) -> None:
        """The underlined letter of an entry chooses it; Alt and another title's letter goes there."""
        if event.is_printable and event.character and event.character.lower() in self._letters:
            event.stop()
            items = self._bar.menus[self._number].items
            item = list(items)[self._letters[event.character.lower()]]
            if item is not None and self._enabled(item.action):
                self._leave(item.action)
            return
        if event.key.startswith("alt+"):
            for number, menu in enumerate(self._bar.menus):
                if event.key == f"alt+{menu.title[0].lower()}":
                    event.stop()
                    self._leave(f"menu:{number}" if number != self._number else "")

    def on_click(self, event: events.Click) -> None:
        """A click beside the list closes it, or opens the neighbour whose title was hit."""
        if self.query_one(OptionList).region.contains(int(event.screen_x), int(event.screen_y)):
            return
        number = None
        if int(event.screen_y) == self._bar.region.y:
            number = self._bar.number_at(int(event.screen_x) - self._bar.region.x)
        self._leave(f"menu:{number}" if number is not None and number != self._number else "")

    def action_close(self) -> None:
        """Close without a choice."""
        self._leave("")

    def action_neighbour(self, direction: int) -> None:
        """The menu to the left or right."""
        self._leave(f"menu:{(self._number + direction) % len(self._bar.menus)}")

    def _leave(self, result: str) -> None:
        if self.is_current:
            self._bar.show_open(None)
            self.dismiss(result)
