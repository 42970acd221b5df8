"""Rows of cells as aligned lines of text. Imports next to nothing: lists of runs are asked for often."""

from __future__ import annotations

from tui_gen.text import clean


def aligned(rows: list[tuple[str, ...]], gap: int = 2) -> list[str]:
    """Rows of cells as lines with aligned columns; the last column is not padded."""
    if not rows:
        return []
    cells = [[clean(cell) for cell in row] for row in rows]
    taken = [[_width(cell) for cell in row] for row in cells]
    most, between = [max(column) for column in zip(*taken)], " " * gap
    return [
        between.join([cell + " " * (wide - own) for cell, own, wide in zip(row, widths, most)]).rstrip()
        for row, widths in zip(cells, taken)
    ]


def _width(text: str) -> int:
    """Columns that a clean text takes."""
    if text.isascii():
        return len(text)
    from tui_gen.draw.text import width_of

    return width_of(text)
