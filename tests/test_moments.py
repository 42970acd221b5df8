"""When steps were made, by training's clock and by the wall's: pauses count, the time between two runs does not."""

from __future__ import annotations

import numpy as np
import pytest

from tui_gen import events, runs
from tui_gen.events import Fork, Resume, State, System
from tui_gen.view import RunView


def at(step, t, seconds):
    return System(step=step, steps_per_second=1.0, images_per_second=1.0, memory=0, seconds=seconds, t=t)


def read(tmp_path, *log):
    run = runs.create(tmp_path, "x", 'name = "x"\n[model]\nname = "vae"\n')
    (run / "events.jsonl").write_bytes(b"".join(map(events.encode, log)))
    return RunView.read(run)


def wall(view, step):
    return float(np.interp(step, view.wall.steps, view.wall.values))


PAST = [at(0, 100.0, 0.0), at(10, 110.0, 9.0)]
OWN = [
    State("stopped", 10, t=5000.0), State("starting", 0, t=9000.0), Resume(step=10, t=9001.0),
    State("running", 10, t=9002.0), at(20, 9012.0, 19.0),
]  # fmt: skip


def test_a_fork_goes_on_when_it_is_started_as_if_that_had_been_at_once(tmp_path):
    made = read(tmp_path, Fork(10, "a", t=100.0), *PAST, OWN[0])
    assert wall(made, 10) == made.wall.values[-1] == 10.0, "it is not older for lying there"
    view = read(tmp_path, Fork(10, "a", t=100.0), *PAST, *OWN)
    assert wall(view, 5) == 5.0 and wall(view, 20) == 22.0
    assert view.moments.when(np.array([9.0, 19.0])) == pytest.approx([110.0, 9012.0], abs=3)
    assert view.begun == 100.0 and view.clock.values[-1] == 19.0


def test_its_own_pauses_count_and_so_do_those_of_the_run_that_it_comes_from(tmp_path):
    pause = [State("stopped", 20, t=9013.0), State("starting", 0, t=9513.0), Resume(step=20, t=9514.0)]
    view = read(tmp_path, Fork(10, "a", t=100.0), *PAST, *OWN, *pause, at(30, 9522.0, 29.0))
    assert wall(view, 30) == 532.0
    other = read(tmp_path, *PAST, State("stopped", 10, t=111.0), State("starting", 0, t=511.0), at(20, 520.0, 19.0))
    assert wall(other, 20) == 420.0


def test_a_fork_of_a_fork_leaves_out_both(tmp_path):
    past = [*PAST, at(20, 9012.0, 20.0), at(30, 9022.0, 30.0)]
    own = [State("stopped", 30, t=20_000.0), State("starting", 0, t=20_001.0), at(40, 20_011.0, 40.0)]
    view = read(tmp_path, Fork(30, "b", t=100.0), Fork(10, "a", t=100.0), *past, *own)
    assert [wall(view, step) for step in (10, 20, 30, 40)] == [10.0, 21.0, 31.0, 41.0]
    assert view.moments.when(np.array([40.0])) == pytest.approx([20_011.0])
