"""Parallel coordinates: where lines are, what is on top, labels, and what does not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tui_gen.draw import parallel
from tui_gen.draw.text import width_of


def plot(width=41, height=9, better="lower", chosen=None, plain=False, **columns):
    *settings, (name, judged) = columns.items()
    axes = [parallel.dimension(key, values, str) for key, values in settings]
    axes.append(parallel.outcome(name, judged, better, lambda value: f"{value:g}"))
    return parallel.ParallelPlot(axes, width, height, plain).rows(chosen)


def text(rows):
    return ["".join(part for part, _ in row) for row in rows]


def style_at(rows, y, x):
    for part, key in rows[y]:
        if x < len(part):
            return key
        x -= len(part)
    return ""


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("width,height", [(20, 4), (41, 9), (199, 50)])
def test_every_row_is_as_wide_as_there_is_room(plain, width, height):
    rows = plot(width, height, lr=[1e-4, 1e-3, None], kind=["a", "b", "b"], loss=[1.0, math.nan, None], plain=plain)
    assert len(rows) == height and {width_of(row) for row in text(rows)} == {width}
    assert not plain or all(row.isascii() for row in text(rows))


def test_a_line_goes_from_its_setting_to_what_it_reached_and_the_best_is_at_the_top():
    rows = plot(41, 10, x=[0.0, 1.0], loss=[1.0, 3.0], chosen=0, plain=True)
    lines = text(rows)
    assert lines[0].startswith("x") and lines[0].rstrip().endswith("loss")
    assert lines[1][40] == "O" and lines[9][0] == "O", "the chosen: from the bottom, at 0, to the best, at the top"
    assert lines[1][:2] == ".1" and lines[9][40] == ".", "the worst: from the top to the bottom"
    middle = lines[5]
    assert middle[20] in "*+O" and style_at(rows, 5, 20) == "line5"
    assert text(plot(41, 10, x=[0.0, 1.0], loss=[1.0, 3.0], better="higher", plain=True))[9][40] != "O"


def test_logarithmic_axes_and_lists_stand_where_they_belong():
    axis = parallel.dimension("lr", [1e-4, 1e-3, 1e-2], str)
    assert axis.parts == pytest.approx([0, 0.5, 1])
    assert parallel.dimension("n", [8, 16, 32], str).parts == pytest.approx([0, 1 / 3, 1])
    kinds = parallel.dimension("kind", ["b", "a", "b", None], str)
    assert kinds.parts[:3] == pytest.approx([0.25, 0.75, 0.25]) and math.isnan(kinds.parts[3])
    assert [label for _, label in kinds.labels] == ["b", "a"]
    assert parallel.dimension("on", [True, False], str).labels == [(0.25, "True"), (0.75, "False")]
    assert list(parallel.dimension("x", [3, 3], str).parts) == [0.5, 0.5]


def test_what_is_far_worse_than_most_does_not_press_the_rest_together():
    values = [1.0, 1.1, 1.2, 1.3, 1e9]
    axis = parallel.outcome("loss", values, "lower", lambda value: f"{value:.3g}")
    assert axis.parts[0] == 1 and axis.parts[-1] == 0 and 0.5 < axis.parts[2] < 1
    assert ("≥" in dict((part, label) for part, label in axis.labels)[0.0]) is True
    assert parallel.levels_of(axis)[0] == parallel.LEVELS - 1 and parallel.levels_of(axis)[-1] == 0


def test_a_thousand_lines_are_those_of_each_alone():
    random = np.random.default_rng(0)
    x, loss = random.uniform(0, 1, 40).round(3).tolist(), random.uniform(0, 1, 40).round(3).tolist()
    axes = [parallel.dimension("x", x, str), parallel.outcome("loss", loss, "lower", str)]
    lines = text(parallel.ParallelPlot(axes, 60, 20).rows())
    together = {(y, at) for y, row in enumerate(lines) for at, letter in enumerate(row) if letter > "⠀"}
    for number in range(40):
        alone = [axis._replace(parts=axis.parts[[number]], labels=[]) for axis in axes]
        for y, row in enumerate(text(parallel.ParallelPlot(alone, 60, 20).rows())[1:], 1):
            assert {(y, at) for at, letter in enumerate(row) if letter > "⠀" and 8 < at < 50} <= together


def test_what_has_no_room_says_so():
    assert "too small" in text(plot(30, 3, x=[1.0], loss=[1.0]))[0]
    assert "too small" in text(parallel.ParallelPlot([parallel.outcome("loss", [1.0], "lower", str)], 40, 9).rows())[0]
