"""A replay in the workbench: it comes as the run came, obeys keys and the mouse, and nothing of it steers a worker."""

from __future__ import annotations

import pytest

from tests import fake_worker
from tests.shell import screen_text, until, workbench
from tests.test_replay import Hands, story
from tui_gen import events
from tui_gen.log.event_log import EventWriter
from tui_gen.speeds import Pace


@pytest.fixture
def run():
    path = fake_worker.make_run()
    (path / "samples").mkdir(exist_ok=True)
    writer = EventWriter(path / "events.jsonl")
    fake = fake_worker.FakeRun(path, writer, 40)
    told = [event for event in story() if not isinstance(event, events.Sample)]
    for step in (10, 30):
        fake.step = step
        sample = fake.sample()
        place = next(at for at, event in enumerate(told) if getattr(event, "start", -1) == step)
        sample.t = told[place].t
        told.insert(place + 1, sample)
    writer.write(*told[:-1], events.State(state="failed", step=40, reason="it broke", t=told[-1].t))
    writer.close()
    return path


async def test_a_replay_comes_as_the_run_came_and_obeys(monkeypatch, run):
    async with workbench(monkeypatch, (120, 40), open_run=run, replay=Pace(10.0)) as (app, pilot):
        await until(pilot, lambda: app.view is not None)
        playing, view, hands = app.view.playback, app.view, Hands()
        playing.clock, playing._last_look = hands, hands.now
        playing.jump(0)
        bar = app.query_one("#replay")

        async def pass_time(seconds: float) -> None:
            hands.now += seconds
            app.follower.hurry()
            await pilot.pause()

        await until(pilot, lambda: bar.display and "replay 10×" in app.status.text and playing._goal is None)
        await pass_time(0.45)
        await until(pilot, lambda: view.step == 6 and view.state == "running" and "6/40" in screen_text(app))
        assert app.check_action("ask", ("sample",)) is None and app.check_action("resume", ()) is None
        await pilot.press("greater_than_sign")
        assert playing.speed == 20.0 and "20×" in app.status.text
        await pilot.press("f6")
        assert playing.paused
        await until(pilot, lambda: "replay paused" in app.status.text)
        before = screen_text(app)
        await pass_time(30)
        assert view.poll() == set() and view.step == 6 and screen_text(app) == before
        await pilot.press("right_curly_bracket")
        await until(pilot, lambda: view.step == 8)
        start, length = bar._track(playing)
        await pilot.click("#replay", offset=(start + length // 2, 0))
        await until(pilot, lambda: view.step in (20, 22) and len(view.samples) == 1)
        app.action_replay_jump(-1)
        app.action_replay_jump(-9)
        await until(pilot, lambda: view.step in (0, 2) and not view.samples)
        await pilot.click("#replay", offset=(1, 0))
        assert not playing.paused
        app.action_replay_speed(1)
        assert playing.speed == 50.0
        for _ in range(3):
            await pass_time(2)
        await until(pilot, lambda: view.state == "failed" and "replay over" in app.status.text)
        assert len(app.screen_stack) == 1 and not any("it broke" in text for text in app.told)  # nothing to answer
        await pilot.click("#replay", offset=(bar.size.width - 3, 0))
        await until(pilot, lambda: app.view is not view and not bar.display and app.view.state == "failed")
        assert app.check_action("resume", ()) is True and not app.view.replaying
        app.do("replay")
        # by the real clock: on a busy machine so short a run may be over before it is looked at
        await until(pilot, lambda: app.view.replaying in ("replay 20×", "replay over") and bar.display)
        assert app.view.playback.speed == 20.0
