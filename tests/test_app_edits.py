"""The Edits pane: what was edited in a run, and the way back, from the list and from the form."""

from __future__ import annotations

from tests import fake_worker
from tests.shell import screen_text, until, workbench
from tui_gen.app.panes.edits.pane import EditsPane

LR, BETA = "train.phases.vae.lr", "model.beta"


def made(app):
    return [(edit.key, edit.old, edit.new) for edit in app.conductor.view.edits]


async def test_edits_are_listed_and_taken_back_from_the_list_and_the_form(monkeypatch):
    fake_worker.install(monkeypatch, rate=20, steps=100_000)
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        await pilot.press("f5")
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.state == "running")
        pane = app.workspace.pane("edits")
        assert isinstance(pane, EditsPane)
        await app.conductor.edit(LR, 5e-4)
        await app.conductor.edit(BETA, 3.0)
        await until(pilot, lambda: len(made(app)) == 2)
        app.workspace.open("form")
        await pilot.press("ctrl+k")
        await until(pilot, lambda: app.workspace.active is pane and len(pane.rows) == 2)
        assert pane.current.key == BETA  # the newest
        await until(pilot, lambda: "→ 5e-4" in screen_text(app) and "→ 3" in screen_text(app))
        await pilot.press("up", "u")
        await until(pilot, lambda: made(app)[2:] == [(LR, 5e-4, 1e-3)] and len(pane.rows) == 3)
        assert [row.state for row in pane.rows] == ["undone", "made", "undoes"]
        await pilot.press("ctrl+y")
        await until(pilot, lambda: made(app)[3:] == [(LR, 1e-3, 5e-4)])
        app.workspace.open("form")  # which shows the run's settings
        await pilot.press("ctrl+z")
        await until(pilot, lambda: made(app)[4:] == [(LR, 5e-4, 1e-3)])
        await pilot.press("ctrl+z")
        await until(pilot, lambda: made(app)[5:] == [(BETA, 3.0, 1.0)])
        await pilot.press("ctrl+y")
        await until(pilot, lambda: made(app)[6:] == [(BETA, 1.0, 3.0)])
        await app.conductor.stop()
        await until(pilot, lambda: app.conductor.view.state == "stopped")
        app.workspace.open("edits")
        await until(pilot, lambda: "The run has ended" in screen_text(app))
        assert pane.check_action("undo", ()) is None
