"""The plot area while it is drawn: layers of dots, marks and messages over one grid of cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GLYPHS = "●■▲◆○□△◇"
ASCII_GLYPHS = "*+ox#%@&"
# kind: (unicode, ascii, drawn as a line through the plot); earlier kinds win where several fall into one cell
MARKS = {
    "alert": ("!", "!", True),
    "edit": ("Δ", "E", True),
    "resume": ("↻", "R", True),
    "checkpoint": ("▾", "v", False),
    "sample": ("·", ".", False),
}
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint8)
_MARKER_EVERY = 24  # cells between the glyphs that tell lines apart without colour


@dataclass(frozen=True)
class Mark:
    """Something that happened at a step: `kind` is alert, edit, resume, checkpoint or sample."""

    step: float
    kind: str
    text: str = ""


def legend_glyph(slot: int, ascii_only: bool = False) -> str:
    """The glyph that stands for colour slot `slot`."""
    glyphs = ASCII_GLYPHS if ascii_only else GLYPHS
    return glyphs[slot % len(glyphs)]


def part_of(value: float, limits: tuple[float, float], log: bool) -> float:
    """Where `value` lies between the limits, 0 to 1; outside or NaN where it is not between them."""
    lo, hi = limits
    if log:
        return math.log(max(value, lo * 1e-9) / lo) / math.log(hi / lo)
    return (value - lo) / (hi - lo)


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
        self.chars = np.full((height, width), ord(" "), dtype="<u4")
        self.style = np.zeros((height, width), dtype=np.int16)
        self.keys = [""]
        self.ticks: dict[int, str] = {}  # column: kind, for the axis below
        self.lines: list[tuple[int, int, np.ndarray]] = []  # slot, style index, cells

    def index_of(self, key: str) -> int:
        if key not in self.keys:
            self.keys.append(key)
        return self.keys.index(key)

    def dots(self, dots: np.ndarray, key: str, slot: int) -> None:
        """Draw a layer over what is there; a line is remembered for `markers`."""
        height, width = self.chars.shape
        if self.ascii:
            used = dots
            glyph = ord("." if key.startswith("band") else legend_glyph(slot, True))
            self.chars[used] = glyph
        else:
            codes = (dots.reshape(height, 4, width, 2) * _DOTS[None, :, None, :]).sum(axis=(1, 3), dtype=np.uint32)
            used = codes > 0
            self.chars[used] = 0x2800 + codes[used]
        self.style[used] = self.index_of(key)
        if key.startswith("line"):
            self.lines.append((slot, self.index_of(key), used))

    def markers(self) -> None:
        """Put each line's glyph on it here and there, at columns of its own, also where another line covers it."""
        if self.ascii:
            return  # every character of a line is its glyph already
        for slot, style, used in self.lines:
            columns = np.arange((4 + 7 * slot) % _MARKER_EVERY, used.shape[1], _MARKER_EVERY)
            columns = columns[used[:, columns].any(axis=0)]
            rows = used[:, columns].argmax(axis=0)
            self.chars[rows, columns] = ord(legend_glyph(slot))
            self.style[rows, columns] = style

    def vertical(self, part: float, glyph: str, ascii_glyph: str, key: str) -> int | None:
        """A line through the blank cells at `part` of the width; returns its column."""
        if not 0.0 <= part <= 1.0:
            return None
        column = min(self.chars.shape[1] - 1, int(part * self.chars.shape[1]))
        blank = (self.chars[:, column] == ord(" ")) | (self.chars[:, column] == ord("┊"))
        self.chars[blank, column] = ord(ascii_glyph if self.ascii else glyph)
        self.style[blank, column] = self.index_of(key)
        return column

    def marks(self, marks: Sequence[Mark], limits: tuple[float, float], log: bool) -> None:
        rank = {kind: i for i, kind in enumerate(MARKS)}
        width = self.chars.shape[1]
        for mark in sorted(marks, key=lambda m: rank.get(m.kind, len(rank))):
            part = part_of(mark.step, limits, log)
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
