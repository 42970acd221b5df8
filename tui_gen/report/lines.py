"""Rows of cells as aligned lines of text. Imports next to nothing: lists of runs are asked for often."""

from __future__ import annotations

from tui_gen.text import clean


def aligned(rows: list[tuple[str, ...]], gap: int = 2) -> list[str]:
    """Rows of cells as lines with aligned columns; the last column is not padded."""
    if not rows:
        return []
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(_width(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = []
    for row in cells:
        padded = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths)]
        lines.append((" " * gap).join(padded).rstrip())
    return lines


def _width(text: str) -> int:
    """Columns that a clean text takes."""
    if text.isascii():
        return len(text)
    from tui_gen.draw.text import width_of

    return width_of(text)
