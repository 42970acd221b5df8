"""Rows of cells as aligned lines of text. Imports next to nothing: lists of runs are asked for often."""

from __future__ import annotations

from collections.abc import Sequence

from tui_gen.text import clean

ROOM = 30
"""Columns that words need to stand beside the others; with fewer they go below."""


def aligned(rows: Sequence[tuple[str, ...]], gap: int = 2, width: int = 0) -> list[str]:
    """Rows of cells as lines with aligned columns; the last column is not padded.

    With a `width` (a terminal's) the words of the last column are wrapped to it, below the others where there is too
    little room beside them: a row is then one text of several lines.
    """
    if not rows:
        return []
    cells = [[clean(cell) for cell in row] for row in rows]
    cell_widths = [[_width(cell) for cell in row] for row in cells]
    most, between = [max(column) for column in zip(*cell_widths)], " " * gap
    lines = []
    for row, widths in zip(cells, cell_widths):
        columns = [cell + " " * (wide - own) for cell, own, wide in zip(row, widths, most)]
        line = between.join(columns).rstrip()
        if width and len(row) > 1 and _width(line) > width:
            line = folded(between.join([*columns[:-1], ""]), row[-1], sum(most[:-1]) + gap * (len(row) - 1), width)
        lines.append(line)
    return lines


def folded(start: str, words: str, column: int, width: int) -> str:
    """A row whose `start` takes `column` columns, and the words after it, in lines of at most `width` columns."""
    import textwrap

    if width - column >= ROOM:
        beside = textwrap.wrap(words, width - column, break_on_hyphens=False) or [""]
        return f"\n{' ' * column}".join([start + beside[0], *beside[1:]])
    below = textwrap.wrap(words, max(ROOM, width - 4), break_on_hyphens=False)
    return "\n    ".join([start.rstrip(), *below])


def _width(text: str) -> int:
    """Columns that a clean text takes."""
    if text.isascii():
        return len(text)
    from tui_gen.draw.text import width_of

    return width_of(text)
