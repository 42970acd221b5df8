"""The menu bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget


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
        """The row."""
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
