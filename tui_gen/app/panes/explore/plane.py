"""The plane as a widget: codes of data as letters of their labels and what these stand for, pins, and the place where
one is."""

from __future__ import annotations

from array import array
from collections import Counter

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.app.terminal.found import shows_ascii
from tui_gen.draw.text import width_of
from tui_gen.text import clean

DARK = ("#56b4e9", "#e69f00", "#2fc894", "#e98bc0", "#f0e442", "#ff7f50", "#9db4ff", "#c9c9c9", "#d4a373", "#7fe0e0")
LIGHT = ("#0072b2", "#b35900", "#00805a", "#a8447f", "#8a7a00", "#c43e00", "#4454c8", "#555555", "#7a4a20", "#007a80")
"""A colour per label, over and over; what a letter says it says without colour too."""
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
LEGEND = 4
"""One in so many rows, at most, says what letters stand for."""
Span = tuple[tuple[float, float], tuple[float, float]]


class PlaneMap(Widget, can_focus=True):
    """Draws a part of a plane; the mouse is reported as the place that it points to."""

    DEFAULT_CSS = """
    PlaneMap { width: 2fr; height: 1fr; color: $quiet; }
    """

    class Pointed(Message):
        """The mouse pressed, or was dragged to, this place of the plane."""

        def __init__(self, x: float, y: float) -> None:
            self.x, self.y = x, y
            super().__init__()

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, PlaneMap.Pointed)

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.span: Span = ((-3.0, 3.0), (-3.0, 3.0))
        self.names = ("", "")
        self.at: tuple[float, float] | None = None
        self.pins: list[tuple[str, float, float]] = []
        self._dots: list[tuple[float, float, int]] = []
        self._cells: dict[tuple[int, int], int] = {}
        self._binned_for: object = None
        self._source = (b"", b"")
        self._names: tuple[str, ...] = ()
        self._labels: list[int] = []
        self._named: list[list[int]] = []
        self._named_for: object = None
        self._held = False

    def show(
        self, at: tuple[float, float] | None, span: Span, names: tuple[str, str], pins: list[tuple[str, float, float]]
    ) -> None:
        """Where one is (None: nowhere yet), from where to where the axes go, what they are called, and the pins."""
        if (at, span, names, pins) != (self.at, self.span, self.names, self.pins):
            self.at, self.span, self.names, self.pins = at, span, names, pins
            self.refresh()

    def show_dots(self, places: bytes, labels: bytes, names: tuple[str, ...] = ()) -> None:
        """Codes of data: (N, 2) float32, and (N,) int32 labels or nothing; what labels are called."""
        if ((places, labels), names) == (self._source, self._names):
            return
        self._source, self._names = (places, labels), names
        numbers, which = array("f", places), array("i", labels)
        classes = list(which) or [-1] * (len(numbers) // 2)
        self._labels = sorted(set(which))
        self._dots = list(zip(numbers[0::2], numbers[1::2], classes))
        self.refresh()

    # -- where a place is on the screen, and back

    def _room(self) -> tuple[int, int]:
        """Columns and rows of the plane; below it are the axis and what letters stand for."""
        return max(1, self.size.width), max(1, self.size.height - 1 - len(self._legend()))

    def cell(self, x: float, y: float) -> tuple[int, int] | None:
        """The column and row of a place; None outside."""
        (left, right), (low, high) = self.span
        columns, rows = self._room()
        if not (left <= x <= right and low <= y <= high) or right <= left or high <= low:
            return None
        across, down = (x - left) / (right - left), (high - y) / (high - low)
        return min(columns - 1, int(across * columns)), min(rows - 1, int(down * rows))

    def place(self, column: int, row: int) -> tuple[float, float]:
        """The place in the middle of a cell."""
        (left, right), (low, high) = self.span
        columns, rows = self._room()
        across, down = (column + 0.5) / columns, (row + 0.5) / rows
        across, down = min(max(across, 0.0), 1.0), min(max(down, 0.0), 1.0)
        return left + across * (right - left), high - down * (high - low)

    # -- drawing

    def _legend(self) -> list[list[int]]:
        """The labels that are named, row by row: those that are called otherwise than by their letter."""
        if (key := (self._labels, self._names, self.size)) != self._named_for:
            self._named_for, self._named = key, self._rows_of_names()
        return self._named

    def _rows_of_names(self) -> list[list[int]]:
        rows = list[list[int]]()
        labels = [label for label in self._labels if 0 <= label < min(len(self._names), len(LETTERS))]
        if all(self._names[label] == LETTERS[label] for label in labels):
            return []
        room = 0
        for label in labels:
            wide = width_of(self._called(label)) + 2
            if not rows or room < wide:
                rows.append([])
                room = self.size.width + 2
            rows[-1].append(label)
            room -= wide
        return rows[: self.size.height // LEGEND]

    def _called(self, label: int) -> str:
        return f"{LETTERS[label]} {clean(self._names[label])}"

    def _colour(self, label: int) -> Style:
        colours = DARK if self.app.current_theme.dark else LIGHT
        return Style(color=colours[label % len(colours)] if label >= 0 else None)

    def _binned(self) -> dict[tuple[int, int], int]:
        """The commonest label of each cell that has dots.

        What is known of a size is that which is drawn now: a line may be asked for before the widget is told of it.
        """
        if (key := (self._source, self.span, self._room())) != self._binned_for:
            self._binned_for = key
            count: dict[tuple[int, int], Counter[int]] = {}
            for x, y, label in self._dots:
                if (cell := self.cell(x, y)) is not None:
                    count.setdefault(cell, Counter())[label] += 1
            self._cells = {cell: labels.most_common(1)[0][0] for cell, labels in count.items()}
        return self._cells

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        columns, rows = self._room()
        if y > rows and (named := self._legend()[y - rows - 1 :]):
            words = [Segment(f"{self._called(label)}  ", self._colour(label)) for label in named[0]]
            return Strip(words).adjust_cell_length(width).apply_style(self.rich_style)
        if y >= rows:
            return self._axis(width).apply_style(self.rich_style)
        plain = shows_ascii(self)
        line: list[tuple[str, Style | None]] = [(" ", None)] * columns
        zero = self.cell(0.0, 0.0)
        if zero is not None:
            if zero[1] == y:
                line = [("-" if plain else "┈", None)] * columns
            line[zero[0]] = ("+" if plain else "┼", None) if zero[1] == y else ("|" if plain else "┊", None)
        for (column, row), label in self._binned().items():
            if row == y:
                letter = LETTERS[label] if 0 <= label < len(LETTERS) else ("." if plain else "•")
                line[column] = (letter, self._colour(label))
        for name, across, down in self.pins:
            if (cell := self.cell(across, down)) is not None and cell[1] == y:
                line[cell[0]] = (name, Style(bold=True, reverse=True))
        if self.at is not None:
            x, up = (min(max(value, low), high) for value, (low, high) in zip(self.at, self.span))
            here = self.cell(x, up)
            if here is not None and here[1] == y:
                line[here[0]] = ("@" if plain else "◉", Style(bold=True, reverse=True))
                for column, mark in ((here[0] - 1, "["), (here[0] + 1, "]")):
                    if 0 <= column < columns:
                        line[column] = (mark, Style(bold=True))
        low, high = self.span[1]
        ends = {rows - 1: f"{low:+.3g}", 0: f"{self.names[1]} {high:+.3g}"}
        for column, letter in enumerate(ends.get(y, "")[:columns]):
            line[column] = (letter, None)
        return Strip([Segment(letter, style) for letter, style in line]).simplify().apply_style(self.rich_style)

    def _axis(self, width: int) -> Strip:
        (left, right), _ = self.span
        first, last, name = f"{left:+.3g}", f"{right:+.3g}", self.names[0]
        gap = width - width_of(first) - width_of(last) - width_of(name)
        if gap < 2:
            return Strip([Segment(name)]).adjust_cell_length(width)
        return Strip([Segment(first + " " * (gap // 2) + name + " " * (gap - gap // 2) + last)])

    # -- the mouse

    def _point(self, event: events.MouseEvent) -> None:
        self.post_message(self.Pointed(*self.place(int(event.x), int(event.y))))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._held = True
        self.capture_mouse()
        self._point(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._held:
            self._point(event)

    def on_mouse_up(self) -> None:
        self._held = False
        self.release_mouse()
