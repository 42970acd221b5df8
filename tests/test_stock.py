"""When a worker is kept warm: while the next run is prepared, and not for looking at one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from textual import events

from tests import fake_worker
from tests.shell import until, workbench
from tui_gen.app.steering import session as sessions
from tui_gen.app.steering import stock
from tui_gen.app.steering.session import Session


class Warm:
    """A warm worker that costs nothing."""

    alive = ready = True

    def __init__(self, workers):
        self.workers = workers
        workers.append(self)

    def close(self):
        self.workers.remove(self)


@pytest.fixture
def workers(monkeypatch):
    """The warm workers that there are."""
    there: list[Warm] = []

    def spawn(session):
        if session.warm is None:
            session.warm, session.warm_since = Warm(there), 0.0

    monkeypatch.setattr(Session, "spawn_warm", spawn)
    return there


async def test_looking_at_a_run_needs_none_until_the_form_is_entered(monkeypatch, workers):
    run = fake_worker.record(fake_worker.make_run())
    async with workbench(monkeypatch, (120, 40), open_run=run) as (app, pilot):
        await until(pilot, lambda: app.view is not None and app.workspace.active.id == "losses")
        await pilot.press("4", "down", "6", "down", "3")
        assert not workers
        await pilot.press("2", "down")
        await until(pilot, lambda: len(workers) == 1)


async def test_a_click_on_a_model_wants_one(monkeypatch, workers):
    run = fake_worker.record(fake_worker.make_run())
    async with workbench(monkeypatch, (200, 60), open_run=run) as (app, pilot):
        await until(pilot, lambda: app.view is not None and app.workspace.active.id == "losses")
        for name, count in (("losses", 0), ("models", 1)):
            app.workspace.open(name)
            pane = app.workspace.pane(name)
            await until(pilot, lambda pane=pane: app.workspace.active is pane and pane.region.area)
            assert not workers
            x, y = pane.region.x + 5, pane.region.y + 5
            app.post_message(events.MouseDown(None, x, y, 0, 0, 1, False, False, False, x, y))
            await pilot.pause()
            await until(pilot, lambda count=count: len(workers) == count)


async def test_without_a_run_there_is_one_which_goes_once_a_run_was_looked_at(monkeypatch, workers):
    run = fake_worker.record(fake_worker.make_run())
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await until(pilot, lambda: len(workers) == 1)
        app.stock.beat(app.view)
        await pilot.pause()
        assert workers, "no run is shown"
        app.open_run(run)
        await until(pilot, lambda: app.view is not None)
        await pilot.press("2", "down")
        await until(pilot, lambda: app.stock._wish_time)
        app.stock.beat(app.view)
        await pilot.pause()
        assert workers, "the form was just used"
        monkeypatch.setattr(stock, "LINGER", 0.0)
        app.stock.beat(app.view)
        await until(pilot, lambda: not workers and app.session.warm is None)


@pytest.mark.parametrize("gone", [False, True])
def test_who_waits_for_one_gets_it_however_slowly_it_comes_up(monkeypatch, workers, world, gone):
    """Beside a training that takes all CPUs PyTorch takes minutes; that nobody touched a key meanwhile is no reason."""
    session, now = Session(world / "runs", [], None), [1000.0]
    monkeypatch.setattr(Session, "drop_warm", lambda self, unless_fresh=True: unless_fresh or let_go())
    stage = SimpleNamespace(run_worker=lambda work, exit_on_error: (work.close(), let_go()))
    keeper = stock.Stock(stage, session)
    monkeypatch.setattr(Warm, "ready", property(lambda self: now[0] > 1200))

    def let_go():
        session.warm.close()
        session.warm = None

    def sleep(seconds):
        now[0] += stock.LINGER - 1  # so slow is it
        if gone and now[0] < 1100:
            let_go()
        keeper.beat(SimpleNamespace())

    monkeypatch.setattr(sessions, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    monkeypatch.setattr(stock, "time", sessions.time)
    assert session._warmed() is session.warm and len(workers) == 1
