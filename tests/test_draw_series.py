"""Series, their EMA and their column extremes against plain loops."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_gen.draw.series import ColumnStats, Series

numbers = st.floats(-1e6, 1e6) | st.just(float("nan"))


def slow_ema(values, factor):
    """The definition, one value at a time."""
    out, s, count = [], 0.0, 0
    for v in values:
        if np.isnan(v):
            out.append(np.nan)
            continue
        s, count = factor * s + (1 - factor) * v, count + 1
        out.append(s / (1 - factor**count))
    return np.array(out)


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, max_size=120), st.sampled_from([0.0, 0.3, 0.9, 0.99]), st.integers(1, 40))
def test_ema_in_pieces_is_the_definition(values, factor, piece):
    series = Series("loss")
    for begin in range(0, len(values), piece):
        part = values[begin : begin + piece]
        series.append(np.arange(begin, begin + len(part)), part)
        series.ema(factor)
    expected = slow_ema(values, factor) if factor else np.array(values)
    np.testing.assert_allclose(series.ema(factor), expected, rtol=1e-9, atol=1e-6)


def test_ema_across_many_chunks():
    values = np.random.default_rng(0).normal(size=50_000) + 3
    values[::97] = np.nan
    series = Series("loss", np.arange(len(values)), values)
    np.testing.assert_allclose(series.ema(0.995), slow_ema(values, 0.995), rtol=1e-9)


def test_nan_infinity_and_none_are_gaps_that_do_not_poison_the_average():
    series = Series("loss", [0, 1, 2, 3, 4], [1.0, None, float("inf"), float("nan"), 1.0])
    assert np.isnan(series.values[1:4]).all()
    assert series.ema(0.9)[[0, 4]] == pytest.approx([1.0, 1.0])
    assert np.isnan(series.ema(0.9)[1:4]).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=80), st.data())
def test_truncate_then_append_is_as_if_written_once(values, data):
    cut = data.draw(st.integers(0, len(values) - 1))
    series = Series("loss", np.arange(len(values)), values)
    series.ema(0.9)
    series.truncate(cut)
    assert len(series) == cut + 1 and series.steps[-1] == cut
    series.append(np.arange(cut + 1, cut + 6), [5, 4, 3, 2, 1])
    expected = slow_ema([*values[: cut + 1], 5, 4, 3, 2, 1], 0.9)
    np.testing.assert_allclose(series.ema(0.9), expected, rtol=1e-7, atol=1e-5)


def test_steps_that_go_back_replace_what_was_there():
    series = Series("loss", [0, 10, 20, 30], [1, 2, 3, 4])
    series.append([15, 25], [8, 9])
    assert series.steps.tolist() == [0, 10, 15, 25]
    assert series.values.tolist() == [1, 2, 8, 9]


def test_unordered_batches_are_sorted_and_wrong_lengths_refused():
    series = Series("loss", [3, 1, 2], [30, 10, 20])
    assert series.values.tolist() == [10, 20, 30]
    with pytest.raises(ValueError, match="loss"):
        series.append([1, 2], [1])


def test_growth_is_amortised():
    series = Series("loss")
    owners = set()
    for i in range(5000):
        series.append(i, i)
        owners.add(id(series._values))
    assert len(owners) < 12 and series.values.tolist() == list(range(5000))


def test_what_is_read_between_two_measurements_is_the_one_before_and_not_the_nearest():
    series = Series("loss", [0, 10, 20], [1, 2, 3])

    def read(step, reach=0.0):
        return series.read(step, step - reach, step + reach)

    assert [read(step) for step in (-5, 0, 9, 10, 19, 20, 99)] == [
        (None, False), (0, True), (0, False), (1, True), (1, False), (2, True), (2, False)
    ]  # fmt: skip
    assert [read(step, 1) for step in (-1, 9, 11, 18)] == [(0, True), (1, True), (1, True), (1, False)]
    assert read(9, 10) == (1, True) and read(4, 10) == (0, True), "of those that stand there, the nearest"
    assert Series().read(3, 0, 9) == (None, False)


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=200), st.integers(1, 30), st.integers(1, 60))
def test_columns_keep_every_extreme_and_updates_equal_a_fresh_start(values, n, piece):
    edges = np.linspace(0, 250, n + 1)
    kept, series = ColumnStats(), Series("loss")
    for begin in range(0, len(values), piece):
        part = values[begin : begin + piece]
        series.append(np.arange(begin, begin + len(part)), part)
        columns = kept.update(series, edges, 0.9)
    fresh = ColumnStats().update(series, edges, 0.9)
    for name in ("lo", "hi", "first", "last", "mean", "filled", "starts"):
        np.testing.assert_array_equal(getattr(columns, name), getattr(fresh, name), err_msg=name)
    x, y = series.steps, series.values
    for c in range(n):
        inside = y[(x >= edges[c]) & (x < edges[c + 1])]
        inside = inside[~np.isnan(inside)]
        if len(inside):
            assert (columns.lo[c], columns.hi[c]) == (inside.min(), inside.max())
        else:
            assert np.isnan(columns.lo[c])


def test_columns_after_a_truncation_forget_the_dropped_points():
    series = Series("loss", np.arange(100), np.r_[np.ones(50), np.full(50, 9.0)])
    stats, edges = ColumnStats(), np.linspace(0, 100, 11)
    assert stats.update(series, edges, 0.0).hi[9] == 9
    series.truncate(49)
    columns = stats.update(series, edges, 0.0)
    assert np.isnan(columns.hi[9]) and columns.hi[4] == 1


# -- the average that does not lag


def slow_zero_phase(values, factor):
    """The definition: the average of the average, from the end to the beginning."""
    return slow_ema(slow_ema(values, factor)[::-1], factor)[::-1]


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, max_size=120), st.sampled_from([0.0, 0.3, 0.9, 0.99]), st.integers(1, 40), st.integers(0, 120))
def test_zero_phase_in_pieces_and_after_a_cut_is_the_definition(values, factor, piece, cut):
    series = Series("loss")
    for begin in range(0, len(values), piece):
        part = values[begin : begin + piece]
        series.append(np.arange(begin, begin + len(part)), part)
        series.ema(factor, zero_phase=True)
    expected = slow_zero_phase(values, factor) if factor else np.array(values)
    np.testing.assert_allclose(series.ema(factor, True), expected, rtol=1e-9, atol=1e-6)
    series.truncate(cut)
    left = values[: cut + 1]
    expected = slow_zero_phase(left, factor) if factor else np.array(left)
    np.testing.assert_allclose(series.ema(factor, True), expected, rtol=1e-7, atol=1e-5)


@pytest.mark.parametrize("factor", [0.9, 0.995])
def test_zero_phase_does_not_lag_and_comes_piece_by_piece_to_what_it_is_at_once(factor):
    values = np.random.default_rng(0).normal(size=20_000) + 3
    values[::97] = np.nan
    values[9_000:15_000] = np.nan  # a gap longer than what a value is felt for
    live = Series("loss")
    for begin in range(0, len(values), 1300):
        live.append(np.arange(begin, min(begin + 1300, len(values))), values[begin : begin + 1300])
        live.ema(factor, True)
    np.testing.assert_allclose(live.ema(factor, True), slow_zero_phase(values, factor), rtol=1e-9)
    step = Series("step", np.arange(4000), np.r_[np.zeros(2000), np.ones(2000)])
    crossing = int(np.argmax(step.ema(factor, True) >= 0.5))
    assert abs(crossing - 2000) <= 1 < int(np.argmax(step.ema(factor) >= 0.5)) - 2000


def test_columns_of_the_average_that_does_not_lag_are_renewed_as_far_as_new_points_reach():
    rng, edges = np.random.default_rng(2), np.linspace(0, 3000, 101)
    live, stats = Series("a"), ColumnStats()
    for begin in range(0, 2800, 70):
        live.append(np.arange(begin, begin + 70), rng.normal(size=70))
        columns = stats.update(live, edges, 0.9, True)
    fresh = ColumnStats().update(Series("b", live.steps, live.values), edges, 0.9, True)
    np.testing.assert_allclose(columns.mean, fresh.mean, rtol=1e-12)


def test_steps_are_the_same_however_they_came():
    """Progressions, which take no room, turn into single steps and back to nothing as a run goes on anew."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        plain_steps, plain_values, series = [], [], Series(dtype=np.float32)
        for _ in range(int(rng.integers(1, 8))):
            start, stride, count = int(rng.integers(0, 30)), int(rng.integers(1, 4)), int(rng.integers(0, 6))
            if rng.random() < 0.6 and plain_steps:
                start = int(plain_steps[-1] + (stride if rng.random() < 0.5 else 1))
            values = array("f", rng.normal(size=count))
            if rng.random() < 0.2:
                values = [None if rng.random() < 0.3 else value for value in values]
            steps = [float(start + stride * i) for i in range(count)]
            if steps:
                keep = sum(step < steps[0] for step in plain_steps) if steps[0] < (plain_steps or [0])[-1] else None
                del plain_steps[keep if keep is not None else len(plain_steps) :], plain_values[len(plain_steps) :]
            plain_steps += steps
            plain_values += [np.nan if value is None else value for value in values]
            if rng.random() < 0.5:
                series.append_stride(start, stride, values)
            else:
                series.append(steps, list(values))
            if rng.random() < 0.2:
                cut = float(rng.integers(0, 40))
                series.truncate(cut)
                plain_values = [value for step, value in zip(plain_steps, plain_values) if step <= cut]
                plain_steps = [step for step in plain_steps if step <= cut]
            assert series.steps.tolist() == plain_steps and len(series) == len(plain_steps)
            np.testing.assert_array_equal(series.values, np.array(plain_values, np.float32))
