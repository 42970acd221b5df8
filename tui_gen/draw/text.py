"""Rows of styled text: a row is a list of runs, a run is (text, style key). Widths are in terminal cells."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np

Run = tuple[str, str]
Row = list[Run]


def clean(text: str) -> str:
    """`text` without control, combining and invisible characters, so that its width is known."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c for c in text if c == " " or unicodedata.category(c)[0] not in "CMZ")


def width_of(text: str) -> int:
    """Cells that `text`, cleaned before, takes."""
    if text.isascii():
        return len(text)
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit_row(runs: Row, width: int) -> Row:
    """`runs` cut or padded with blanks to exactly `width` cells."""
    out: Row = []
    left = width
    for text, style in runs:
        if left <= 0:
            break
        if width_of(text) > left:
            kept, used = "", 0
            for c in text:
                used += width_of(c)
                if used > left:
                    break
                kept += c
            text = kept
        if text:
            out.append((text, style))
            left -= width_of(text)
    if left > 0:
        out.append((" " * left, ""))
    return out


def cells_of(row: Row) -> list[Run]:
    """One (character, style key) per cell; the second cell of a wide character has the character ""."""
    cells: list[Run] = []
    for text, style in row:
        if text.isascii():
            cells += [(c, style) for c in text]
        else:
            for c in text:
                cells += [(c, style)] if width_of(c) == 1 else [(c, style), ("", style)]
    return cells


def rows_of(chars: np.ndarray, style: np.ndarray, keys: list[str]) -> list[Row]:
    """Runs of equal style from code points (rows, columns) and indices into `keys` of the same shape."""
    rows: list[Row] = []
    codes = np.ascontiguousarray(chars, dtype="<u4")
    for line, kinds in zip(codes, style):
        text = line.tobytes().decode("utf-32-le")
        cuts = [0, *(np.flatnonzero(kinds[1:] != kinds[:-1]) + 1).tolist(), len(text)]
        rows.append([(text[a:b], keys[kinds[a]]) for a, b in pairwise(cuts) if b > a])
    return rows
