"""What the reports say, piece by piece: quantities, trends, plots, grids, tables, outlets, overrides."""

import functools
import io
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests import fake_worker
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import events, lines, progress, quantities, runs, states
from tui_gen.app.shell.status import facts
from tui_gen.draw.curves import Series
from tui_gen.draw.text import width_of
from tui_gen.report import display, plain, summary, tables
from tui_gen.report.curves import curves_text
from tui_gen.report.stdout import Outlet
from tui_gen.verdicts import bottleneck
from tui_gen.view import RunView


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"), (7500, "2 h 05 min"), (273600, "3 d 04 h"), (None, "–"), (math.inf, "–"), (-3, "0 s"),
    ],
)  # fmt: skip
def test_durations(seconds, text):
    assert quantities.duration(seconds) == text


def test_sizes_rates_metrics_and_ages():
    assert [quantities.size(n) for n in (0, 999, 1500, 312e6, 4.2e9)] == ["0 B", "999 B", "1.5 kB", "312 MB", "4.2 GB"]
    assert [quantities.rate(n) for n in (0.042, 9.5, 87.2, 812.4, 9600, 104_200)] == [
        "0.042", "9.5", "87", "812", "9.6k", "104k",
    ]  # fmt: skip
    assert [quantities.metric(n) for n in (43.2345, 1e-7, math.nan, None)] == ["43.23", "1e-07", "nan", "nan"]
    assert [quantities.span(n) for n in (0.2, 18, 60, 90, 600, 7200)] == [
        "0.2 s", "18 s", "1 min", "1 min 30 s", "10 min", "2 h",
    ]  # fmt: skip
    assert [quantities.moment(n) for n in (35e-6, 0.0028, 0.804, 4.951)] == ["0.035 ms", "2.8 ms", "804 ms", "4.95 s"]
    assert [quantities.link_rate(n) for n in (0, 499, 12_300, 4.2e6)] == ["0 kB/s", "0 kB/s", "12 kB/s", "4200 kB/s"]
    assert [quantities.ago(n) for n in (5, 90, 7200, 200_000)] == ["5 s", "2 min", "2 h", "2 d"]


@given(st.floats(0, 1e15), st.floats(0, 1e15))
def test_sizes_stay_short_and_in_order(one, other):
    assert len(quantities.size(one)) <= 7
    if quantities.size(one).split()[1] == quantities.size(other).split()[1] and one < other:
        assert float(quantities.size(one).split()[0]) <= float(quantities.size(other).split()[0])


def test_trends():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 400)
    steps = np.arange(400)
    assert display.trend(Series("", steps, 5 - steps / 100 + noise)) == "↓"
    assert display.trend(Series("", steps, steps / 100 + noise)) == "↑"
    assert display.trend(Series("", steps, 3 + noise)) == "→"
    assert display.trend(Series("", steps[:20], steps[:20])) == " "
    assert display.trend(Series("", steps, np.full(400, np.nan))) == " "


def test_sparklines_show_shape_and_gaps():
    steps = np.arange(64)
    line = display.sparkline(Series("", steps, steps * 1.0), 8)
    assert line == "▁▂▃▄▅▆▇█"
    falling = np.r_[1000.0, 400.0, 9 - steps / 9]  # the first steps are not all that can be seen
    line = display.sparkline(Series("", np.arange(66), falling), 32)
    assert line[0] == "█" and line[-1] == "▁" and len(set(line)) >= 6
    gappy = np.where(steps < 32, np.nan, 1.0)
    assert display.sparkline(Series("", steps, gappy), 8) == "    ▁▁▁▁"
    assert display.sparkline(Series("", steps, np.full(64, np.nan)), 8) == " " * 8
    assert display.sparkline(Series(), 8) == "" and display.sparkline(Series("", steps, steps), 0) == ""


@given(st.lists(st.one_of(st.floats(-1e100, 1e100), st.just(math.nan)), min_size=2, max_size=300), st.integers(1, 80))
def test_sparklines_never_fail(values, width):
    line = display.sparkline(Series("", range(len(values)), values), width)
    assert len(line) == min(width, len(values)) and set(line) <= set(display.BARS + " ")


def test_the_plots_at_the_end_have_what_the_model_is_judged_by_and_its_loss_with_legends_above():
    run = fake_worker.make_run()
    view = RunView(fake_worker.record(run, steps=300))
    view.poll()
    view.plan.judged = ["kl"]
    for width in (50, 80, 100, 180):
        text = curves_text(view, width, colour=False)
        lines = text.splitlines()
        assert max(map(len, lines)) <= width and "\x1b" not in text
        assert len(lines) == 14 * (2 if width < 90 else 1) and lines[0].startswith("vae/kl  ● train")
        legend = lines[0] if width >= 90 else lines[14]
        assert "vae/loss" in legend and "○ val" in legend
        assert not any("● train" in line for line in lines[1:14])  # nothing lies over the start of the curves
        assert {"0", "100", "200", "300"} <= set(lines[13].split())
    assert "\x1b[1;34m" in curves_text(view, 80, colour=True)
    assert curves_text(view, 80, colour=False, unicode=False).isascii()


