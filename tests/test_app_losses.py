"""The losses pane: what is drawn where, what the crosshair reads, and how little is painted."""

from __future__ import annotations

import re
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest
from textual import events as keys_and_mouse

from tests.plot_host import Host, append, write_run
from tests.waiting import wait_for_async
from tui_gen import events
from tui_gen.app.panes.curves.bar import PlotBar
from tui_gen.app.panes.curves.looking import SMOOTHINGS
from tui_gen.draw.curves import Reading
from tui_gen.draw.legend import legend_rows
from tui_gen.draw.terminal import Terminal
from tui_gen.view import RunView

SIZES = [(80, 24), (120, 40), (200, 60)]


@pytest.fixture(autouse=True)
def no_verdict(monkeypatch):
    """The line above the plots has tests of its own."""
    monkeypatch.setattr("tui_gen.verdicts.health.verdict", lambda view: None)


CURVE = [100 * 0.99**step + 10 for step in range(400)]


@asynccontextmanager
async def drive(app: Host, size=(80, 24)):
    """Run `app`; its pilot, when everything is laid out and drawn."""
    async with app.run_test(size=size) as pilot:
        await settled(app, pilot)
        yield pilot


async def settled(app: Host, pilot) -> None:
    await pilot.pause()
    await wait_for_async(lambda: not app.losses._waiting, tick=pilot.pause, what="the plots")
    await pilot.pause()


def run_with(tmp_path, *more, losses=CURVE, planned=None):
    return write_run(tmp_path / "run", *more, losses=losses, planned=planned)


def dots(text):
    return sum(0x2800 < ord(character) < 0x2900 for character in text)


# -- the legend


def test_a_legend_without_room_counts_what_is_left_out():
    readings = [Reading(name, "●", "line.0", 0, 1.5, 1.5) for name in ("one", "two", "three", "four")]
    for width in range(8, 90):
        rows = legend_rows("a", readings, width, 1, False)
        text = "".join(run for run, _ in rows[0])
        assert len(rows) == 1 and len(text) == width
        shown = sum(f" {name} " in text for name in ("one", "two", "three", "four"))
        assert shown == 4 or f"+{4 - shown}" in text or width < 12


# -- what is drawn


