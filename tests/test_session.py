"""The dealings with runs of a workbench, without one: which worker a run is handed to."""

from __future__ import annotations

from types import SimpleNamespace

from tests import fake_worker
from tui_gen import runs
from tui_gen.app.steering.session import Session


class Warm:
    """A warm worker: on its way, or dead."""

    ready = False

    def __init__(self, alive: bool = True) -> None:
        self.alive, self.given, self.process = alive, [], SimpleNamespace(poll=lambda: 0)

    def start(self, path, *, resume):
        if self.alive:
            self.given.append(path)
            self.process = None
        return self.alive

    def close(self) -> None:
        pass


def test_session_starts_cold_where_no_warm_worker_is_ready(monkeypatch, world):
    from tui_gen import catalog

    started_runs = fake_worker.install(monkeypatch, steps=5)
    known = catalog.read()
    session = Session(world / "runs", [], known)
    made, problems = session.check(known.recipes["vae-digits"].tables)
    assert problems == []
    path = session.start(made)
    started_runs[0].wait(120)
    assert runs.state_of(path)[0] == "finished"
    assert session.live_of_ours(None) == []
    session.close()


def test_session_hands_a_run_to_a_worker_that_is_warming_up_and_waits_for_nothing(monkeypatch, world):
    from tui_gen import catalog

    cold = fake_worker.install(monkeypatch, steps=5)
    known = catalog.read()
    session = Session(world / "runs", [], known)
    made, _ = session.check(known.recipes["vae-digits"].tables)
    session.warm = one = Warm()
    assert one.given == [session.start(made)] and session.warm is None and not cold
    session.warm = Warm(alive=False)
    session.start(made)
    assert len(cold) == 1
    cold[0].wait(120)
    session.warm = None
    session.close()


def test_session_keeps_a_warm_worker_that_came_while_the_one_before_was_given_away(monkeypatch, world):
    from tui_gen import catalog

    known = catalog.read()
    session = Session(world / "runs", [], known)
    config, _ = session.check(known.recipes["vae-digits"].tables)
    one, other = Warm(), Warm()

    def start(path, *, resume):
        one.process, session.warm = None, other  # the catalogue has changed, say
        return True

    one.start, session.warm = start, one
    session.start(config)
    assert session.warm is other
    session.close()
