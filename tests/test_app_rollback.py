"""Going back to a checkpoint, and giving the device back, from the workbench."""

from __future__ import annotations

import shutil

from textual.widgets import OptionList

from tests import fake_worker
from tests.shell import screen_text, until, until_shown, workbench
from tests.test_app_shell_runs import said, started, state
from tui_gen import events
from tui_gen.log import event_log


async def test_a_live_run_goes_back_past_the_batch_of_an_alert_and_yields(monkeypatch):
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        view = await started(monkeypatch, app, pilot, nan_at=60, hold=80)
        app.workspace.open("runs")
        await until(pilot, lambda: app.workspace.pane("runs").rows)
        await pilot.press("F")  # it has no checkpoint yet: its worker is asked for one
        await until_shown(pilot, "with its past up to step")
        await pilot.press("escape")
        shutil.rmtree(view.path / "checkpoints")
        await pilot.press("B")
        await until_shown(pilot, "Rates × 0.5")
        await pilot.press("escape")
        await until(pilot, lambda: len(view.checkpoints) == 2)
        shutil.rmtree(view.path / view.checkpoints.pop(0).path, ignore_errors=True)
        first = view.checkpoints[0].step
        await until(pilot, lambda: view.step == 80 and view.alerts)
        await until(pilot, lambda: "B goes back to before it" in said(app))
        await pilot.press("f8")
        await until(pilot, lambda: len(view.checkpoints) == 2)
        await pilot.press("B")
        text = await until_shown(pilot, "a loss is not finite", "step 80", f"step {first}", "batch after step 60")
        assert "Rates × 0.5" in text and "Past that batch" in text and "As it was" in text
        options = app.screen.query_one(OptionList)
        assert options.highlighted == (1 if first <= 60 else 0)
        await pilot.press("end", "p")
        await until(pilot, lambda: view.rollbacks)
        assert (view.rollbacks[0].to, view.rollbacks[0].skipped) == (first, [60])
        await until(pilot, lambda: "without the batch after step 60" in said(app))
        await pilot.press("ctrl+y")
        await until(pilot, lambda: "paused" in app.status.text and "yielded: 2.0 GB" in screen_text(app))
        await pilot.press("f6")
        await until(pilot, lambda: state(app) == "running")


async def test_a_run_that_has_ended_is_resumed_from_where_it_goes_back_to(monkeypatch):
    run = fake_worker.record(fake_worker.make_run(None, "vae-digits", "train.steps=200"), steps=200)
    started_ones = fake_worker.install(monkeypatch, steps=200, hold=200)
    early = fake_worker.FakeRun(run, event_log.EventWriter(run / "events.jsonl"), 200)
    early.step = 120
    early.checkpoint("test")
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await app.conductor.open(run)
        await pilot.press("f10", "right", "down")
        await pilot.press("escape", "B")
        await until_shown(pilot, "Nothing is wrong", "step 200", "step 120", "Rates × 0.5")
        await pilot.press("down", "r")
        await until(pilot, lambda: started_ones and app.conductor.view.rollbacks)
        event = app.conductor.view.rollbacks[0]
        assert (event.step, event.to, event.factor) == (200, 120, 0.5)
        assert event.edits == [{"step": 120, "key": "train.phases.vae.lr", "value": event.rates["train.phases.vae.lr"]}]
        await until(pilot, lambda: app.conductor.view.resumes)
        assert app.conductor.view.resumes[-1].step == 120
        assert isinstance(event, events.Rollback) and (run / "checkpoints/undone-000200").is_dir()
