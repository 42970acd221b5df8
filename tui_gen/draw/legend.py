"""The legend above a plot: title, and glyph, name and value of each curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui_gen.draw.axes import reading
from tui_gen.draw.text import Row, fit_row, width_of
from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.draw.frames import Reading

VALUE_WIDTH = 7


def legend_rows(title: str, readings: Sequence[Reading], width: int, rows: int, cursor: bool) -> list[Row]:
    """Title, and glyph, name and value of each curve, in at most `rows` rows; "+3" stands for three that found no room.

    Values have a fixed width, so that nothing moves when a digit comes or goes. With a `cursor` they are those at it,
    else averages.
    """
    title = clean(title)
    lines: list[Row] = [[(f"{title} ", "title")]]
    row_width = width_of(title) + 1
    for i, curve in enumerate(readings):
        value = curve.value if cursor or math.isnan(curve.mean) else curve.mean
        words = "–" if curve.absent else reading(value)
        runs: Row = [
            (f" {curve.glyph}", curve.style),
            (f" {clean(curve.name)} ", "text"),
            (words, "value"),
            (f"@{curve.at}" if curve.at else "", "label"),
        ]
        runs.append((" " * (VALUE_WIDTH - sum(width_of(text) for text, _ in runs[2:])), "value"))
        need = sum(width_of(text) for text, _ in runs)
        remaining = len(readings) - i
        spare = 4 if remaining > 1 and len(lines) == rows else 0
        if row_width + need + spare > width:
            if len(lines) == rows:
                lines[-1].append((f" +{remaining}", "label"))
                break
            lines.append([])
            row_width = 0
        lines[-1] += runs
        row_width += need
    return [fit_row(line, width) for line in lines]
