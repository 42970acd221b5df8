"""Layouts: the run takes the screen, one key brings the form, and what was chosen and moved is kept."""

from __future__ import annotations

import pytest

from tests.shell import SIZES, until, workbench
from tests.test_app_watching import shown, state, two_runs, watches

__all__ = ["two_runs"]


@pytest.mark.parametrize(("size", "others"), [("120x40", ["log"]), ("200x60", ["log"]), ("80x24", None)])
async def test_a_run_takes_the_screen_and_one_key_brings_the_form(monkeypatch, two_runs, size, others):
    async with workbench(monkeypatch, SIZES[size], open_run=two_runs[0]) as (app, pilot):
        screen = ["losses", "samples", *others] if others else ["losses"]
        await until(pilot, lambda: watches(app) and shown(app) == screen)
        await pilot.press("f2")
        await until(pilot, lambda: watches(app, "form"))
        assert ("losses" in shown(app)) == bool(others), "beside the form, where there is room"
        await pilot.press("f2")
        await until(pilot, lambda: watches(app) and shown(app) == screen)
        await pilot.press("1")
        await until(pilot, lambda: watches(app, "models"))
        await pilot.press("f2", "f2")
        await until(pilot, lambda: watches(app, "models"), "the one that was used last")
        app.action_close_run()
        await until(pilot, lambda: state(app) is None)
        assert app.workspace.layout_name == "edit"


async def test_a_layout_that_was_chosen_is_the_one_runs_are_shown_in(monkeypatch, two_runs):
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await pilot.press("f3", *"compare", "down", "enter")
        await until(pilot, lambda: app.workspace.layout_name == "compare" and "models" not in shown(app))
        app.choose_layout("edit")
        await until(pilot, lambda: "models" in shown(app) or "form" in shown(app))
    async with workbench(monkeypatch, (120, 40), open_run=two_runs[0]) as (app, pilot):
        await until(pilot, lambda: watches(app) and app.workspace.layout_name == "edit")
        await pilot.resize_terminal(200, 60)
        await until(pilot, lambda: app.workspace.size.width == 200)
        app.workspace.open("runs")
        app.open_run(two_runs[1])
        await until(pilot, lambda: state(app) == "stopped" and watches(app))
        assert app.workspace.layout_name == "watch", "chosen for another shape of terminal"


async def test_restoring_the_layout_can_be_undone(monkeypatch):
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        pane = app.workspace.pane("form")
        at_first = pane.region
        await pilot.press("alt+2", "alt+right")
        await until(pilot, lambda: pane.region.right == at_first.right + 4)
        app.action_reset_layout()
        await until(pilot, lambda: pane.region == at_first)
        assert app.layout_can_be_put_back
        app.action_reset_layout()
        await until(pilot, lambda: pane.region.right == at_first.right + 4)
    async with workbench(monkeypatch, (200, 60)) as (app, pilot):
        await until(pilot, lambda: app.workspace.pane("form").region.right == at_first.right + 4)
