"""The plot area while it is drawn: layers of dots, marks and messages over one grid of cells."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from tui_gen.draw.text import width_of
from tui_gen.draw.xscale import XScale

GLYPHS = "●■▲◆○□△◇▼▽◀◁"
ASCII_GLYPHS = "*+ox#%@&=$?~"
# kind: (unicode, ascii, drawn as a line through the plot); earlier kinds win where several fall into one cell
MARKS = {
    "alert": ("!", "!", True),
    "rollback": ("◂", "<", True),
    "fork": ("Y", "Y", True),
    "edit": ("Δ", "E", True),
    "note": ("✎", "N", False),
    "range": ("[", "[", True),
    "resume": ("↻", "R", True),
    "checkpoint": ("▾", "v", False),
    "sample": ("·", ".", False),
}
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint8)
BLANK = [ord(glyph) for glyph in " ┊╌"]
"""What is drawn over as if nothing were there."""
_LEFT = np.bitwise_or.reduce(_DOTS[:, 0])
_MARKER_EVERY = 24  # cells between the glyphs that tell lines apart without colour
_DASHES = ((1,), (1,) * 12 + (0,) * 4, (1,) * 8 + (0,) * 8, (1,) * 12 + (0, 0, 1, 1, 0, 0))
_DOTTED = (1, 1, 0, 0)
"""How lines are dashed, by slot: dot columns that are drawn, over and over. In long parts: each costs a colour."""


class Mark(msgspec.Struct, frozen=True):
    """Something that happened at a step: `kind` is one of MARKS."""

    step: float
    kind: str
    text: str = ""


class Level(msgspec.Struct, frozen=True):
    """A value that a curve should come to: drawn as a line across the plot, with its name on it."""

    value: float
    text: str


def legend_glyph(slot: int, ascii_only: bool = False) -> str:
    """The glyph that stands for colour slot `slot`."""
    glyphs = ASCII_GLYPHS if ascii_only else GLYPHS
    return glyphs[slot % len(glyphs)]


def dashes(slot: int, count: int) -> np.ndarray:
    """Which of `count` dot columns a dashed line is drawn in, (count,) bool. Of a pair, the second form is dotted."""
    pattern = _DASHES[slot] if slot < len(_DASHES) else _DOTTED
    return np.resize(np.array(pattern, bool), count)


def raster(low: np.ndarray, high: np.ndarray, y0: float, y1: float, rows: int) -> np.ndarray:
    """Dots (rows, columns), True from `high` down to `low`; the part outside y0..y1 is cut off."""
    scale = (rows - 1) / (y1 - y0)
    with np.errstate(invalid="ignore", over="ignore"):
        top = np.rint((y1 - high) * scale)
        bottom = np.rint((y1 - low) * scale)
    row = np.arange(rows)[:, None]
    return (row >= top) & (row <= bottom)


class Canvas:
    """The cells of the plot area: a character and a style index each."""

    def __init__(self, width: int, height: int, ascii_only: bool) -> None:
        self.ascii = ascii_only
        self.across, self.down = (1, 1) if ascii_only else (2, 4)  # dots in a cell
        self.chars = np.full((height, width), ord(" "), dtype="<u4")
        self.style = np.zeros((height, width), dtype=np.int16)
        self.keys = [""]
        self.ticks: dict[int, str] = {}  # column: kind, for the axis below
        self.lines: list[tuple[int, int, np.ndarray]] = []  # slot, style index, cells

    def index_of(self, key: str) -> int:
        if key not in self.keys:
            self.keys.append(key)
        return self.keys.index(key)

    def dots(self, dots: np.ndarray, key: str, slot: int, always: np.ndarray | None = None) -> None:
        """Draw a layer over what is there; a line is remembered for `markers`.

        A line is dashed, by its slot, except in the dot columns `always` (bool): what is measured there must be seen.
        """
        dashed = always is not None and slot and not self.ascii
        if self.ascii:
            line = ink = dots
            self.chars[ink] = ord("." if key.startswith("band") else legend_glyph(slot, True))
        else:
            codes = np.zeros(self.chars.shape, np.uint8)
            for row in range(4):
                for column in range(2):
                    codes |= dots[row::4, column::2] * _DOTS[row, column]
            line = codes > 0
            if dashed:
                mask = np.where(dashes(slot, dots.shape[1]) | always, np.uint8(0xFF), np.uint8(0))
                codes &= mask[0::2] & _LEFT | mask[1::2] & ~_LEFT
            ink = codes > 0
            self.chars[ink] = 0x2800 + codes[ink].astype("<u4")
        self.style[ink] = self.index_of(key)
        if key.startswith("line"):
            self.lines.append((slot, self.index_of(key), line))

    def markers(self, leave: Sequence[bool] = ()) -> None:
        """Put each line's glyph on it here and there, at columns of its own, also where another line covers it.

        `leave` out lines that have glyphs of their own.
        """
        if self.ascii:
            return  # every character of a line is its glyph already
        for (slot, style, ink), other in zip(self.lines, leave or [False] * len(self.lines)):
            if other:
                continue
            columns = np.arange((4 + 7 * slot) % _MARKER_EVERY, ink.shape[1], _MARKER_EVERY)
            columns = columns[ink[:, columns].any(axis=0)]
            rows = ink[:, columns].argmax(axis=0)
            self.chars[rows, columns] = ord(legend_glyph(slot))
            self.style[rows, columns] = style

    def rows_at(self, heights: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
        """The rows of cells at these heights, which are between the limits."""
        rows = self.chars.shape[0] * self.down
        return np.rint((limits[1] - heights) * ((rows - 1) / (limits[1] - limits[0]))).astype(int) // self.down

    def points(self, places: tuple[np.ndarray, np.ndarray], slot: int) -> None:
        """A line's glyph at cells (columns, rows)."""
        columns, rows = places
        self.chars[rows, columns] = ord(legend_glyph(slot, self.ascii))
        self.style[rows, columns] = self.index_of(f"line.{slot}")

    def edge(self, columns: np.ndarray, above: bool, slot: int) -> None:
        """Mark columns of cells in which a line goes on beyond the upper or the lower edge."""
        row = 0 if above else self.chars.shape[0] - 1
        glyph = ("^" if above else "v") if self.ascii else ("▲" if above else "▼")
        self.chars[row, columns] = ord(glyph)
        self.style[row, columns] = self.index_of(f"line.{slot}")

    def write_beside(self, row: int, column: int, text: str, key: str) -> None:
        """Words in a row, to the right of the marks that go on from `column`, or to their left; over what is there."""
        width = self.chars.shape[1]
        marks = self.chars[row] != ord(" ")
        after = column + int(np.argmin(np.append(marks[column:], False)))
        before = column - int(np.argmin(np.append(marks[column::-1], False)))
        if after + 1 + len(text) <= width:
            self._write(row, after + 1, text, key)
        elif before - len(text) >= 0:
            self._write(row, before - len(text), text, key)
        elif len(text) + 1 < width:  # marks all over: beside the furthest
            self._write(row, max(0, min(column + 2, width - len(text))), text, key)

    def name_at(self, column: int, row: int, text: str, key: str) -> None:
        """Words beside the cell where a line ends, or near it in a row that is free there; nowhere without room."""
        height, width = self.chars.shape
        text = text.encode("ascii", "replace").decode() if self.ascii else text
        length = width_of(text)
        for begin in (column + 2, column - length + 1):
            for away in (0, -1, 1, -2, 2, -3, 3) if begin > column else (-1, 1, -2, 2, -3, 3, -4, 4):
                at = row + away
                if not 0 <= at < height or begin < 1 or begin + length > width:
                    continue
                if (self.chars[at, begin - 1 : begin + length + 1] == ord(" ")).all():
                    self._write(at, begin, text, key)
                    return

    def _write(self, row: int, column: int, text: str, key: str) -> None:
        text = "".join(character for character in text if width_of(character) == 1)
        self.chars[row, column : column + len(text)] = [ord(character) for character in text]
        self.style[row, column : column + len(text)] = self.index_of(key)

    def vertical(self, part: float, glyph: str, ascii_glyph: str, key: str) -> int | None:
        """A line through the blank cells at `part` of the width; returns its column."""
        if not 0.0 <= part <= 1.0:
            return None
        column = min(self.chars.shape[1] - 1, int(part * self.chars.shape[1]))
        blank = np.isin(self.chars[:, column], BLANK)
        self.chars[blank, column] = ord(ascii_glyph if self.ascii else glyph)
        self.style[blank, column] = self.index_of(key)
        return column

    def level(self, row: int) -> None:
        """A line across the blank cells of a row."""
        blank = self.chars[row] == ord(" ")
        self.chars[row, blank] = ord("-" if self.ascii else "╌")
        self.style[row, blank] = self.index_of("level")

    def name_level(self, row: int, text: str) -> None:
        """The name of a line across: where fewest cells of curves are under it, the right before the left; in the next
        row where it would be over words."""
        width = self.chars.shape[1]
        if self.ascii:
            text = text.replace("≥", ">=").replace("≤", "<=").encode("ascii", "replace").decode()
        length = width_of(text)
        if length + 2 > width:
            return
        places = (width - length - 1, (width - length) // 2, 1)
        for place in (row, row + 1 if row == 0 else row - 1):
            ink = ~np.isin(self.chars[place], [*BLANK, ord("-")])
            note = self.style[place] == self.index_of("note")
            begin = min(places, key=lambda x: int((ink + width * note)[x : x + length].sum()))
            if not note[begin : begin + length].any():
                self._write(place, begin, text, "level")
                return

    def marks(self, marks: Sequence[Mark], limits: tuple[float, float], x_scale: XScale) -> None:
        rank = {kind: i for i, kind in enumerate(MARKS)}
        width = self.chars.shape[1]
        marks = sorted(marks, key=lambda m: rank.get(m.kind, len(rank)))
        parts = x_scale.parts(np.array([mark.step for mark in marks], float), limits)
        for mark, part in zip(marks, parts.tolist()):
            if not 0.0 <= part <= 1.0:
                continue
            column = min(width - 1, int(part * width))
            if column in self.ticks:
                continue
            self.ticks[column] = mark.kind
            if MARKS.get(mark.kind, MARKS["sample"])[2]:
                self.vertical(part, "┊", ":", f"mark.{mark.kind}")

    def message(self, text: str) -> None:
        height, width = self.chars.shape
        text = text[:width]
        left = (width - len(text)) // 2
        self.chars[height // 2, left : left + len(text)] = [ord(c) for c in text]
        self.style[height // 2, left : left + len(text)] = self.index_of("note")
