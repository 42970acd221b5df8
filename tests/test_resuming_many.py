"""Many runs that ended go on: marked in the workbench, or named on the command line."""

from __future__ import annotations

import pytest

from tests import fake_worker
from tests.shell import screen_text, until, until_shown, workbench
from tui_gen import launch, runs


def over(name, state="stopped", steps=40):
    """A run that ended."""
    run = fake_worker.make_run(None, "vae-digits", f"name={name}", "train.steps=60")
    return fake_worker.record(run, steps=steps, state=state, samples=1)


@pytest.fixture
def resumed(monkeypatch):
    """Runs that a worker was started for; none of them is there."""
    paths = []

    class Started:
        pid = 0

        def poll(self):
            return 0

    def start(path, *_, resume=False, hold=None, **more):
        if hold is not None:
            hold.release()
        paths.append((path.name, resume))
        return Started()

    monkeypatch.setattr(launch, "start", start)
    monkeypatch.setattr(launch, "begin", start)
    return paths


def test_all_that_are_named_or_match_go_on_and_what_cannot_is_told(call, resumed):
    first, second, third = over("first"), over("second", "interrupted"), over("third", "finished")
    status, out, err = call("resume", first.name, third.name, second.name)
    assert status == 1 and "third" in err and "has finished" in err
    assert resumed == [(first.name, True), (second.name, True)] and out.count("training in the background") == 2
    resumed.clear()
    assert call("resume", "--where", "state:interrupted or state:finished")[0] == 0
    assert resumed == [(second.name, True)]
    assert call("resume", "--where", "state:paused") == (0, "", "nothing to resume\n")
    assert call("resume", third.name)[0] == 2


def test_one_after_another_until_one_is_stopped(call, monkeypatch):
    names, order = [over(name) for name in ("first", "second", "third")], []
    ends = {names[0]: "failed", names[1]: "stopped"}

    def train(path, *_, detach, **more):
        order.append(path)
        assert not detach
        return {"failed": 1, "stopped": 3}[ends[path]]

    monkeypatch.setattr("tui_gen.report.headless.resume", train)
    assert call("resume", "--in-turn", *(run.name for run in names))[0] == 3
    assert order == names[:2], "whoever stops one means all"


async def test_those_that_are_marked_go_on_after_one_question(monkeypatch, resumed):
    broken, live = over("broken", "failed"), over("live")
    ended = [over("first"), over("second", "interrupted"), over("third", "finished")]
    with runs.claim(live):
        fake_worker.record(live, state="running")
        async with workbench(monkeypatch, (120, 40)) as (app, pilot):
            monkeypatch.setattr(app.session, "remedy", lambda path: object() if path == broken else None)
            app.workspace.open("runs")
            pane = app.workspace.pane("runs")
            await until(pilot, lambda: len(pane.table.rows) == 5)
            await pilot.press("a", "r")
            await until_shown(pilot, "These 3 runs go on", *(run.name for run in (*ended[:2], broken)))
            assert ended[2].name not in screen_text(app).split("These 3 runs")[1].split("Cancel")[0]
            await pilot.press("enter")
            await until(pilot, lambda: len(app.screen_stack) == 1)
            assert not resumed, "nothing is the default"
            await pilot.press("r")
            await until_shown(pilot, "Resume them")
            await pilot.press("r")
            await until(pilot, lambda: "2 runs resumed" in "\n".join(app.told))
        assert sorted(resumed) == sorted((run.name, True) for run in ended[:2])
        assert any("would break again" in words for words in app.told)