def test_the_plot_is_logarithmic_where_it_must_be_and_robust_where_not():
    view = RunView(fake_worker.make_run())
    view.series = {"g/loss": Series("", range(1, 100), [1e4 / n**2 for n in range(1, 100)])}
    assert "logarithmic" in curves_text(view, 80, colour=False)
    view.series = {"g/loss": Series("", range(300), [1e4, 1e3, *(2 + n / 300 for n in range(298))])}
    text = curves_text(view, 80, colour=False)
    assert "logarithmic" not in text and "2 values clipped, to 10000" in text
    view.series = {"g/loss": Series("", [7], [3.5])}
    assert "● 3.5" in curves_text(view, 80, colour=False)
    view.series = {"g/loss": Series("", range(5), [math.nan] * 5)}
    assert curves_text(view, 80, colour=False) == ""
    view.series = {}
    assert curves_text(view, 80, colour=False) == ""


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_grids_of_any_kind_as_text(tmp_path, mode):
    file = tmp_path / "g.png"
    Image.effect_noise((64, 64), 50).convert(mode).save(file)
    text = summary.grid_text(file, 100, ascii=True)
    assert len(text.splitlines()) == 40 and max(map(len, text.splitlines())) <= 100
    blocks = summary.grid_text(file, 100, ascii=False)
    assert len(blocks.splitlines()) == 32 and "▀" in blocks
    Image.new("L", (4000, 3000)).save(file)
    assert len(summary.grid_text(file, 80, ascii=False).splitlines()) <= 40
    file.write_bytes(b"no picture")
    assert summary.grid_text(file, 100, ascii=True) == ""


def test_the_last_samples_come_before_other_previews():
    view = RunView(fake_worker.record(fake_worker.make_run(), steps=60))
    view.poll()
    view.samples.append(events.Sample(step=60, path=view.samples[-1].path, kind="trajectory"))
    view.samples.append(events.Sample(step=99, path="samples/gone.png"))
    found = summary.last_grid(view)
    assert (found.step, found.path, found.kind) == (60, "samples/000060.png", "samples")
    view.samples = view.samples[-2:-1]
    assert summary.last_grid(view).kind == "trajectory"
    assert any(line.startswith("  trajectory") for line in summary.ending(view, "stopped"))


def test_previews_of_text_are_printed_as_they_are():
    path = fake_worker.record(fake_worker.make_run(), steps=60)
    (path / "samples" / "000060-scores.txt").write_text("[bold]\tone\x1b[2J\n" + "line\n" * 100 + "\n\n")
    view = RunView(path)
    view.poll()
    view.samples = [
        events.Sample(step=30, path=view.samples[-1].path, kind="predictions"),
        events.Sample(step=60, path="samples/000060-scores.txt", kind="scores"),
        events.Sample(step=60, path=view.samples[-1].path, kind="saliency"),
    ]
    assert summary.last_grid(view).kind == "scores", "the first of the newest"
    stream = io.StringIO()
    summary.print_summary(Outlet(stream), view, "finished", graphics="off")
    lines = stream.getvalue().splitlines()
    start = lines.index("scores at step 60")
    assert lines[start + 1 : start + 3] == ["[bold]  one", "line"] and lines.count("line") == 59
    assert summary.text_lines(path / "samples" / "gone.txt") == []
    view.samples = [events.Sample(step=60, path="samples/000060-scores.txt")]
    assert any(line.endswith("-n 3 -o text.txt") for line in summary.ending(view, "finished"))


def test_sentences_at_the_end_of_a_run_are_parted_between_words_and_what_is_copied_is_left_whole(monkeypatch):
    """A terminal parts lines that are too long wherever they reach its edge."""
    view = RunView(fake_worker.record(fake_worker.make_run(), steps=60))
    view.poll()
    view.reason = "somebody thought better of it when they saw what it was going to cost"
    words = "others take the CPU: of 2 CPUs the run gets 0.5"
    cause = bottleneck.Bottleneck("crowded", "watch", words, "Wait for them.")
    monkeypatch.setattr(summary.bottleneck, "of_view", lambda view: cause)
    monkeypatch.setattr(summary, "terminal_width", lambda out: 40)
    stream = io.StringIO()
    summary.print_summary(Outlet(stream), view, "stopped", graphics="off")
    told = stream.getvalue().splitlines()
    assert told[told.index("others take the CPU: of 2 CPUs the run") + 1] == "gets 0.5. Wait for them."
    start = next(place for place, line in enumerate(told) if line.startswith("stopped at"))
    end = next(place for place, line in enumerate(told) if line.startswith("  run "))
    assert told[end].endswith(str(view.path)) and all(len(line) <= 40 for line in told[start:end])
    (whole,) = (line for line in summary.ending(view, "stopped") if line.startswith("stopped at"))
    assert whole.endswith(f": {view.reason}") and " ".join(" ".join(told[start:end]).split()).startswith(whole)


