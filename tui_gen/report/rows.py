"""All values of a run as rows of text: one a step, a column a metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tui_gen.draw.series import Series
from tui_gen.view import RunView

BLOCK = 4096


def rows(view: RunView) -> Iterator[Sequence[str]]:
    """The names, then a row for each step; empty where a metric has no value. Made as they are asked for."""
    yield ["step", *map(as_text, view.series)]
    curves = list(view.series.values())
    steps = np.empty(0)
    for curve in curves:
        if not np.array_equal(curve.steps, steps):
            steps = np.union1d(steps, curve.steps)
    for first in range(0, len(steps), BLOCK):
        part = steps[first : first + BLOCK]
        yield from zip((str(int(step)) for step in part), *(_texts(curve, part) for curve in curves))


def as_text(cell: str) -> str:
    """A cell that a spreadsheet takes for text: what begins as a formula does would be computed."""
    return f"'{cell}" if cell.startswith(tuple("=+-@＝＋－＠")) else cell


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
