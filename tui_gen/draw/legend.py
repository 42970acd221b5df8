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
    used = width_of(title) + 1
    for i, shown in enumerate(readings):
        value = shown.value if cursor or math.isnan(shown.mean) else shown.mean
        runs: Row = [
            (f" {shown.glyph}", shown.style),
            (f" {clean(shown.name)} ", "text"),
            (reading(value).ljust(VALUE_WIDTH), "value"),
        ]
        need = sum(width_of(text) for text, _ in runs)
        left = len(readings) - i
        spare = 4 if left > 1 and len(lines) == rows else 0
        if used + need + spare > width:
            if len(lines) == rows:
                lines[-1].append((f" +{left}", "label"))
                break
            lines.append([])
            used = 0
        lines[-1] += runs
        used += need
    return [fit_row(line, width) for line in lines]
