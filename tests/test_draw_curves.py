"""Frames of the live plot: shape, dots, axes, marks, readouts, and how little changes from frame to frame."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_gen.draw.axes import GROW_X, Limits, label, log_ticks, panned, reading, ticks, zoomed
from tui_gen.draw.canvas import MARKS
from tui_gen.draw.clock import DISTANCES, Clock, time_label
from tui_gen.draw.curves import FrameOptions, Mark, Plot, Series, render
from tui_gen.draw.text import width_of


def noisy(n, seed=0, name="loss", **more):
    rng = np.random.default_rng(seed)
    return Series(name, np.arange(n), np.exp(-np.arange(n) / n * 3) + 0.05 * rng.normal(size=n), **more)


def cells(frame):
    """Characters and styles of the plot area, cell by cell."""
    chars, styles = [], []
    for row in frame.rows[frame.area.y : frame.area.y + frame.area.height]:
        line = "".join(text for text, _ in row)
        keys = [key for text, key in row for _ in text]
        chars.append(line[frame.area.x :])
        styles.append(keys[frame.area.x :])
    return chars, styles


@settings(max_examples=80, deadline=None)
@given(
    width=st.integers(0, 130),
    height=st.integers(0, 40),
    values=st.lists(st.lists(st.floats() | st.none(), max_size=30), max_size=4),
    log_y=st.booleans(),
    log_x=st.booleans(),
    plain=st.booleans(),
    whole=st.booleans(),
    cursor=st.none() | st.floats(-10, 50),
    window=st.none() | st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    smoothing=st.sampled_from([0.0, 0.6, 0.99]),
)
def test_any_input_gives_rows_of_exactly_the_width(
    width, height, values, log_y, log_x, plain, whole, cursor, window, smoothing
):
    series = [Series(f"s{i}", range(len(v)), v) for i, v in enumerate(values)]
    options = FrameOptions(
        smoothing=smoothing, log_y=log_y, log_x=log_x, ascii=plain, whole=whole, cursor=cursor,
        x_window=window, y_window=window, marks=[Mark(3, "edit"), Mark(7, "alert"), Mark(9, "unknown")],
    )  # fmt: skip
    frame = render(width, height, series, options)
    assert len(frame.rows) == height
    for row in frame.rows:
        assert sum(width_of(text) for text, _ in row) == width
    assert not plain or frame.text().isascii()


def test_a_spike_of_one_step_among_a_million_reaches_the_top():
    values = np.ones(1_000_000)
    values[123_457] = 10.0
    frame = render(100, 24, [Series("loss", np.arange(len(values)), values)])
    chars, styles = cells(frame)
    column = int(123_457 / frame.x_limits[1] * frame.area.width)
    height = [any(0x2800 < ord(line[c]) < 0x2900 for line in chars[:3]) for c in range(frame.area.width)]
    assert [c for c, hit in enumerate(height) if hit] == [column]
    assert styles[2][column] == "band.0"


def test_the_line_replaces_the_dots_of_the_band():
    frame = render(100, 24, [noisy(20_000)], FrameOptions(smoothing=0.99))
    chars, styles = cells(frame)
    used = {key for row in styles for key in row}
    assert {"band.0", "line.0"} <= used
    line = [chars[y][x] for y, row in enumerate(styles) for x, key in enumerate(row) if key == "line.0"]
    assert not any(c == "⣿" for c in line)


def test_without_smoothing_the_data_is_the_bright_line():
    _, styles = cells(render(80, 20, [noisy(500)], FrameOptions(smoothing=0.0)))
    assert {key for row in styles for key in row} == {"", "line.0"}


def test_a_gap_is_blank_and_the_curve_goes_on_after_it():
    values = np.ones(1000)
    values[400:600] = np.nan
    frame = render(108, 12, [Series("loss", np.arange(1000), values)])
    chars, _ = cells(frame)
    blank = [all(line[c] == " " for line in chars) for c in range(frame.area.width)]
    first, last = frame.area.width * 400 // 1200, frame.area.width * 600 // 1200
    assert all(blank[first + 1 : last - 1])
    assert not any(blank[: first - 1]) and not any(blank[last + 1 : last + 20])


def test_a_flat_curve_and_a_single_point_are_drawn():
    chars, _ = cells(render(60, 12, [Series("a", range(50), [2.0] * 50)]))
    assert sum(line.strip() != "" for line in chars) == 1 and max(len(line.strip()) for line in chars) > 30
    chars, _ = cells(render(60, 12, [Series("a", [5], [0.3])]))
    assert [line.strip() for line in chars if line.strip()] == ["● 0.3"]  # with its value beside it


def test_lines_are_told_apart_by_glyphs_too():
    frame = render(120, 30, [noisy(5000, name="train"), noisy(5000, 1, name="valid")])
    plot = "\n".join(cells(frame)[0])
    assert "●" in plot and "■" in plot
    assert frame.rows[0][0] == ("●", "line.0")
    assert "train" in frame.text() and "valid" in frame.text()


def test_slots_keep_colours_when_a_series_is_hidden():
    frame = render(80, 20, [noisy(500, slot=2)])
    assert {"band.2", "line.2"} <= {key for row in cells(frame)[1] for key in row}


def test_ascii_uses_one_character_per_series():
    frame = render(80, 20, [noisy(500), noisy(500, 1, name="other")], FrameOptions(ascii=True))
    assert frame.text().isascii()
    plot = "\n".join(cells(frame)[0])
    assert "*" in plot and "+" in plot and "." in plot


def test_hostile_names_cannot_break_the_row():
    frame = render(60, 10, [Series("\x1b[31m[red]\n漢字" + "x" * 100, [0, 1], [1, 2])])
    assert "\x1b" not in frame.text() and frame.text().count("\n") == 9
    assert width_of("".join(t for t, _ in frame.rows[0])) == 60


def test_logarithmic_axis_spans_decades():
    x = np.arange(1, 1000)
    frame = render(100, 24, [Series("loss", x, 10.0 ** (-x / 200))], FrameOptions(log_y=True))
    named = {text.strip() for row in frame.rows for text, key in row if key == "label"}
    assert frame.scale.kind == "log" and {"1", "1e-4"} <= named
    chars, _ = cells(frame)
    column_tops = [next((y for y, line in enumerate(chars) if line[c] != " "), None) for c in range(70)]
    assert np.all(np.abs(np.diff(column_tops, 2)) <= 1)  # an exponential is straight


def test_windows_show_exactly_what_was_asked_for():
    frame = render(100, 20, [noisy(1000)], FrameOptions(x_window=(200, 300), y_window=(-1, 2)))
    assert frame.x_limits == (200, 300) and frame.y_limits == (-1, 2)
    assert frame.step_at(frame.area.x) == pytest.approx(200 + 100 / frame.area.width / 2)
    assert frame.value_at(frame.area.y + frame.area.height - 1) == pytest.approx(-1, abs=0.1)


@pytest.mark.parametrize("plain", [False, True])
def test_every_kind_of_mark_stands_on_the_axis_at_its_step(plain):
    marks = [Mark(50 + 100 * place, kind) for place, kind in enumerate(MARKS)]
    frame = render(100, 12, [Series("loss", range(1000), range(1000))], FrameOptions(marks=marks, ascii=plain))
    axis, area = frame.text().split("\n")[-2], frame.area
    signs = [axis[area.x + int(frame.x_scale.part(mark.step, frame.x_limits) * area.width)] for mark in marks]
    assert signs == [look[plain] for look in MARKS.values()]


def test_marks_are_on_the_axis_and_cursor_reads_values():
    marks = [Mark(250, "edit"), Mark(500, "checkpoint"), Mark(500, "alert")]
    frame = render(100, 20, [Series("loss", range(1000), range(1000))], FrameOptions(marks=marks, cursor=600))
    axis = [run for run in frame.rows[-2] if run[1].startswith("mark")]
    assert axis == [("Δ", "mark.edit"), ("!", "mark.alert")]  # the alert wins its cell
    r = frame.readings[0]
    assert (r.step, r.value, r.name) == (600, 600, "loss") and r.mean < r.value
    assert "step 600" in frame.text() and "600" in frame.text()
    assert any(key == "cursor" for row in cells(frame)[1] for key in row)


def test_few_rows_change_while_a_run_goes_on():
    rng = np.random.default_rng(0)
    plot, series = Plot(), Series("loss")
    changed, previous, limits = [], None, set()
    for k in range(200):
        steps = np.arange(k * 20, k * 20 + 20)
        series.append(steps, 1 + np.exp(-steps / 800) + 0.02 * rng.normal(size=20))
        frame = plot.render(120, 30, [series], FrameOptions(legend=False))
        if k >= 50:
            changed.append(sum(new != old for new, old in zip(frame.rows, previous.rows, strict=True)))
            limits.add((frame.x_limits, frame.y_limits))
        previous = frame
    assert len(limits) < 12
    assert np.median(changed) <= 4


def test_unchanged_data_give_an_unchanged_frame():
    plot, series = Plot(), [noisy(3000)]
    first = plot.render(100, 20, series)
    assert plot.render(100, 20, series).rows == first.rows
    assert not set(map(tuple, plot.render(90, 20, series).rows)) & set(map(tuple, first.rows))


def test_an_updated_plot_draws_what_a_fresh_one_draws():
    plot, series = Plot(), Series("loss")
    data = np.random.default_rng(3).normal(size=4000).cumsum()
    for k in range(0, 4000, 250):
        series.append(np.arange(k, k + 250), data[k : k + 250])
        options = FrameOptions(x_window=(0, 5000), y_window=(-200, 200))
        frame = plot.render(100, 20, [series], options)
    assert frame.rows == render(100, 20, [series], options).rows


def test_truncation_is_seen():
    plot, series = Plot(), noisy(1000)
    plot.render(80, 20, [series])
    series.truncate(100)
    assert plot.render(80, 20, [series]).x_limits[1] <= 150


def test_following_window_jumps_half_a_page():
    series, plot, seen = Series("loss"), Plot(), []
    for k in range(0, 1000, 10):
        series.append(np.arange(k, k + 10), np.ones(10))
        seen.append(plot.render(80, 12, [series], FrameOptions(follow=200)).x_limits)
    assert seen[-1] == (800, 1000)
    assert len(set(seen[30:])) <= 8


def test_planned_end_bounds_the_axis():
    assert render(80, 12, [noisy(950)], FrameOptions(last_step=1000)).x_limits == (0, 1000)
    assert render(80, 12, [], FrameOptions(last_step=1000)).x_limits == (0, 1000)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30))
def test_limits_always_hold_the_data(values):
    y = Limits(0.08)
    lo = hi = values[0]
    for v in values:
        lo, hi = min(lo, v), max(hi, v)
        a, b = y.fit_around(lo, hi)
        assert a <= lo and hi <= b and a < b


def test_x_limits_grow_by_a_fifth_at_least():
    x, seen = Limits(GROW_X), []
    for hi in range(1, 20_000, 7):
        limits = x.fit_growing(0, hi)
        if not seen or limits != seen[-1]:
            seen.append(limits)
    ends = [hi for _, hi in seen]
    assert all(b >= 1.19 * a for a, b in pairwise(ends)) and len(seen) < 60


@settings(max_examples=80, deadline=None)
@given(st.floats(-1e8, 1e8), st.floats(1e-6, 1e8), st.integers(2, 12))
def test_ticks_are_inside_and_their_labels_short_and_different(lo, span, count):
    values, step = ticks(lo, lo + span, count)
    assert len(values) <= count + 2
    slack = step * 1e-6 + abs(lo) * 1e-12
    assert all(lo - slack <= v <= lo + span + slack for v in values)
    if span > abs(lo) * 1e-5:
        labels = [label(v, step) for v in values]
        assert len(set(labels)) == len(labels)
        assert all(len(text) <= (8 if span > abs(lo) * 1e-2 else 12) for text in labels)


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [(0, 1, "0"), (1500, 500, "1.5k"), (2000, 500, "2k"), (2e6, 5e5, "2M"), (0.25, 0.05, "0.25"), (1e-5, 1e-5, "1e-5")],
)
def test_labels(value, step, text):
    assert label(value, step) == text


def test_log_ticks_readings_and_windows():
    assert log_ticks(0.01, 100, 2).tolist() == pytest.approx([0.01, 1, 100])
    assert log_ticks(0.01, 100, 4).tolist() == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert [reading(v) for v in (0.123456, 1234.5, 56789.0, 1.5e-7, 0)] == ["0.1235", "1234", "56789", "1.50e-7", "0"]
    assert zoomed((0, 100), 0.5) == (25, 75) and zoomed((0, 100), 0.5, 0) == (0, 50)
    assert panned((0, 100), 0.5) == (50, 150)


def test_importing_the_package_is_light():
    code = (
        "import sys, tui_gen.draw\n"
        "from tui_gen.draw import axes, blocks, curves, kitty, place, series, sixel, terminal\n"
        "print([m for m in ('torch', 'textual', 'rich', 'PIL', 'tui_gen.runs') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_clock_is_straight_between_measurements_and_goes_on_at_the_latest_speed():
    clock = Clock([10, 20, 40], [1.0, 3.0, 4.0])
    assert [clock.seconds(step) for step in (0, 5, 15, 30, 40, 60)] == [0, 0.5, 2, 3.5, 4, 5]
    assert [clock.step(seconds) for seconds in (0, 0.5, 2, 3.5, 4, 5)] == [0, 5, 15, 30, 40, 60]
    assert not Clock([], []) and not Clock([5], [0.0]) and not Clock([np.nan], [1.0])


@pytest.mark.parametrize("last", [0.4, 3, 50, 200, 4000, 90_000, 3e6, 4e9])
def test_times_below_an_axis_are_round_few_and_differ(last):
    found = Clock([1000], [last]).ticks(0, 1000, 8)
    assert 3 <= len(found) <= 17 and len({name for _, name in found}) == len(found)
    steps = [step for step, _ in found]
    assert steps == sorted(steps) and steps[0] >= 0 and steps[-1] <= 1000 + 1e-6
    assert found[0] == (0.0, "0")


@given(st.floats(0, 1e7), st.sampled_from(DISTANCES))
def test_a_time_is_short(seconds, distance):
    assert 1 <= len(time_label(seconds, distance)) <= 7
    assert [time_label(one) for one in (0, 45, 90, 720, 3900, 7200, 190_000)] == [
        "0", "45s", "1m30", "12m", "1h05", "2h", "2d4h",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["abc ─┤⣿▀", "数⣿", "⣿é", "e\u0301⣿", "", "ﾊ⣿", "★⣿"])
def test_a_text_is_as_wide_as_its_characters_whatever_is_beside_them(text):
    narrow = [chr(code) for code in (*range(0x20, 0x7F), *range(0x2500, 0x25A0), *range(0x2800, 0x2900))]
    assert {unicodedata.east_asian_width(c) for c in narrow}.isdisjoint("WF")
    assert width_of("".join(narrow)) == len(narrow)
    wide = sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)
    assert width_of(text) == wide == width_of(text + "⣿") - 1
