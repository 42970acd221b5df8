"""CSV: every value of a run as text, a row a step, a column a metric. Steps are counted from 0, as in the log."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

import numpy as np

from tui_gen import events
from tui_gen.draw.series import Series
from tui_gen.report.exports import Order
from tui_gen.text import spreadsheet_text
from tui_gen.view import RunView

BLOCK = 4096


def write(order: Order, target: Path) -> None:
    """As UTF-8, lines ended by a line feed."""
    with open(target, "w", encoding="utf-8", newline="") as file:
        stream(order, file)


def stream(order: Order, out: TextIO) -> None:
    """Row by row, as they are made."""
    csv.writer(out, lineterminator="\n").writerows(rows(order.view))


def check(order: Order, target: Path) -> None:
    """The same names, and a row of as many cells for every step, in order."""
    names, steps = header(order.view), steps_of(order.view)
    with open(target, encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        try:
            if next(reader, []) != names:
                raise ValueError("its first row does not name the metrics")
            for number, (step, row) in enumerate(zip_longest(steps, reader), 2):
                if step is None or row is None or len(row) != len(names) or row[0] != _text(step):
                    raise ValueError(f"row {number} is not the one that it should be")
        except csv.Error as error:
            raise ValueError(f"row {reader.line_num}: {error}") from None


def rows(view: RunView) -> Iterator[Sequence[str]]:
    """The names, then a row for each step; empty where a metric has no value. Made as they are asked for."""
    yield header(view)
    curves, steps = list(view.series.values()), steps_of(view)
    for first in range(0, len(steps), BLOCK):
        part = steps[first : first + BLOCK]
        yield from zip(map(_text, part), *(_texts(curve, part) for curve in curves))


def header(view: RunView) -> list[str]:
    """The names of the columns."""
    return ["step", *map(spreadsheet_text, view.series)]


def steps_of(view: RunView) -> np.ndarray:
    """How many steps had been made wherever a metric has a value, ascending."""
    steps = np.empty(0)
    for curve in view.series.values():
        if not np.array_equal(curve.steps, steps):
            steps = np.union1d(steps, curve.steps)
    return steps


def _text(step: float) -> str:
    return str(events.index(int(step)))


def _texts(curve: Series, steps: np.ndarray) -> list[str]:
    """What a curve has at these steps, ascending; of several values at one step the last."""
    begin = int(np.searchsorted(curve.steps, steps[0], side="left"))
    end = int(np.searchsorted(curve.steps, steps[-1], side="right"))
    texts = [""] * len(steps)
    values = curve.values[begin:end]
    if values.dtype == np.float32:  # as text these have the fewest digits that tell one from its neighbours
        words = [str(value).removesuffix(".0") for value in values]
    else:
        words = [f"{value:.9g}" for value in values.tolist()]
    for place, word in zip(np.searchsorted(steps, curve.steps[begin:end]).tolist(), words):
        texts[place] = "" if word == "nan" else word
    return texts
