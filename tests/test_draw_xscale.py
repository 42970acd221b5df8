"""Scales of the x axis: steps, their logarithm, and the time when they were made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_draw_curves import cells
from tui_gen.draw.clock import Clock
from tui_gen.draw.curves import FrameOptions, Series, render
from tui_gen.draw.xscale import XScale

CLOCK = Clock([100, 100, 300, 400], [10.0, 60.0, 80.0, 81.0])
"""Ten steps a second, a pause of 50 s at step 100, then slower, and at last faster."""
SCALES = [XScale(), XScale(log=True), XScale(clock=CLOCK), XScale(log=True, clock=CLOCK)]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SCALES), st.floats(1, 1e4), st.floats(1, 1e4), st.integers(1, 200))
def test_edges_ascend_between_the_limits_and_places_lead_back_to_steps(scale, low, more, count):
    limits = (low, low + more)
    edges = scale.edges(limits, count)
    assert len(edges) == count + 1 and (np.diff(edges) >= 0).all()
    assert edges[0] == (0.0 if scale.log and low == 1.0 else low) and edges[-1] == limits[1]
    for part in (0.0, 0.3, 1.0):
        step = scale.step_at(part, limits)
        assert scale.step_at(scale.part(step, limits), limits) == pytest.approx(step, rel=1e-6)
        assert scale.clock or scale.part(step, limits) == pytest.approx(part, abs=1e-6)


def test_on_a_logarithmic_axis_a_curve_of_the_logarithm_is_straight_and_decades_are_named():
    steps = np.arange(10_000)
    options = FrameOptions(log_x=True, smoothing=0.0, x_window=(1, 10_000))
    frame = render(108, 20, [Series("a", steps, np.log(np.maximum(steps, 1)))], options)
    chars, _ = cells(frame)
    tops = [next(y for y, line in enumerate(chars) if line[x] != " ") for x in range(10, 100)]
    assert np.all(np.abs(np.diff(tops, 2)) <= 1) and tops[0] > tops[-1] + 12
    named = frame.rows[-1][0][0].split()
    assert {"1", "10", "100", "1k", "10k"} <= set(named)
    assert frame.step_at(frame.area.x + frame.area.width / 2 - 0.5) == pytest.approx(100, rel=0.02)


def test_on_an_axis_of_time_a_pause_is_a_flat_stretch():
    steps = np.arange(400)
    options = FrameOptions(clock=CLOCK, smoothing=0.0, x_window=(0, 400))
    frame = render(108, 20, [Series("a", steps, steps)], options)
    assert [round(frame.x_scale.part(step, (0, 400)) * 81) for step in (50, 200, 300)] == [5, 70, 80]
    chars, _ = cells(frame)
    middle = [next(y for y, line in enumerate(chars) if line[x] != " ") for x in range(20, 70)]
    assert len(set(middle)) == 1  # of 100 columns, those of 16 s to 57 s
    assert frame.rows[-1][0][0].split()[:2] == ["0", "10s"]


def test_what_came_before_the_first_step_is_not_on_an_axis_of_time():
    clock = Clock([0, 100], [8.0, 18.0])  # loading took 8 s
    assert [clock.seconds(step) for step in (0, 50, 100)] == [8.0, 13.0, 18.0] and clock.step(0.0) == 0.0
    assert XScale(clock=clock).edges((0, 100), 4) == pytest.approx([0, 25, 50, 75, 100])
    assert [name for _, name in clock.ticks(0, 100, 4)] == ["10s", "15s"]


def test_times_on_a_logarithmic_axis_are_round_and_few():
    ticks = Clock([1000], [3600.0]).ticks(1, 1000, 8, log=True)
    assert [name for _, name in ticks][-1] == "1h" and 3 <= len(ticks) <= 8
    steps = [step for step, _ in ticks]
    assert steps == sorted(steps) and steps[0] >= 1
    assert Clock([10], [1e-3]).ticks(1, 10, 8, log=True) == []