def test_columns_align_and_control_characters_go():
    rows = [("a", "long", "x"), ("bb\x1b[2J\x07", "漢字", "y")]
    assert lines.aligned(rows) == ["a   long  x", "bb  漢字  y"]
    assert lines.aligned([]) == []


def test_wrapping_keeps_lists_and_formulas():
    text = "One **bold** paragraph\nin two lines.\n\n- first item\n- second\n\n    loss = a\n    more = b"
    assert tables.wrapped(text, 60) == [
        "One bold paragraph in two lines.", "", "- first item", "- second", "", "    loss = a", "    more = b",
    ]  # fmt: skip


def test_progress_in_words():
    words = progress.preparation(events.Progress(what="mnist", done=5_100_000, total=9_900_000, unit="bytes"))
    assert words == "mnist 52% (5.1 MB of 9.9 MB)"
    words = progress.preparation(events.Progress(what="reading", done=3000, total=0, unit="images"))
    assert words == "reading (3,000 images)"
    assert progress.preparation(events.Progress(what="reading", done=0, total=0)) == "reading"


def test_both_screens_say_the_same_of_a_run(tmp_path):
    view = RunView(tmp_path)
    view.state, view.step = "running", 1200
    view.plan = events.Plan(steps=24_000, steps_per_epoch=140, batch_size=64, device="cpu (1 thread)")
    view.system = events.System(step=1200, steps_per_second=150.0, images_per_second=9600.0, memory=315_000_000)
    whole = "step 1,200/24,000 (5%)", "ETA 2 min 32 s", "150 it/s", "9.6k examples/s", "epoch 8.6", "mem 315 MB"
    assert set(whole) <= {*facts(view)}
    assert {*whole} - {whole[0], whole[4]} <= {*plain.pace(view)} and progress.where(view) == f"{whole[0]} {whole[4]}"


@pytest.mark.parametrize("state", (*runs.LIVE, *runs.ENDED))
def test_every_state_has_a_look(state):
    look = states.STATES[state]
    assert width_of(look.sign) == 1 and look.tone in states.ANSI and states.ANSI[look.tone][1]
    assert len({one.sign for one in states.STATES.values()}) == len(states.STATES)


@pytest.mark.parametrize(("total", "lines"), [(0, 1), (2000, 1), (999, 2)])
def test_progress_is_told_at_its_beginning_and_end_and_every_so_often(total, lines):
    """A server that does not say how large a file is has no last part, not many."""
    out = io.StringIO()
    display = plain.PlainDisplay(Outlet(out), every=3600.0)
    for done in range(1000):
        display.event(events.Progress(what="mnist", done=done, total=total, unit="bytes"))
    assert len(out.getvalue().splitlines()) == lines


def test_an_outlet_never_raises():
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w", encoding="ascii")
    outlet = Outlet(stream)
    outlet.line("héllo")
    assert os.read(reader, 100) == b"h?llo\n"
    os.close(reader)
    for _ in range(3):
        outlet.line("nobody")
    assert outlet.gone
    stream.close()
    outlet.line("closed")
    assert Outlet(io.StringIO()).write("x") == 1


def test_an_outlet_on_a_full_disk_loses_lines_not_the_run():
    code = (
        "import sys; from tui_gen.report.stdout import Outlet\n"
        "out = Outlet(sys.stdout); out.line('x' * 100); out.line('y')\n"
        "print(out.gone, file=sys.stderr)"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "False\n")


def test_json_lines_are_json_whatever_is_in_them():
    out = io.StringIO()
    display = plain.JsonDisplay(Outlet(out))
    display.event(events.Metrics(start=0, values={"a": [math.nan, 1.0]}))
    display.notice("warning", "one\ntwo \x1b[31m")
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert first["values"] == {"a": [None, 1.0]} and second["text"] == "one\ntwo \x1b[31m"


@functools.cache
def the_catalog() -> catalogs.Catalog:
    return catalogs.read()


KEYS = [*sorted(configs.keys("vae", "digits", the_catalog())), "train.nothing", "", "model.name"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KEYS), st.text(max_size=12)), max_size=4))
def test_any_overrides_give_a_config_or_problems(pairs):
    catalog = the_catalog()
    try:
        config = catalogs.resolve("vae-digits", catalog, [f"{key}={text}" for key, text in pairs])
    except configs.ConfigError as error:
        assert error.problems and all(str(problem) for problem in error.problems)
        return
    again = configs.load(configs.parse_toml(configs.dumps(config, catalog), "x"), catalog)
    assert again == config


@given(st.integers(1, 10**6), st.sampled_from(configs.LENGTHS))
def test_a_length_replaces_the_others(value, key):
    tables_ = {"model": {"name": "vae"}, "train": {"steps": 5, "epochs": 0, "minutes": 0}}
    new = configs.override(tables_, [f"{key}={value}"], the_catalog())
    found = {one: configs.get_key(new, one) for one in configs.LENGTHS}
    assert found == dict.fromkeys(configs.LENGTHS, 0) | {key: value}
    assert tables_["train"]["steps"] == 5
