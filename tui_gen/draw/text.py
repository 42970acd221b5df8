"""Rows of styled text: a row is a list of runs, a run is (text, style key). Widths are in terminal cells.

Texts are clean (`tui_gen.text.clean`): their characters print, and those with no width of their own follow the one
that they are drawn on.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING

from tui_gen.text import is_mark

if TYPE_CHECKING:
    import numpy as np

_NARROW = re.compile("[ -~\u2500-\u259f\u2800-\u28ff]*").fullmatch
"""What plots are made of: ASCII, boxes, blocks and Braille, each a cell wide."""

is_line_art = re.compile(r"[\s\u2500-\u257f\u2800-\u28ff]*").fullmatch
"""Whether a text is of frames and curves alone, which need less contrast than words."""

Run = tuple[str, str]
Row = list[Run]


def width_of(text: str) -> int:
    """Cells that a clean text takes."""
    if text.isascii() or _NARROW(text):
        return len(text)
    return sum(0 if is_mark(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, width: int) -> str:
    """As much of the beginning of a clean text as has room in `width` cells."""
    if width_of(text) <= width:
        return text
    out, cells = "", 0
    for c in text:
        cells += width_of(c)
        if cells > width:
            break
        out += c
    return out


def elided(text: str, width: int) -> str:
    """A clean text in at most `width` cells, with an ellipsis where something is left out."""
    return text if width_of(text) <= width else cut(text, max(0, width - 1)) + "…" * (width > 0)


def fit_row(runs: Row, width: int) -> Row:
    """`runs` cut or padded with blanks to exactly `width` cells."""
    out: Row = []
    remaining = width
    for text, style in runs:
        if remaining <= 0:
            break
        text = cut(text, remaining)
        if text:
            out.append((text, style))
            remaining -= width_of(text)
    if remaining > 0:
        out.append((" " * remaining, ""))
    return out


def rows_of(chars: np.ndarray, style: np.ndarray, keys: list[str]) -> list[Row]:
    """Runs of equal style from code points (rows, columns) and indices into `keys` of the same shape."""
    import numpy as np  # who only measures texts needs none

    rows: list[Row] = []
    codes = np.ascontiguousarray(chars, dtype="<u4")
    for line, kinds in zip(codes, style):
        text = line.tobytes().decode("utf-32-le")
        cuts = [0, *(np.flatnonzero(kinds[1:] != kinds[:-1]) + 1).tolist(), len(text)]
        rows.append([(text[a:b], keys[kinds[a]]) for a, b in pairwise(cuts) if b > a])
    return rows