@pytest.mark.parametrize("size", SIZES)
async def test_the_plot_fills_the_pane_at_every_size(tmp_path, size):
    app = Host(run_with(tmp_path), "losses")
    async with drive(app, size):
        lines = app.text().split("\n")
        assert len(lines) == size[1] and all(len(line) == size[0] for line in lines)
        assert "vae/loss" in lines[2] and "● train" in lines[2]
        assert dots(app.text()) > size[0] / 2
        falling = [next((y for y, line in enumerate(lines) if dots(line[x])), None) for x in (10, size[0] // 2)]
        assert falling[0] < falling[1]




async def test_a_small_plot_is_drawn_exactly_so(tmp_path):
    app = Host(run_with(tmp_path, losses=[float(step % 10) for step in range(40)], planned=40), "losses")
    async with drive(app, (50, 14)) as pilot:
        for _ in SMOOTHINGS:
            await pilot.press("left_square_bracket")
        await settled(app, pilot)
        assert "\n".join(app.text().split("\n")[1:]) == EXACT


async def test_many_metrics_get_more_plots_where_there_is_room(tmp_path):
    values = {f"vae/{name}": CURVE for name in ("loss", "kl", "reconstruction", "elbo")}
    run = run_with(tmp_path, events.Metrics(start=0, values=values), losses=())
    for size, count in ((80, 24), 1), ((120, 40), 4), ((200, 60), 4), ((50, 12), 1):
        app = Host(run, "losses")
        async with drive(app, size):
            assert len(app.losses.shown_panels()) == count == sum(plot.display for plot in app.losses.plots)


async def test_n_chooses_how_many_plots_and_pages_turn(tmp_path):
    values = {f"vae/{name}": CURVE for name in ("loss", "kl", "reconstruction", "elbo")}
    app = Host(run_with(tmp_path, events.Metrics(start=0, values=values), losses=()), "losses")
    async with drive(app) as pilot:
        await pilot.press("n")
        await settled(app, pilot)
        titles = [panel.title for panel in app.losses.panels]
        assert titles == ["vae/loss", "vae/kl", "vae/reconstruction", "vae/elbo"]
        for title in [*titles, titles[0]]:
            assert app.text().split("\n")[2][1:].startswith(title)
            await pilot.press("pagedown")
            await settled(app, pilot)
        await pilot.press("pageup", "pageup")
        assert app.losses.shown_panels()[0].title == titles[-1]
        for count in (2, 3, 4, 1):  # 1 is what has room
            await pilot.press("n")
            await settled(app, pilot)
            assert len(app.losses.shown_panels()) == count


async def test_nan_is_a_gap_and_the_rest_is_drawn(tmp_path):
    losses = [None if 100 <= step < 200 else 5.0 for step in range(400)]
    app = Host(run_with(tmp_path, losses=losses, planned=400), "losses")
    async with drive(app, (120, 30)) as pilot:
        frame = app.losses.plots[0].drawing.frame
        lines = app.text().split("\n")
        filled = [frame.step_at(x - 1) for x in range(10, 118) if any(dots(line[x]) for line in lines)]
        assert not [step for step in filled if 106 < step < 194]
        assert min(filled) < 10 and max(filled) > 390
        await pilot.press("home", *["right"] * 5)
        app.losses.look(cursor=150.0)
        assert "train nan" in app.text()


async def test_one_spike_among_1e5_steps_is_seen_and_drawing_is_quick(tmp_path):
    values = np.full(100_000, 1.0)
    values[77_777] = 9.0
    app = Host(run_with(tmp_path, losses=values.tolist()), "losses")
    async with drive(app, (120, 40)) as pilot:
        top = app.losses.plots[0].drawing.frame
        lines = app.text().split("\n")
        columns = [x for x in range(10, 118) if any(dots(line[x]) for line in lines[4:8])]
        assert len(columns) == 1 and abs(top.step_at(columns[0] - 1) - 77_777) < 2_000
        # a tick that brings 10 values may cost a small part of the 100 ms it has, whoever else the cores work for
        best = 1.0
        for tick in range(5):
            append(app.view.path, events.Metrics(start=100_000 + 10 * tick, values={"vae/loss": [1.0] * 10}))
            started = time.thread_time()
            app.action_update()
            best = min(best, time.thread_time() - started)
            await pilot.pause()
        assert best < 0.1


# -- keys


async def test_the_crosshair_reads_the_values_at_its_step(tmp_path):
    app = Host(run_with(tmp_path, losses=[float(step) for step in range(1, 401)], planned=400), "losses")
    async with drive(app, (100, 30)) as pilot:
        await pilot.press("home")
        await settled(app, pilot)
        assert "step 1 · epoch 0.01" in app.text() and "● train 1 " in app.text()
        await pilot.press("end")
        await settled(app, pilot)
        assert "step 400 · epoch 4.00" in app.text() and "● train 400 " in app.text()
        for _ in range(5):
            await pilot.press("left")
        await settled(app, pilot)
        step = int(app.losses.looking.cursor)
        assert 360 < step < 400 and f"step {step}" in app.text() and f"● train {step} " in app.text()
        await pilot.press("escape")
        await settled(app, pilot)
        assert "step 3" not in app.text().split("\n")[1] and app.losses.looking.cursor is None


async def test_the_crosshair_says_where_a_sparse_curve_was_measured_and_reads_nothing_before_its_first(tmp_path):
    val = events.Metrics(start=99, stride=200, values={"val/vae/loss": [0.5, 0.25]})
    run = write_run(tmp_path / "run", val, losses=[float(step) for step in range(1, 401)], planned=400)
    app = Host(run, "losses")
    async with drive(app, (100, 30)) as pilot:
        read = {}
        for step in (50, 100, 190, 299, 300, 399):
            app.losses.look(cursor=float(step))
            await settled(app, pilot)
            curves = app.losses.plots[0].drawing.frame.readings
            read[step] = [("–" if one.absent else one.value, one.at) for one in curves]
            value, at = read[step][1]
            assert f"● train {step} " in app.text() and f" {value}{'@' * bool(at)}{at} " in app.text().split("\n")[2]
        assert {step: one[1] for step, one in read.items()} == {
            50: ("–", ""), 100: (0.5, ""), 190: (0.5, "100"), 299: (0.25, ""), 300: (0.25, ""), 399: (0.25, "300")
        }  # fmt: skip


async def test_the_mouse_reads_keeps_zooms_and_turns_the_wheel(tmp_path):
    app = Host(run_with(tmp_path, losses=[float(step) for step in range(1, 401)], planned=400), "losses")
    async with drive(app, (100, 30)) as pilot:
        plot = app.losses.plots[0]
        area = plot.drawing.frame.area
        middle = (area.x + area.width // 2, 10)
        await pilot.hover(plot, offset=middle)
        await settled(app, pilot)
        hovered = app.losses.looking.cursor
        assert 190 <= hovered <= 210 and f"train {hovered:.0f}" in app.text()
        await pilot.hover(PlotBar)
        await wait_for_async(lambda: app.losses.looking.cursor is None, tick=pilot.pause, what="the crosshair to go")
        await pilot.click(plot, offset=middle)
        await pilot.hover(PlotBar)
        await settled(app, pilot)
        assert app.losses.looking.cursor == hovered  # clicked: kept
        await pilot.mouse_down(plot, offset=(area.x + 10, 10))
        await pilot.hover(plot, offset=(area.x + 20, 10))
        await pilot.hover(plot, offset=(area.x + 40, 10))
        await pilot.mouse_up(plot, offset=(area.x + 40, 10))
        await settled(app, pilot)
        low, high = app.losses.looking.window
        assert 40 < low < 50 and 170 < high < 190
        assert plot.drawing.frame.x_limits == (low, high)

        async def mouse(*kinds, x=area.x + area.width // 2, button=0, shift=False, ctrl=False):
            for place, kind in enumerate(kinds):
                plot.post_message(kind(plot, x + 9 * place, 10, 0, 0, button, shift, False, ctrl))
                await pilot.pause()
            await settled(app, pilot)
            return app.losses.looking.window

        nearer = await mouse(keys_and_mouse.MouseScrollUp)
        assert nearer[0] > low and nearer[1] < high and nearer[1] - nearer[0] == pytest.approx(0.8 * (high - low))
        on = await mouse(keys_and_mouse.MouseScrollUp, shift=True)
        assert on[0] < nearer[0] and on[1] - on[0] == pytest.approx(nearer[1] - nearer[0])
        assert (await mouse(keys_and_mouse.MouseScrollDown, shift=True)) == pytest.approx(nearer)
        away = await mouse(keys_and_mouse.MouseScrollDown)
        assert away[1] - away[0] == pytest.approx(high - low)
        drag = keys_and_mouse.MouseDown, keys_and_mouse.MouseMove, keys_and_mouse.MouseUp
        moved = await mouse(*drag, button=1, ctrl=True)
        assert moved[0] < away[0] and moved[1] - moved[0] == pytest.approx(high - low), "taken along with ctrl"


async def test_zoom_pan_reset_and_follow(tmp_path):
    app = Host(run_with(tmp_path, planned=400), "losses")
    async with drive(app, (100, 30)) as pilot:

        def limits():
            return app.losses.plots[0].drawing.frame.x_limits

        whole = limits()
        await pilot.press("end", "plus")
        low, high = limits()
        assert high == pytest.approx(400) and high - low == pytest.approx(200, abs=2)
        await pilot.press("shift+left")
        assert limits()[0] == pytest.approx(low - 50, abs=2)
        for _ in range(20):
            app.losses.action_pan(-0.25)
        assert limits()[0] == 0, "as the whole of it begins"
        for _ in range(40):
            app.losses.action_zoom(0.5)
        assert limits()[1] - limits()[0] >= 1.9
        await pilot.press("minus")
        for _ in range(40):
            app.losses.action_zoom(2.0)
        assert app.losses.looking.window is None and limits() == whole
        await pilot.press("f")
        low, high = limits()
        assert high - low < 100 and high >= 399
        await pilot.press("a")
        assert limits() == whole and app.losses.looking.cursor is None


async def test_the_bar_works_by_mouse(tmp_path):
    app = Host(run_with(tmp_path), "losses")
    async with drive(app, (100, 30)) as pilot:
        bar = app.query_one(PlotBar)
        for word, test in (
            ("linear", lambda: app.losses.looking.log_y),
            ("+", lambda: app.losses.looking.smoothing == 4),
            ("−", lambda: app.losses.looking.smoothing == 3),
        ):
            await pilot.click(bar, offset=(app.text().split("\n")[1].index(word) - 1, 0))
            await settled(app, pilot)
            assert test(), word


async def test_marks_stand_on_the_axis_and_the_crosshair_tells_their_text(tmp_path):
    marks = [
        events.Edit(step=100, key="train.phases.vae.lr", old=1e-3, new=5e-4),
        events.Checkpoint(step=200, path="checkpoints/000200", reason="every 200 steps"),
        events.Alert(step=299, level="warning", what="spike", where="vae/loss", advice="Lower [b]the rate[/nope]"),
    ]
    app = Host(run_with(tmp_path, *marks, planned=400), "losses")
    async with drive(app, (120, 30)) as pilot:
        axis = next(line for line in app.text().split("\n") if "└" in line)
        assert [character for character in axis if character in "Δ▾!"] == ["Δ", "▾", "!"]
        for step, words in (
            (100, "Δ 100 train.phases.vae.lr: 0.001 → 0.0005"),
            (201, "▾ 200 checkpoint every 200 steps"),
            (300, "! 300 spike in vae/loss. Lower [b]the rate[/nope]"),
        ):
            app.losses.look(cursor=float(step))
            await pilot.pause()
            assert words in app.text()
            await pilot.resize_terminal(40, 30)
            await pilot.pause()
            bar = app.query_one(PlotBar).render_line(0).text
            assert words not in bar and bar.rstrip().endswith("…") and words in app.losses.help()[1]
            await pilot.resize_terminal(120, 30)
        app.losses.look(cursor=50.0)
        await pilot.pause()
        assert "Δ 100" not in app.text() and "Δ 100" not in app.losses.help()[1]


# -- the run


async def test_new_values_move_on_and_only_changed_rows_are_painted(tmp_path):
    run = run_with(tmp_path, planned=400, losses=CURVE[:200])
    app = Host(run, "losses")
    async with drive(app, (100, 30)) as pilot:
        plot = app.losses.plots[0]
        painted = []
        refresh = plot.refresh
        plot.refresh = lambda *regions, **more: (painted.extend(regions or [None]), refresh(*regions, **more))[1]
        append(run, events.Metrics(start=200, values={"vae/loss": CURVE[200:205]}))
        app.action_update()
        await pilot.pause()
        rows = {region.y for region in painted if region is not None}
        assert None not in painted and 0 < len(rows) < plot.size.height / 2, painted
        painted.clear()
        app.losses.update_view({"log", "progress"})
        app.losses.update_view({"series"})
        assert painted == []


async def test_validation_joins_its_training_curve(tmp_path):
    more = events.Metrics(start=49, stride=50, values={"val/vae/loss": [value + 3 for value in CURVE[49::50]]})
    app = Host(run_with(tmp_path, more), "losses")
    async with drive(app, (100, 30)):
        assert "● train" in app.text() and "○ val" in app.text() and app.text().count("○") == 8 + 1
        plot = app.losses.plots[0]
        looks = [plot._new_look(key).color for key in ("line.0", "line.4", "band.0")]
        assert len({look.triplet for look in looks}) == 3
        apart = [abs(a - b) for a, b in zip(looks[0].triplet, looks[1].triplet)]
        assert sum(apart) > 200  # not two shades of one colour


async def test_the_first_plot_is_that_of_what_the_model_is_judged_by(tmp_path):
    values = {f"vae/{name}": CURVE for name in ("loss", "lr", "kl", "elbo")}
    app = Host(run_with(tmp_path, events.Metrics(start=0, values=values), losses=()), "losses")
    async with drive(app) as pilot:
        assert [panel.title for panel in app.losses.panels] == ["vae/loss", "vae/kl", "vae/elbo", "vae/lr"]
        word = {"judged": ["sliced_wasserstein", "elbo"], "together": [["loss", "kl"]]}
        append(app.view.path, events.Plan(None, 100, 8, **word))
        app.action_update()
        await settled(app, pilot)
        append(app.view.path, events.Metrics(start=399, values={"val/vae/loss": [11.5]}))
        app.action_update()
        await settled(app, pilot)
        assert [panel.title for panel in app.losses.panels] == ["vae/elbo", "vae", "vae/lr"]
        assert app.text().split("\n")[2][1:].startswith("vae/elbo")
        await pilot.press("pagedown")
        await settled(app, pilot)
        assert "val loss 11.5" in app.text()  # measured once: its value stands beside it


@pytest.mark.parametrize("size", SIZES)
async def test_outliers_leave_the_plot_with_a_word_until_everything_is_asked_for(tmp_path, size):
    losses = [1000.0, 500.0, 200.0, *(10 + step % 3 / 10 for step in range(397))]
    app = Host(run_with(tmp_path, losses=losses), "losses")
    async with drive(app, size) as pilot:
        assert re.search(r"▲\S* 3 values clipped, to 1000", app.text()) and "outliers clipped" in app.text()
        assert app.losses.plots[0].drawing.frame.y_limits[1] < 20
        await pilot.press("c")
        await settled(app, pilot)
        assert "▲" not in app.text() and app.losses.plots[0].drawing.frame.y_limits[1] > 999


async def test_a_logarithmic_axis_of_values_below_zero_says_so(tmp_path):
    values = {"vae/elbo": [-value for value in CURVE], "vae/kl": CURVE}
    app = Host(run_with(tmp_path, events.Metrics(start=0, values=values), losses=()), "losses")
    async with drive(app) as pilot:
        await pilot.press("l", "n", "n")
        await settled(app, pilot)
        assert "vae/elbo ±log" in app.text() and "vae/kl  ●" in app.text()
        assert "-100┤" in app.text() and "100┤" in app.text() and dots(app.text()) > 100


async def test_names_are_never_markup(tmp_path):
    more = events.Metrics(start=0, values={"[bold]x[/nope]/[red]loss": [1.0, 2.0], "[/]": [1.0, 2.0]})
    app = Host(run_with(tmp_path, more), "losses")
    async with drive(app, (120, 40)) as pilot:
        await pilot.press("n", "pagedown", "pagedown")
        await settled(app, pilot)
        shown = app.text()
        await pilot.press("pageup")
        await settled(app, pilot)
        assert "[bold]x[/nope]" in shown + app.text() and "[/]" in shown + app.text()


async def test_the_empty_pane_says_what_to_do(tmp_path):
    app = Host(None, "losses")
    async with drive(app) as pilot:
        assert "Choose a recipe" in app.text()
        await pilot.press("l", "plus", "left", "home", "f", "a", "pagedown", "n")
    failed = write_run(tmp_path / "failed", events.State(state="failed", step=0, reason="no text"))
    app = Host(failed, "losses")
    async with drive(app):
        assert "The run has failed, and has no values." in app.text() and "no text" in app.text()
    waiting = write_run(tmp_path / "waiting")
    app = Host(waiting, "losses")
    async with drive(app) as pilot:
        assert "has no values" in app.text() or "first values appear here" in app.text()
        append(waiting, events.Metrics(start=0, values={"vae/loss": CURVE}))
        app.action_update()
        await settled(app, pilot)
        assert dots(app.text()) > 20


async def test_another_run_starts_with_a_fresh_look(tmp_path):
    app = Host(run_with(tmp_path), "losses")
    other = write_run(tmp_path / "other", losses=[3.0, 2.0, 1.0])
    async with drive(app) as pilot:
        await pilot.press("l", "home", "plus")
        view = RunView(other)
        view.poll()
        app.losses.show_run(view)
        await settled(app, pilot)
        looking = app.losses.looking
        assert looking.window is None and looking.cursor is None and looking.log_y
        assert app.losses.plots[0].drawing.frame.readings[0].value == 1.0
        app.losses.show_run(None)
        await settled(app, pilot)
        assert "Choose a recipe" in app.text()


async def test_a_terminal_without_unicode_gets_ascii_plots(tmp_path):
    app = Host(run_with(tmp_path), "losses", Terminal("ascii", "", unicode=False))
    async with drive(app):
        inside = [line[1:-1] for line in app.text().split("\n")[2:-1]]
        assert all(line.isascii() for line in inside), inside
        assert any("*" in line for line in inside)


async def test_a_light_theme_has_dark_lines(tmp_path):
    app = Host(run_with(tmp_path), "losses")
    async with drive(app) as pilot:

        def line_colour():
            return app.losses.plots[0]._look("line.0").color.triplet

        dark = sum(line_colour())
        app.theme = "textual-light"
        await settled(app, pilot)
        await wait_for_async(lambda: sum(line_colour()) < dark, tick=pilot.pause, what="other colours")


async def test_resizing_draws_for_the_new_size(tmp_path):
    app = Host(run_with(tmp_path), "losses")
    async with drive(app, (120, 40)) as pilot:
        await pilot.resize_terminal(70, 20)
        await settled(app, pilot)
        plot = app.losses.plots[0]
        assert (plot.drawing.frame.width, len(plot.drawing.rows)) == tuple(plot.size)
        assert all(len(line) == 70 for line in app.text().split("\n"))


EXACT = """\
┃linear − no EMA + steps outliers clipped        ┃
┃vae/loss  ● train 9                             ┃
┃       │         ⢀⡄        ⢀⡄        ⢀⡄        ⢠┃
┃      8┤        ⣰⠋⡇       ⣰⠋⡇       ⣰⠋⡇       ⣰⠋┃
┃      6┤      ⢀⡼⠁ ⡇     ⢀⡼⠁ ⡇     ⢀⡼⠁ ⡇     ⢀⡼⠁ ┃
┃       │     ⢠⠞   ⢹    ⢠⠞   ⢹    ⢠⠞   ⢹    ⢠⠞   ┃
┃      4┤    ⣰⠋    ⢸   ⣰⠋    ⢸   ⣰⠋    ⢸   ⣰⠋    ┃
┃      2┤  ⢀⡼⠁     ⢸ ⢀⡼⠁     ⢸ ⢀⡼⠁     ⢸ ⢀⡼⠁     ┃
┃       │ ⢠⠞       ⠸⣤⠞       ⠸⣤⠞       ⠸⣤⠞       ┃
┃      0┤ ⠋         ⠋         ⠋         ⠋        ┃
┃       └┴─────────┴─────────┴─────────┴────────┴┃
┃        0        10        20        30       40┃
┗━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┛"""
