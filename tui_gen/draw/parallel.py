"""Parallel coordinates: an upright axis for each setting and one for what came of them, and a line for each trial.

What is best is at the top of the last axis, and its lines are drawn over all others. Knows no run and no widget.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tui_gen.draw.canvas import Canvas
from tui_gen.draw.text import Row, cut, fit_row, rows_of, width_of

LEVELS = 5
"""Colours of lines, from the worst to the best."""
FEW = 6
"""So many different values of an axis have a name each."""
LOG_FROM = 10.0
"""Positive values whose largest is so many times the smallest stand on a logarithmic axis."""
FAR = 4.0
"""Values of the metric that are so many times farther from the best than the median is stand at the edge."""
LEAST = (20, 4)
"""The fewest columns and rows that are drawn in."""


class Dimension(NamedTuple):
    """One axis: its name, where each trial is on it (n,) from 0 at the bottom to 1 at the top, NaN for nowhere, and its
    labels with their places."""

    name: str
    parts: np.ndarray
    labels: list[tuple[float, str]]


def dimension(name: str, values: Sequence[Any], show: Callable[[Any], str]) -> Dimension:
    """The axis of a setting, from its values, None where there is none: numbers by their size, all else by its name."""
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        numbers = np.array([math.nan if value is None else float(value) for value in values])
        return _numeric(name, numbers, present, show)
    words = ["" if value is None else show(value) for value in values]
    known = list(dict.fromkeys(word for word in words if word))
    places = {word: (place + 0.5) / len(known) for place, word in enumerate(known)}
    parts = np.array([places.get(word, math.nan) for word in words])
    return Dimension(name, parts, [(place, word) for word, place in places.items()])


def _numeric(name: str, numbers: np.ndarray, present: Sequence[Any], show: Callable[[Any], str]) -> Dimension:
    low, high = float(min(present)), float(max(present))
    log = low > 0 and high / low >= LOG_FROM

    def part(value: Any) -> Any:
        if high == low:
            return value * 0 + 0.5
        if log:
            return (np.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return (value - low) / (high - low)

    different = sorted(set(present))
    some = different if len(different) <= FEW else [different[0], different[-1]]
    return Dimension(name, np.asarray(part(numbers)), [(float(part(float(value))), show(value)) for value in some])


def outcome(name: str, values: Sequence[float | None], better: str, show: Callable[[Any], str]) -> Dimension:
    """The axis of a metric, with the best at the top; what is far worse than most stands at the bottom."""
    numbers = np.array([math.nan if value is None else float(value) for value in values])
    finite = numbers[np.isfinite(numbers)]
    if not len(finite):
        return Dimension(name, np.full(len(numbers), math.nan), [])
    sign = 1.0 if better == "higher" else -1.0
    best, worst = float((sign * finite).max()), float((sign * finite).min())
    edge = best - FAR * (best - float(np.median(sign * finite)))
    cut_off = worst < edge < best
    low = edge if cut_off else worst
    parts = np.clip((sign * numbers - low) / (best - low), 0, 1) if best > low else numbers * 0 + 1.0
    beyond = "≥ " if sign < 0 else "≤ "
    labels = [(1.0, show(sign * best))]
    if best > low:
        labels.append((0.0, (beyond if cut_off else "") + show(sign * low)))
    return Dimension(name, parts, labels)


def levels_of(last: Dimension) -> np.ndarray:
    """The colour of each line, (n,) of 0 … LEVELS - 1, by where it is on the last axis."""
    parts = np.nan_to_num(last.parts, nan=0.0)
    return np.minimum(LEVELS - 1, (parts * LEVELS).astype(int))


class ParallelPlot:
    """All lines of a plot, drawn once; `rows` draws the chosen one over them, which is quick.

    Rows are runs of text with style keys: `band0` … (the worst) `line4` (the best), `line5` is the chosen trial, `axis`
    and `label`; as many rows as `height`, each `width` wide.
    """

    def __init__(self, dimensions: Sequence[Dimension], width: int, height: int, ascii_only: bool = False) -> None:
        self._dimensions, self._width, self._height = dimensions, width, height
        self._fits = width >= LEAST[0] and height >= LEAST[1] and len(dimensions) > 1
        if not self._fits:
            return
        self._canvas = Canvas(width, height - 1, ascii_only)
        self._columns = [round(place * (width - 1) / (len(dimensions) - 1)) for place in range(len(dimensions))]
        for column in self._columns:
            self._canvas.chars[:, column] = ord("|" if ascii_only else "┊")
            self._canvas.style[:, column] = self._canvas.index_of("axis")
        self._parts = np.stack([dimension.parts for dimension in dimensions])
        levels = levels_of(dimensions[-1])
        for level in range(LEVELS):
            key = f"line{level}" if level == LEVELS - 1 else f"band{level}"
            _lines(self._canvas, self._columns, self._parts[:, levels == level], key)

    def rows(self, chosen: int | None = None) -> list[Row]:
        """The rows, with a trial of them over the others."""
        width, height = self._width, self._height
        if not self._fits:
            return [fit_row([("too small for parallel coordinates", "label")], width)] + [[] for _ in range(height - 1)]
        canvas, columns = copy.copy(self._canvas), self._columns
        canvas.chars, canvas.style, canvas.keys = canvas.chars.copy(), canvas.style.copy(), list(canvas.keys)
        canvas.lines = []
        if chosen is not None:
            _lines(canvas, columns, self._parts[:, [chosen]], f"line{LEVELS}")
            _knots(canvas, columns, self._parts[:, chosen])
        last = len(columns) - 1
        for place, (column, dimension) in enumerate(zip(columns, self._dimensions)):
            _label(canvas, column, dimension, room=_room(columns, place), to_the_left=place == last)
        return [_names(columns, self._dimensions, width), *rows_of(canvas.chars, canvas.style, canvas.keys)]


def _room(columns: list[int], place: int) -> int:
    beside = columns[place + 1] - columns[place] if place + 1 < len(columns) else columns[place] - columns[place - 1]
    return max(0, beside // 2 - 1)


def _lines(canvas: Canvas, columns: list[int], parts: np.ndarray, key: str) -> None:
    """Draw lines through all axes, parts (axes, n): the dots from each dot column's height to the next one's."""
    if not parts.shape[1]:
        return
    rows, across = canvas.chars.shape[0] * canvas.down, canvas.across
    wide = canvas.chars.shape[1] * across
    places: list[np.ndarray] = []
    ends: list[np.ndarray] = []
    for left, right, start, end in zip(columns, columns[1:], parts, parts[1:]):
        there = np.isfinite(start) & np.isfinite(end)
        # Lines that begin and end in the same dots are one: of a thousand over two short lists six are left.
        pairs = np.rint((1 - np.stack([start[there], end[there]])) * (rows - 1)).astype(np.int32)
        pairs = np.unique(pairs[0] * rows + pairs[1])
        first, last = left * across, min(wide - 1, right * across + across - 1)
        along = np.linspace(0, 1, last - first + 1, dtype=np.float32)
        begin, finish = (pairs // rows)[:, None], (pairs % rows)[:, None]
        dots = (begin + (finish - begin) * along + 0.5).astype(np.int32)
        middle = (dots[:, :-1] + dots[:, 1:]) >> 1  # each half of a steep step belongs to the nearer column
        before = np.concatenate([dots[:, :1], middle], axis=1)
        after = np.concatenate([middle, dots[:, -1:]], axis=1)
        at = np.arange(first, last + 1, dtype=np.int32)
        places.append((np.minimum(before, after) * wide + at).ravel())
        ends.append(((np.maximum(before, after) + 1) * wide + at).ravel())
    size = (rows + 1) * wide
    begun = np.bincount(np.concatenate(places), minlength=size)
    over = np.bincount(np.concatenate(ends), minlength=size)
    counts = np.cumsum((begun - over).reshape(rows + 1, wide), axis=0)
    canvas.dots(counts[:rows] > 0, key, 0)


def _knots(canvas: Canvas, columns: list[int], parts: np.ndarray) -> None:
    """Where a line crosses the axes: seen without colours, too."""
    high = canvas.chars.shape[0]
    for column, part in zip(columns, parts):
        if math.isfinite(part):
            row = round((1 - part) * (high - 1))
            canvas.chars[row, column] = ord("O" if canvas.ascii else "◆")
            canvas.style[row, column] = canvas.index_of(f"line{LEVELS}")


def _label(canvas: Canvas, column: int, dimension: Dimension, room: int, to_the_left: bool) -> None:
    high, wide = canvas.chars.shape
    used: set[int] = set()
    for part, text in sorted(dimension.labels, key=lambda label: -label[0]):
        row = round((1 - part) * (high - 1))
        text = cut(text if not canvas.ascii else text.replace("≥", ">").replace("≤", "<"), room)
        if row in used or not text:
            continue
        used.add(row)
        start = max(0, column - 1 - width_of(text)) if to_the_left else column + 1
        for place, letter in enumerate(text):
            if start + place < wide:
                canvas.chars[row, start + place] = ord(letter)
                canvas.style[row, start + place] = canvas.index_of("label")


def _names(columns: list[int], dimensions: Sequence[Dimension], width: int) -> Row:
    """The names above their axes, each cut to its share of the row."""
    share = max(3, (width - 1) // len(dimensions) - 1)
    line, end = "", 0
    for place, (column, dimension) in enumerate(zip(columns, dimensions)):
        name = dimension.name if width_of(dimension.name) <= share else cut(dimension.name, share - 1) + "…"
        if name.endswith("…") and width_of(name) == 1:
            name = cut(dimension.name, share)
        start = column if place == 0 else column - width_of(name) // 2
        start = min(max(start, end + (1 if place else 0)), max(0, width - width_of(name)))
        line += " " * (start - end) + name
        end = width_of(line)
    return fit_row([(line, "label")], width)
