"""How the losses are looked at: averages, axes, boxes, one plot or a group of them, and what F1 says of a metric."""

from __future__ import annotations

import re
import time

import pytest
from msgspec.structs import replace
from textual import events as keys_and_mouse

from tests.plot_host import Host, write_run
from tests.test_app_losses import drive, run_with, settled
from tui_gen import catalog as catalogs
from tui_gen import events
from tui_gen.app.panes.curves.bar import PlotBar
from tui_gen.app.panes.curves.looking import SMOOTHINGS

CURVE = [100 * 0.99**step + 10 for step in range(400)]
SPEED = {"steps_per_second": 2, "images_per_second": 0}


@pytest.fixture
def no_verdict(monkeypatch):
    """Without the line above the plots, which has tests of its own."""
    monkeypatch.setattr("tui_gen.verdicts.health.verdict", lambda view: None)


async def test_averages_with_and_without_lag_and_axes_of_steps_logarithms_and_wall_time(tmp_path):
    begun = time.time()
    measured = [events.System(step=step, seconds=step / 2, t=begun + wall, **SPEED)
                for step, wall in ((100, 50), (101, 650), (400, 800))]  # fmt: skip
    app = Host(run_with(tmp_path, *measured, planned=400), "losses")
    async with drive(app, (100, 30)) as pilot:
        plot = app.losses.plots[0]
        lagging = plot.drawing.rows
        await pilot.press("right_square_bracket", "right_square_bracket", "s")
        await settled(app, pilot)
        assert "zero-phase 0.98" in app.text() and plot.drawing.rows != lagging
        await pilot.press("L")
        await settled(app, pilot)
        assert {"1", "10", "100"} <= set(below(app)) and "log steps" in app.text()
        await pilot.press("home", "right", "right")
        await settled(app, pilot)
        assert app.losses.looking.cursor == 3  # a column is less than a step here
        await pilot.press("plus")
        assert plot.drawing.frame.x_limits[0] >= 1 and app.losses.looking.window is not None
        await pilot.press("a", "L", "e", "e", "e", "end")
        await settled(app, pilot)
        assert "wall time" in app.text() and below(app)[:3] == ["2m", "4m", "6m"]
        frame = plot.drawing.frame
        assert frame.x_scale.part(101, frame.x_limits) - frame.x_scale.part(100, frame.x_limits) > 0.7
        assert "· 13m20" in app.text()


async def test_a_box_is_seen_larger_moved_and_left_again_by_mouse_and_by_keys(tmp_path):
    app = Host(run_with(tmp_path, planned=400), "losses")
    async with drive(app, (100, 30)) as pilot:
        plot = app.losses.plots[0]

        def limits():
            return plot.drawing.frame.x_limits, plot.drawing.frame.y_limits

        whole = limits()
        area, above = plot.drawing.frame.area, plot.drawing.legend
        corner, other = (area.x + 10, above + 4), (area.x + 40, above + 12)
        steps = [plot.drawing.frame.step_at(x) for x in (corner[0] - 0.5, other[0] + 0.5)]
        values = [plot.drawing.frame.value_at(y - above) for y in (other[1] + 0.5, corner[1] - 0.5)]
        await pilot.mouse_down(plot, offset=corner)
        await pilot.hover(plot, offset=(corner[0] + 5, corner[1] + 1))
        await pilot.hover(plot, offset=other)
        assert [len(row) for row in plot._box(plot._selection, plot.drawing)] == [2, 2]
        await pilot.mouse_up(plot, offset=other)
        await settled(app, pilot)
        assert limits()[0] == pytest.approx(steps) and limits()[1] == pytest.approx(values)
        for message in (
            keys_and_mouse.MouseDown(plot, *corner, 0, 0, 3, False, False, False),
            keys_and_mouse.MouseMove(plot, corner[0] - 9, corner[1] + 3, 0, 0, 3, False, False, False),
            keys_and_mouse.MouseUp(plot, corner[0] - 9, corner[1] + 3, 0, 0, 3, False, False, False),
        ):
            plot.post_message(message)
            await pilot.pause()
        await settled(app, pilot)
        (first, last), (low, high) = limits()
        moved = 9 / area.width * (steps[1] - steps[0])
        assert (first, last) == pytest.approx((steps[0] + moved, steps[1] + moved))
        assert low > values[0] and high - low == pytest.approx(values[1] - values[0])
        await pilot.press("ctrl+down", "shift+down")
        assert limits()[1][1] - limits()[1][0] == pytest.approx(2 * (high - low)) and limits()[1][0] < low
        await pilot.press("a")
        await settled(app, pilot)
        assert limits() == whole and "show all" not in app.text()
        await pilot.press("home", "b")
        await settled(app, pilot)
        assert "[ 1 b ends the range here" in app.text()
        await pilot.press(*["ctrl+right"] * 3)
        end = app.losses.looking.cursor
        await pilot.press("b")
        assert limits()[0] == pytest.approx((1, end)) and app.losses.looking.anchor is None


