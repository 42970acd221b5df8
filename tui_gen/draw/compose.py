"""A plot put together: what was drawn on the canvas, axes with their labels, and the legend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tui_gen.draw.axes import label, log_ticks, reading, ticks
from tui_gen.draw.canvas import MARKS, Canvas
from tui_gen.draw.text import Row, Run, fit_row, rows_of, width_of
from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.draw.frames import Frame, FrameOptions


def _legend(frame: Frame, options: FrameOptions) -> Row:
    runs: list[Run] = []
    if options.cursor is not None:
        runs.append((f"step {options.cursor:,.0f}  ", "cursor"))
    row_width = sum(width_of(text) for text, _ in runs)
    for i, r in enumerate(frame.readings):
        value = reading(r.value if options.cursor is not None or math.isnan(r.mean) else r.mean)
        if options.cursor is not None and r.mean != r.value and not math.isnan(r.mean):
            value += f" (mean {reading(r.mean)})"
        name = clean(r.name)
        if options.ascii:
            name = name.encode("ascii", "replace").decode()
        text = f" {name} {value}  "
        remaining = len(frame.readings) - i
        need = width_of(text) + 1 + (len(f"+{remaining - 1}") if remaining > 1 else 0)
        if row_width + need > frame.width:
            runs.append((f"+{remaining}", "label"))
            break
        runs += [(r.glyph, r.style), (text, "text")]
        row_width += width_of(text) + 1
    return fit_row(runs, frame.width)


def compose(frame: Frame, canvas: Canvas, options: FrameOptions, any_data: bool) -> list[Row]:
    """Canvas, axes and legend put together."""
    area = frame.area
    rows: list[Row] = []
    if area.y:
        rows.append(_legend(frame, options))
    body = rows_of(canvas.chars, canvas.style, canvas.keys)
    if area.x:
        labels = _y_labels(frame, area.height) if any_data else {}
        bar, tick = ("|", "+") if options.ascii else ("│", "┤")
        for i, row in enumerate(body):
            text = labels.get(i, "")
            body[i] = [(text.rjust(area.x - 1), "label"), (tick if text else bar, "axis"), *row]
    rows += body
    if frame.height - area.y - area.height:
        rows += _x_axis(frame, canvas, options, any_data)
    return rows


def _y_labels(frame: Frame, height: int) -> dict[int, str]:
    lo, hi = frame.y_limits
    values, distance = frame.scale.ticks(lo, hi, max(3, height // 4), height // 3)
    if len(values) < 3 <= height // 2:
        values, distance = frame.scale.ticks(lo, hi, max(6, height // 2), height // 2)
    labels: dict[int, str] = {}
    for value in sorted(values, key=abs):  # what is nearest to 0 is named first
        part = frame.scale.part(value, frame.heights)
        row = round((1.0 - part) * (height * 4 - 1)) // 4 if height > 1 else 0
        text = label(value, distance)
        if len(text) >= frame.area.x:  # a small difference of large numbers: better rough than nothing
            text = reading(value) if frame.area.x > 7 else f"{value:.0e}"
        if len(text) < frame.area.x and 0 <= row < height:
            labels.setdefault(row, text)
    return labels


def _x_axis(frame: Frame, canvas: Canvas, options: FrameOptions, any_data: bool) -> list[Row]:
    """The axis line with its marks, and the labels below it."""
    area, width = frame.area, frame.width
    corner, line, tick = ("+", "-", "+") if options.ascii else ("└", "─", "┴")
    chars = np.full((1, area.width), ord(line), dtype="<u4")
    style = np.full((1, area.width), canvas.index_of("axis"), dtype=np.int16)
    text = [" "] * width
    free = 0
    for step, name in _x_ticks(frame, options) if any_data else []:
        column = min(area.width - 1, int(frame.x_scale.part(step, frame.x_limits) * area.width))
        chars[0, column] = ord(tick)
        begin = min(max(area.x + column - len(name) // 2, 0), width - len(name))
        if begin >= free:
            text[begin : begin + len(name)] = name
            free = begin + len(name) + 1
    for column, kind in canvas.ticks.items():
        glyph, ascii_glyph, _ = MARKS.get(kind, MARKS["sample"])
        chars[0, column] = ord(ascii_glyph if options.ascii else glyph)
        style[0, column] = canvas.index_of(f"mark.{kind}")
    axis = rows_of(chars, style, canvas.keys)[0]
    if area.x:
        axis = [(" " * (area.x - 1) + corner, "axis"), *axis]
    return [axis, [("".join(text), "label")]]


def _x_ticks(frame: Frame, options: FrameOptions) -> list[tuple[float, str]]:
    """The steps that are named below the axis, and their names."""
    count = max(2, frame.area.width // 10)
    if options.clock:
        return options.clock.ticks(*frame.x_limits, count, options.log_x)
    lo, hi = (limit / options.unit for limit in frame.x_limits)
    whole = hi - lo >= 1 and options.unit == 1
    values, distance = (log_ticks(lo, hi, count), None) if options.log_x else ticks(lo, hi, count, whole)
    return [(float(value) * options.unit, label(float(value), distance)) for value in values]
