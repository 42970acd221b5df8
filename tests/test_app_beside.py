"""Starting or resuming where another run is live: asked, with its name, before anything begins."""

from __future__ import annotations

import pytest

from tests import fake_worker
from tests.hosts import ThemedApp
from tests.painted import on_one_line
from tests.shell import check_snapshot, screen_text, until, until_shown, workbench
from tests.waiting import wait_for, wait_until_listening
from tui_gen import runs
from tui_gen.app.widgets.dialogs import beside_dialog, quit_dialog


@pytest.fixture
def other():
    """A live run that no workbench started."""
    path = fake_worker.make_run(None, "vae-digits", "name=other")
    process = fake_worker.start(path)
    wait_until_listening(path)
    yield path
    process.kill()
    process.wait(120)


def dialog(app) -> str:
    box = app.screen.query_one("#dialog").region
    return "".join(f"{row[box.x : box.right]}\n" for row in screen_text(app).splitlines()[box.y : box.bottom])


async def test_start_asks_where_a_run_is_live_and_can_stop_it_first(monkeypatch, other):
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        started = fake_worker.install(monkeypatch)
        await pilot.press("f5")
        await until_shown(pilot, "Another run is live", other.name, "is training", "Cancel")
        assert "starting…" not in app.status.text, "while somebody thinks about it nothing is"
        await pilot.press("f5", "enter")
        await until(pilot, lambda: len(app.screen_stack) == 1 and not app.conductor._starting)
        assert not started and app.view is None, "to start nothing is the default"
        await pilot.press("f5")
        await until_shown(pilot, "Another run is live")
        await pilot.press("s")
        await until(pilot, lambda: started and app.view is not None and app.view.state == "running")
        assert runs.state_of(other)[0] == "running", "beside it"
        await pilot.press("f5")
        await until_shown(pilot, "Other runs are live", other.name, app.view.path.name)
        await pilot.press("t")
        await until(pilot, lambda: len(started) == 2 and app.view.state == "running", timeout=60)
        assert [row.state for row in runs.list_runs(app.session.root)] == ["running", "stopped", "stopped"]


async def test_the_question_at_80_columns(monkeypatch):
    async with workbench(monkeypatch, (80, 24)) as (app, pilot):
        found = [(app.session.root / "20260101-0000-vae-digits-aaaa", "paused", 1234)]
        monkeypatch.setattr(app.session, "live_here", lambda shown: found)
        await pilot.press("f5")
        await until_shown(pilot, "Another run is live")
        await check_snapshot(pilot, "beside-80x24", lambda: dialog(app))
        await pilot.press("ctrl+q")  # waits for nobody's answer
        await until(pilot, lambda: app._exit)


@pytest.mark.parametrize(
    ("states", "beside", "leaving", "way"),
    [
        (["running"], "leaves each of them only a part", "one0 is still training. It goes on", "Leave running"),
        (["paused"], "vae-digits beside it lacks nothing but memory", "one0 is paused, and stays so", "Leave paused"),
        (["paused", "paused"], "memory as long as they stay", "2 runs are live: one0 (paused), one1", "Leave paused"),
        (["paused", "running"], "leaves each of them only a part", "live: one0 (paused), one1. They", "Leave running"),
    ],
)
async def test_what_is_asked_of_live_runs_is_true_of_paused_ones(states, beside, leaving, way):
    live = [(f"one{number}", state) for number, state in enumerate(states)]
    app = ThemedApp()
    async with app.run_test(size=(120, 40)):
        for dialog, *words in (
            (beside_dialog("start", "vae-digits", [(*run, 5) for run in live]), beside),
            (quit_dialog(live), leaving, way),
        ):
            await app.push_screen(dialog)
            shown = on_one_line(app)
            assert not [word for word in words if word not in shown], shown
            await app.pop_screen()


async def test_resume_asks_too_and_starts_nothing_where_the_other_does_not_stop(monkeypatch, other):
    path = fake_worker.record(fake_worker.make_run(), state="stopped")
    async with workbench(monkeypatch, (120, 40), open_run=path) as (app, pilot):
        started = fake_worker.install(monkeypatch)
        await until(pilot, lambda: app.view is not None)

        async def refused(op, path, **_):
            return False

        ask = app.conductor.ask
        monkeypatch.setattr(app.conductor, "ask", refused)
        await pilot.press("f12")
        await until_shown(pilot, "Another run is live", "Resume beside it")
        await pilot.press("s")
        await until(pilot, lambda: any("so nothing was resumed" in one for one in app.told))
        assert not started
        monkeypatch.setattr(app.conductor, "ask", ask)
        await pilot.press("f12")
        await until_shown(pilot, "Another run is live")
        await pilot.press("s")
        await until(pilot, lambda: started and app.view.state == "running")
        assert wait_for(lambda: runs.state_of(other)[0] == "stopped")
