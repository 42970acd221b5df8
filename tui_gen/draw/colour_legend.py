"""The legend of a plot: what its colours mean and how far its axes reach, beside it or below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from tui_gen.draw.text import cut, width_of
from tui_gen.draw.tiles import WORTH, Room, Sheet, TileLayout, Word, lay_out
from tui_gen.text import clean

MARK = "■ "
BETWEEN = 2
"""Cells between a plot and its legend, and between two entries in a row."""
WIDEST = 28
"""Cells that a legend beside a plot takes at most."""

Entry = tuple[str, str]


def entries(
    legend: Sequence[Entry], axes: Sequence[tuple[str, float, float]], sign: Callable[[str], str] | None = None
) -> list[Entry]:
    """(colour or "", text) of every line: what colours mean, then (name, from, to) of axes.

    Where no colour can be seen `sign` is the character that each becomes. Colours that become the same are left out:
    they would say nothing.
    """
    lines = [(colour, clean(text)) for colour, text in legend]
    if sign is not None:
        signs = [sign(colour) for colour, _ in lines]
        apart = len({*signs, " "}) == len(signs) + 1
        lines = [("", f"{mark} {text}") for mark, (_, text) in zip(signs, lines)] if apart else []
    if lines and axes:
        lines.append(("", ""))
    for name, low, high in axes:
        lines.append(("", f"{clean(name)} {low:.3g} to {high:.3g}"))
    return lines


def lay_out_plot(sheet: Sheet, room: Room, lines: list[Entry]) -> TileLayout:
    """The layout of plots with their legend where they are largest: beside them, below, or without it.

    It is left out where it would cost too much of that.
    """
    alone = lay_out(sheet, room)
    layouts = [make(sheet, room, lines) for make in (_beside, _below)] if lines else []
    best = max((layout for layout in layouts if layout is not None), key=lambda layout: layout.zoom, default=alone)
    return best if best.zoom >= WORTH * alone.zoom and best.visible_count >= alone.visible_count else alone


def _beside(sheet: Sheet, room: Room, lines: list[Entry]) -> TileLayout | None:
    wide = min(WIDEST, max(_width(line) for line in lines))
    if room.columns <= wide + BETWEEN:
        return None
    layout = lay_out(sheet, replace(room, columns=room.columns - wide - BETWEEN))
    left = max(x + columns for x, _, columns, _ in layout.boxes) + BETWEEN
    top, end = layout.boxes[0][1], layout.boxes[-1][1] + layout.boxes[-1][3]
    high = max(end - top, min(room.rows, len(lines)))
    top = min(top, room.rows - high)
    entries = lines
    if len(lines) > high:
        axes = [line for line in lines if not line[0] and line[1]][:high]
        colours = [line for line in lines if line[0]]
        fits = max(0, high - len(axes) - 1)
        entries = [*colours[:fits], ("", f"… {len(colours) - fits} more"), *axes][:high]
    words = [word for row, line in enumerate(entries) for word in _words(line, left, top + row, wide)]
    return replace(layout, words=layout.words + words)


def _below(sheet: Sheet, room: Room, lines: list[Entry]) -> TileLayout | None:
    rows: list[list[Entry]] = [[]]
    row_width = 0
    for line in lines:
        if not line[1]:
            row_width = room.columns  # axes begin a row
            continue
        width = min(room.columns, _width(line))
        if rows[-1] and row_width + BETWEEN + width > room.columns:
            rows.append([])
            row_width = 0
        row_width += width + (BETWEEN if rows[-1] else 0)
        rows[-1].append(line)
    if room.rows <= len(rows):
        return None
    layout = lay_out(sheet, replace(room, rows=room.rows - len(rows)))
    bottom = max([box[1] + box[3] for box in layout.boxes] + [word.y + 1 for word in layout.words])
    words = []
    for number, row in enumerate(rows):
        x = max(0, (room.columns - sum(map(_width, row)) - BETWEEN * (len(row) - 1)) // 2)
        for line in row:
            words += _words(line, x, bottom + number, room.columns - x)
            x += _width(line) + BETWEEN
    return replace(layout, words=layout.words + words)


def _width(line: Entry) -> int:
    return width_of(line[1]) + (len(MARK) if line[0] else 0)


def _words(line: Entry, x: int, y: int, width: int) -> list[Word]:
    """A mark in the entry's colour and its text, cut to a width."""
    colour, text = line
    if not colour:
        return [Word(x, y, cut(text, width))] if text else []
    return [Word(x, y, MARK.strip(), colour), Word(x + len(MARK), y, cut(text, width - len(MARK)))]
