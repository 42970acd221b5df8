"""The y axis: what is in view, what is said of the rest, values of any sign, and lines that are told apart."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.test_draw_curves import cells, noisy
from tui_gen.draw.axes import label
from tui_gen.draw.canvas import dashes
from tui_gen.draw.curves import FrameOptions, Level, Plot, Series, render
from tui_gen.draw.scales import Scale, choose_scale, extent, worth

SCALES = [Scale(), Scale("log"), Scale("symmetric", 0.1), Scale("symmetric", 10.0)]


def labels(frame):
    """The values named at the y axis, top down."""
    found = [row[0][0].strip() for row in frame.rows[frame.area.y : frame.area.y + frame.area.height]]
    return [text for text in found if text]


def falling(n=4000, first=50.0, last=10.0, over=0.02, seed=0, noise=0.3):
    """A loss that falls in the first steps and then hardly any more."""
    x = np.arange(n)
    return last + (first - last) * np.exp(-x / (over * n)) + noise * np.random.default_rng(seed).normal(size=n)


# -- what is in view


def test_the_first_steps_do_not_flatten_the_plot_and_what_is_out_of_view_is_marked_and_said():
    values = falling()
    frame = render(100, 20, [Series("loss", np.arange(4000), values)])
    low, high = frame.y_limits
    assert high < 20 and low < values.min()
    out = int((values > high).sum())
    assert frame.outside == out > 0
    chars, styles = cells(frame)
    assert re.match(rf"▲+ {out} values clipped, to (4\d\.\d|50)", chars[0])
    assert styles[0][0] == "line.0" and "▲" not in "".join(chars[1:]) and "▼" not in "".join(chars)
    whole = render(100, 20, [Series("loss", np.arange(4000), values)], FrameOptions(whole=True))
    assert whole.y_limits[1] > values.max() and whole.outside == 0 and "▲" not in whole.text()


def test_below_it_is_the_same_and_a_single_value_is_named_itself():
    values = np.tile([-1.0, -1.2, -1.1], 1000)
    values[1500] = -900
    frame = render(100, 20, [Series("elbo", np.arange(3000), values)], FrameOptions(ascii=True))
    chars, _ = cells(frame)
    assert frame.outside == 1 and frame.y_limits[0] > -3
    assert re.fullmatch(r" *\**v\** 1 value clipped, to -900 *", chars[-1])
    assert abs(frame.step_at(frame.area.x + chars[-1].index("v")) - 1500) < 40


def test_a_curve_that_falls_all_along_is_shown_whole():
    x = np.arange(2000)
    for values in (100 * 0.999**x, 5 - x / 500, np.sin(x / 100), np.full(2000, 3.0)):
        frame = render(100, 20, [Series("loss", x, values)])
        assert frame.outside == 0 and frame.y_limits[0] <= values.min() and frame.y_limits[1] >= values.max()


def test_a_few_values_are_never_left_out_nor_one_beside_a_constant():
    assert render(100, 20, [Series("val", [10], [3.0]), Series("b", [10], [900.0])]).outside == 0
    values = np.full(3000, 16.0)  # units that all become active in the first steps
    values[:4] = [0, 3, 9, 14]
    frame = render(100, 20, [Series("units", np.arange(3000), values)])
    assert frame.outside == 0 and frame.y_limits[0] < 0


def test_a_window_beyond_what_single_precision_can_be_shows_nothing_without_a_warning():
    series = Series("loss", np.arange(500), np.linspace(1, 2, 500), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert render(100, 20, [series], FrameOptions(y_window=(1e39, 1e40))).outside == 500
        assert render(100, 20, [series], FrameOptions(y_window=(-1e40, -1e39))).outside == 500


def test_the_newest_values_are_always_in_view():
    values = np.r_[1 + 0.1 * np.random.default_rng(0).normal(size=3900), np.geomspace(1, 1e6, 100)]
    frame = render(100, 20, [Series("loss", np.arange(4000), values)], FrameOptions(smoothing=0.5))
    assert frame.y_limits[1] > 8e5


def test_a_validation_far_above_is_no_outlier():
    train = Series("train", np.arange(4000), falling(last=1.0, first=1.5))
    val = Series("val", np.arange(199, 4000, 200), np.linspace(2, 30, 20), smooth=False)
    frame = render(100, 20, [train, val])
    assert frame.outside == 0 and frame.y_limits[1] > 30


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e12, 1e12) | st.just(float("nan")), min_size=1, max_size=300),
    st.booleans(), st.booleans(), st.sampled_from([0.0, 0.9]),
)  # fmt: skip
def test_what_is_outside_is_what_is_not_between_the_limits(values, log, plain, smoothing):
    frame = render(
        70, 14, [Series("a", np.arange(len(values)), values)], FrameOptions(log_y=log, ascii=plain, smoothing=smoothing)
    )
    low, high = frame.y_limits
    finite = np.array([one for one in values if np.isfinite(one)])
    slack = 1e-6 * max(abs(low), abs(high))
    assert int(((finite < low - slack) | (finite > high + slack)).sum()) <= frame.outside
    assert frame.outside <= int(((finite <= low + slack) | (finite >= high - slack)).sum())


def test_the_axis_does_not_jump_to_and_fro_where_outliers_are_about_to_leave():
    rng, plot, series, limits = np.random.default_rng(0), Plot(), Series("loss"), []
    for k in range(300):
        x = np.arange(k * 20, k * 20 + 20)
        series.append(x, 10 + 40 * np.exp(-x / 60) + 0.3 * rng.normal(size=20))
        limits.append(plot.render(120, 30, [series]).y_limits)
    changes = [k for k in range(1, 300) if limits[k] != limits[k - 1]]
    assert limits[0][1] > 45 and limits[-1][1] < 20 and len(changes) < 12


# -- values of any sign on a logarithmic axis


@pytest.mark.parametrize("scale", SCALES, ids=lambda one: f"{one.kind}-{one.threshold}")
def test_heights_rise_with_values_and_lead_back_to_them(scale):
    values = np.geomspace(1e-6, 1e9, 40)
    if scale.kind != "log":
        values = np.r_[-values[::-1], 0.0, values]
    heights = scale.forward(values)
    assert (np.diff(heights) > 0).all()
    assert [scale.inverse(float(one)) for one in heights] == pytest.approx(values.tolist(), rel=1e-6, abs=1e-7)
    assert np.isnan(Scale("log").forward(np.array([0.0, -1.0]))).all()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([-23.0, -45.0, -30.0], {"-25", "-40"}),
        ([-5.0, 0.0, 400.0, 3.0], {"0", "10", "100"}),
        ([0.0, 0.0, 16.0, 12.0], {"0", "10"}),
        ([-1000.0, -10.0, 0.1, 1.0, 500.0], {"-10", "0", "10"}),
        ([0.0, 0.0, 0.0], {"0"}),
    ],
)
def test_values_that_have_no_logarithm_are_drawn_on_a_symmetric_scale(values, named):
    series = Series("elbo", np.arange(300), np.resize(values, 300))
    frame = render(100, 30, [series], FrameOptions(log_y=True, smoothing=0.0))
    assert frame.scale.kind == "symmetric" and named <= set(labels(frame)), labels(frame)
    assert frame.y_limits[0] <= min(values) and frame.y_limits[1] >= max(values) and frame.outside == 0
    for text in labels(frame):
        row = next(i for i, one in enumerate(frame.rows) if one[0][0].strip() == text)
        assert label(frame.value_at(row), 1e-9) is not None
    chars, _ = cells(frame)
    assert sum(c != " " for line in chars for c in line) > 70  # every one of them


def test_one_curve_below_zero_does_not_vanish_beside_one_above():
    x = np.arange(500)
    frame = render(100, 20, [Series("a", x, 10.0 + x), Series("b", x, -10.0 - x)], FrameOptions(log_y=True))
    styles = cells(frame)[1]
    assert {"line.0", "line.1"} <= {key for row in styles for key in row}
    assert render(100, 20, [Series("a", x, 10.0 + x)], FrameOptions(log_y=True)).scale.kind == "log"


def test_the_threshold_of_a_symmetric_scale_stays():
    before = choose_scale(True, [np.array([-3.0, 200.0])], Scale())
    assert before == Scale("symmetric", 1.0)
    assert choose_scale(True, [np.array([-30.0, 200.0])], before) == before
    assert choose_scale(True, [np.array([-0.02, 200.0])], before).threshold == pytest.approx(0.01)
    assert choose_scale(False, [np.array([-1.0])], before) == Scale()


def test_ticks_are_round_and_at_least_two():
    steps = {1, 2, 5}
    for low, high in ((21.3, 26.9), (0, 1), (-3.2, 3.1), (1e-4, 3e-4), (99.5, 100.4), (-45, -23)):
        frame = render(80, 20, [Series("a", np.arange(500), np.linspace(low, high, 500))])
        values = [float(one.replace("k", "e3")) for one in labels(frame)]
        assert len(values) >= 3 and all(one == pytest.approx(float(f"{one:.4g}")) for one in values)
        distance = abs(values[0] - values[1])
        assert round(distance / 10 ** np.floor(np.log10(distance) + 1e-9)) in steps, values
    frame = render(80, 12, [Series("val", [299], [25.0])])
    assert [text for text in frame.rows[-1][0][0].split() if "." in text] == []  # no half steps


# -- lines that are told apart


def test_a_line_is_dashed_by_its_slot_and_a_validation_is_dotted():
    patterns = [dashes(slot, 40) for slot in range(8)]
    assert patterns[0].all() and not any(one.all() for one in patterns[1:])
    assert len({one.tobytes() for one in patterns[:4]}) == 4
    assert all((one == patterns[4]).all() for one in patterns[5:])
    x = np.arange(3000)
    frame = render(120, 24, [Series("a", x, np.full(3000, 1.0)), Series("b", x, np.full(3000, 2.0))])
    _, styles = cells(frame)
    drawn = {slot: max(sum(key == f"line.{slot}" for key in row) for row in styles) for slot in (0, 1)}
    assert drawn[1] < 0.9 * drawn[0]


def test_dashes_leave_out_nothing_that_was_measured():
    values = np.ones(3000)
    values[::50] = 5.0
    series = [Series("a", np.arange(3000), values * 2), Series("b", np.arange(3000), values)]
    dashed = render(120, 24, series, FrameOptions(smoothing=0.0))
    columns = {x for row in cells(dashed)[1] for x, key in enumerate(row) if key == "line.1"}
    assert len(columns) >= 2990 / dashed.x_limits[1] * dashed.area.width - 2


def test_curves_are_named_where_they_end_and_validations_are_points():
    train = noisy(3000, name="train")
    val = Series("val", np.arange(499, 3000, 500), np.linspace(0.9, 0.4, 6), slot=4, smooth=False)
    chars, styles = cells(render(120, 24, [train, val]))
    text = "\n".join(chars)
    assert "train" in text and "val" in text and text.count("○") == 6
    row = next(y for y, line in enumerate(chars) if " val" in line)
    assert styles[row][chars[row].index("val")] == "line.4"
    alone = cells(render(120, 24, [train]))[0]
    assert "train" not in "\n".join(alone)  # the legend has it
    ended = render(120, 24, [train, val], FrameOptions(last_step=2999))
    assert "train" in "\n".join(cells(ended)[0])  # no room to the right: above or below


@pytest.mark.parametrize("plain", [False, True])
def test_a_single_measurement_has_its_value_beside_it(plain):
    train = Series("train", np.arange(3000), falling(3000, noise=0.05))
    val = Series("val", [2999], [10.25], slot=4, smooth=False)
    frame = render(110, 20, [train, val], FrameOptions(ascii=plain, last_step=4000))
    assert "val 10.25" in "\n".join(cells(frame)[0])
    alone = render(60, 12, [Series("fid", [0], [3.25], slot=4, smooth=False)], FrameOptions(ascii=plain))
    assert ("# 3.25" if plain else "○ 3.25") in "\n".join(cells(alone)[0])


def test_names_that_have_no_room_or_take_two_cells_break_nothing():
    x = np.arange(100)
    for width in (9, 24, 30, 60):
        for name in ("漢字" * 3, "x" * 300, "", "a\u0301b"):
            frame = render(width, 10, [Series(name, x, x / 7), Series("b", x, x / 9)])
            assert all(len("".join(text for text, _ in row)) >= 1 for row in frame.rows)


def test_extents_of_nothing_and_of_infinities():
    nothing = np.full(50, np.nan)
    assert extent(nothing, nothing, float("nan")) is None
    one = extent(np.zeros(50), np.ones(50), float("nan"))
    assert one.whole == one.most == (0.0, 1.0) and worth([one], False, False) == (0.0, 1.0, False)


# -- figures to come to


def test_a_level_near_the_curves_is_in_view_and_stands_at_its_value():
    values = np.linspace(-45, -30, 500)
    options = FrameOptions(levels=[Level(-24.7, "figure ≥ -24.7")])
    frame = render(100, 20, [Series("elbo", np.arange(500), values)], options)
    rows = [y for y, line in enumerate(cells(frame)[0]) if "╌figure ≥ -24.7" in line]
    assert len(rows) == 1 and frame.y_limits[1] > -24.7
    top, bottom = (frame.value_at(frame.area.y + rows[0] + half) for half in (-0.5, 0.5))
    assert bottom < -24.7 < top
    assert cells(frame)[1][rows[0]].count("level") > 80


@pytest.mark.parametrize(("value", "row", "arrow"), [(500.0, 0, "↑"), (-500.0, -1, "↓")])
def test_a_level_far_from_the_curves_does_not_flatten_them_and_its_name_says_where_it_is(value, row, arrow):
    series = [Series("elbo", np.arange(500), np.linspace(-45, -30, 500))]
    frame = render(100, 20, series, FrameOptions(levels=[Level(value, "figure")]))
    assert frame.y_limits == render(100, 20, series).y_limits
    assert f"{arrow} figure" in cells(frame)[0][row] and "╌" not in frame.text()


def test_a_level_is_drawn_under_the_curves_in_plain_characters_and_not_where_it_has_no_height():
    series = [Series("loss", np.arange(500), np.geomspace(100, 1, 500))]
    level = Level(10.0, "figure ≤ 10")
    for options in (FrameOptions(levels=[level], log_y=True), FrameOptions(levels=[level], ascii=True)):
        frame = render(100, 20, series, options)
        bare = render(100, 20, series, replace(options, levels=()))
        for line, other in zip(cells(frame)[0], cells(bare)[0]):
            assert all(a == b or b == " " or "figure" in line for a, b in zip(line, other))
        assert ("figure <= 10" if options.ascii else "╌figure ≤ 10") in frame.text()
    frame = render(100, 20, series, FrameOptions(levels=[Level(-3.0, "figure"), Level(math.nan, "none")], log_y=True))
    assert "figure" not in frame.text() and "none" not in frame.text()


@pytest.mark.parametrize("width", [44, 60, 66, 100])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_name_of_a_level_out_of_view_is_not_written_over_what_is_clipped(width, sign):
    values = sign * np.concatenate([np.linspace(0, 10, 100), np.linspace(20, 500.5, 300)])
    options = FrameOptions(y_window=(-12.0, 12.0), levels=[Level(sign * 600.0, "figure")])
    frame = render(width, 20, [Series("a", range(400), values)], options)
    text = "\n".join("".join(part for part, _ in row) for row in frame.rows)
    assert f"300 values clipped, to {'-' * (sign < 0)}500.5" in text and f"{'↑' if sign > 0 else '↓'} figure" in text