async def test_one_plot_alone_those_of_one_phase_and_what_its_metric_means(tmp_path):
    values = {name: CURVE for name in ("vae/elbo", "vae/kl", "vae/mse", "prior/loss", "prior/bits")}
    run = write_run(tmp_path / "run", events.Metrics(start=0, values=values), planned=400)
    (run / "config.toml").write_text("[model]\nname = 'vae'\n")
    app = Host(run, "losses")
    async with drive(app, (120, 40)) as pilot:
        losses = app.losses
        losses.catalog = catalogs.read([])

        def titles():
            return [panel.title for panel in losses.shown_panels()]

        assert titles() == ["prior/loss", "prior/bits", "vae/elbo", "vae/kl", "vae/mse"]
        assert "## `prior/loss`" in losses.help()[1] and losses.help()[1].endswith(losses.HELP)
        assert losses.help()[1].startswith("**▲ it was interrupted at step 400")  # how the run goes
        await pilot.press("down", "down", "down")
        await settled(app, pilot)
        assert losses.current.title == "vae/kl" and losses.plots[3].drawing.rows[0][0][1] == "title.chosen"
        assert "\n\n## `vae/kl`\n\n    kl = KL(q(z|x) ‖ N(0, I))" in losses.help()[1]
        await pilot.press("enter")
        await settled(app, pilot)
        assert titles() == ["vae/kl"] and losses.plots[0].size.height > 30 and "all plots" in app.text()
        await pilot.press("pagedown")
        assert titles() == ["vae/mse"]
        await pilot.press("escape")
        await settled(app, pilot)
        assert len(titles()) == 5 and losses.current.title == "vae/mse"
        await pilot.press("g")
        assert titles() == ["prior/loss", "prior/bits"]
        await pilot.press("g")
        assert titles() == ["vae/elbo", "vae/kl", "vae/mse"] and losses.looking.group == "vae"
        await pilot.press("g", "up")
        assert len(titles()) == 5
        await pilot.click(losses.plots[1], offset=(20, 5), times=2)
        await settled(app, pilot)
        assert titles() == ["prior/bits"]


async def test_log_smoothing_and_clipping(tmp_path, no_verdict):
    losses = [1e-3 if step % 2 else 1e3 for step in range(400)]
    app = Host(run_with(tmp_path, losses=losses), "losses")
    async with drive(app, (100, 30)) as pilot:
        assert "linear" in app.text() and "EMA 0.9" in app.text() and "0.001" not in app.text()
        await pilot.press("l")
        await settled(app, pilot)
        assert "linear" not in app.text() and "0.001┤" in app.text()
        for _ in SMOOTHINGS:
            await pilot.press("right_square_bracket")
        assert "EMA 0.999" in app.text()
        for _ in SMOOTHINGS:
            await pilot.press("left_square_bracket")
        assert "no EMA" in app.text()
        assert "outliers clipped" in app.text()
        await pilot.press("c")
        await settled(app, pilot)
        assert "everything" in app.text()


def below(app):
    """The labels of the x axis."""
    return app.text().split("\n")[-2].strip("┃").split()


async def test_the_axis_counts_steps_epochs_or_time(tmp_path, no_verdict):
    speed = {"steps_per_second": 2, "images_per_second": 0}
    measured = [events.System(step=step, seconds=step / 2, **speed) for step in (100, 300)]
    app = Host(run_with(tmp_path, *measured, planned=400), "losses")
    async with drive(app, (100, 30)) as pilot:
        assert " ".join(below(app)) == "0 50 100 150 200 250 300 350 400"
        await pilot.press("e")
        await settled(app, pilot)
        assert " ".join(below(app)) == "0 0.5 1.0 1.5 2.0 2.5 3.0 3.5 4.0"
        assert "epochs" in app.text()
        await pilot.press("e")
        await settled(app, pilot)
        assert " ".join(below(app)) == "0 30s 1m 1m30 2m 2m30 3m"
        await pilot.press("home", "right")
        await settled(app, pilot)
        assert re.search(r"step 5 · epoch 0.05 · 2s", app.text())
        await pilot.click(app.query_one(PlotBar), offset=(app.text().split("\n")[1].index("time") - 1, 0))
        await settled(app, pilot)
        assert app.losses.looking.x_axis == "steps"


async def test_a_run_that_knows_no_time_counts_steps(tmp_path):
    app = Host(run_with(tmp_path, planned=400), "losses")
    async with drive(app, (100, 30)) as pilot:
        await pilot.press("e", "e")
        await settled(app, pilot)
        assert " ".join(below(app)) == "0 50 100 150 200 250 300 350 400"
        app.losses.looking = replace(app.losses.looking, x_axis="time")  # chosen for another run
        await pilot.press("l", "l")
        await settled(app, pilot)
        assert " ".join(below(app)) == "0 50 100 150 200 250 300 350 400" and "steps" in app.text()
