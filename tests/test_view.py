"""A run as readers see it: what a log's events become, after resumes, crashes and damage too."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.waiting import wait_for
from tui_gen import events, runs
from tui_gen.app.shell.status import StatusBar
from tui_gen.events import Alert, Checkpoint, Edit, Metrics, Note, Plan, Progress, Resume, Sample, State, System
from tui_gen.log.event_log import EventWriter
from tui_gen.view import RunView


@pytest.fixture
def run(tmp_path):
    return runs.create(tmp_path, "x", 'name = "x"\n')


@pytest.fixture
def log(run):
    """Append events to the run's log."""
    writer = EventWriter(run / "events.jsonl")
    yield lambda *new: writer.write(*new)
    writer.close()


@pytest.fixture
def mine(run):
    """This process as the run's worker."""
    with runs.claim(run):
        yield runs.register(run, "")


@pytest.fixture
def view(run):
    return RunView(run)


def loss(first: int, last: int, base: float = 0.0, name: str = "vae/loss", stride: int = 1) -> Metrics:
    return Metrics(start=first, stride=stride, values={name: [base + n for n in range(first, last, stride)]})


def points(view: RunView, name: str = "vae/loss") -> dict[int, float]:
    curve = view.series[name]
    return dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))


def plan(**changes) -> Plan:
    return Plan(**{"steps": 100, "steps_per_epoch": 10, "batch_size": 32} | changes)


def system(step: int, rate: float, seconds: float = 0.0) -> System:
    return System(step=step, steps_per_second=rate, images_per_second=rate * 32, seconds=seconds)


def words(view: RunView) -> list[str]:
    return [f"{level}: {text}" for _, level, text in view.log]


def test_a_run_that_has_nothing_yet(view):
    assert view.poll() <= {"status"}
    assert (view.state, view.step, view.live) == ("starting", 0, True)
    assert (view.fraction, view.eta, view.epoch) == (None, None, 0.0)
    assert view.series == {} and view.samples == [] and view.garbage == 0


def test_each_event_changes_its_parts_and_their_numbers(view, log, mine):
    expected = [
        (loss(0, 3), {"series", "status"}), (system(3, 5.0), {"status"}), (plan(), {"status"}),
        (State(state="running", step=3), {"status", "log", "progress"}), (Sample(step=3, path="a.png"), {"samples"}),
        (Checkpoint(step=3, path="c"), {"marks", "log"}), (Edit(step=3, key="k", old=1, new=2), {"marks", "log"}),
        (Alert(step=3, level="error", what="w"), {"marks", "log"}), (Note(text="n"), {"log"}),
        (Progress(what="p", done=1, total=2), {"progress"}), (Resume(step=3), set(RunView.PARTS)),
    ]  # fmt: skip
    view.poll()
    for event, parts in expected:
        before = dict(view.revision)
        log(event)
        assert view.poll() == parts, event
        assert {part for part in view.PARTS if view.revision[part] != before[part]} == parts
        assert all(view.revision[part] - before[part] in (0, 1) for part in view.PARTS)
    assert view.poll() == set()


def test_metrics_become_curves_over_steps(view, log):
    log(loss(0, 3), Metrics(start=3, stride=2, values={"vae/loss": [9.0, None, 7.0], "vae/kl": [0.5]}))
    log(Metrics(start=7, values={"val/vae/loss": [4.0]}))
    view.poll()
    assert list(view.series) == ["vae/loss", "vae/kl", "val/vae/loss"]
    got = points(view)
    assert list(got) == [1, 2, 3, 4, 6, 8] and math.isnan(got.pop(6)) and list(got.values()) == [0, 1, 2, 9, 7]
    assert points(view, "val/vae/loss") == {8: 4.0} and view.step == 8


def test_what_a_resume_lost_goes_away_and_is_done_again(view, log, mine):
    log(State(state="running", step=0), plan(), Sample(step=0, path="0"), loss(0, 10), loss(9, 10, name="val/vae/loss"))
    log(Checkpoint(step=10, path="c10"), Sample(step=10, path="10"), Edit(step=4, key="a", old=1, new=2))
    log(Edit(step=10, key="b", old=1, new=2), Alert(step=9, level="warning", what="kept"))
    log(loss(10, 25, 500), loss(19, 20, name="val/vae/loss"), Sample(step=20, path="20"))
    log(Checkpoint(step=20, path="c20"))
    log(Edit(step=15, key="c", old=1, new=2), Alert(step=10, level="error", what="gone"))
    log(system(8, 3.0, 4.0), system(25, 3.0, 9.0))
    view.poll()
    assert view.step == 25 and view.clock.values.tolist() == [4.0, 9.0]
    log(State(state="starting", step=0))
    view.poll()
    assert (view.state, view.step) == ("starting", 25)  # nothing is loaded, so nobody knows better
    log(Resume(step=10))
    assert view.poll() == set(view.PARTS) and view.step == 10
    assert view.clock.steps.tolist() == [8.0]
    assert points(view) == {n + 1: float(n) for n in range(10)} and points(view, "val/vae/loss") == {10: 9.0}
    assert [one.path for one in view.samples] == ["0", "10"] and [one.path for one in view.checkpoints] == ["c10"]
    assert [one.key for one in view.edits] == ["a"] and [one.what for one in view.alerts] == ["kept"]
    assert len([line for line in words(view) if "edit: " in line]) == 3  # what happened stays in the log
    log(State(state="running", step=10), Edit(step=10, key="b", old=1, new=2), loss(10, 12, -500))
    view.poll()
    assert points(view)[10] == 9.0 and points(view)[11] == -490.0 and max(points(view)) == 12 and view.step == 12
    assert [one.key for one in view.edits] == ["a", "b"]
    log(Resume(step=12), Resume(step=11))
    view.poll()
    assert [resume.step for resume in view.resumes] == [10, 11]  # what was lost has no marks


def test_one_look_sees_what_many_looks_see(run, log, mine):
    many = RunView(run)
    story = [
        State(state="starting", step=0), plan(), State(state="running", step=0), loss(0, 20), Sample(step=20, path="x"),
        Checkpoint(step=15, path="c"), loss(20, 40), Resume(step=15), loss(15, 30, 7), Note(text="n"), system(30, 2.0),
        State(state="stopped", step=30, reason="asked"),
    ]  # fmt: skip
    for event in story:
        log(event)
        many.poll()
    once = RunView(run)
    once.poll()
    names = ("samples", "checkpoints", "edits", "alerts", "resumes", "log", "progress", "plan", "system", "state")
    assert {name: getattr(once, name) for name in names} == {name: getattr(many, name) for name in names}
    assert points(once) == points(many) and once.step == many.step


def test_the_time_left_goes_by_the_last_half_minute(view, log, mine):
    log(State(state="running", step=0), plan(steps=1000))
    log(*(system(step, 1000.0, float(second)) for second, step in ((1, 300), (10, 400), (40, 490), (41, 500))))
    view.poll()
    assert view.eta == 500 / (100 / 31)  # from the 10th second: the beginning was faster, and a moment tells nothing


def test_a_killed_worker_is_interrupted_within_a_poll(run, view, log):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        info = runs.WorkerInfo(process.pid, socket.gethostname(), runs.process_started(process.pid), "", time.time())
        runs.write_atomic(run / "worker.json", events.msgspec.json.encode(info))
        log(State(state="starting", step=0), State(state="running", step=0), loss(0, 5))
        view.poll()
        assert view.state == "running" and view.live
    finally:
        process.kill()
        process.wait(120)
    view._last_check -= 0.6  # as if half a second had passed
    assert view.poll() == {"status"}
    assert (view.state, view.reason, view.live, view.eta) == ("interrupted", "the worker is gone", False, None)
    view._last_check -= 1.5
    assert view.poll() == set()
    with runs.claim(run):
        runs.register(run, "")
        log(State(state="starting", step=0), Resume(step=3), State(state="running", step=3))
        view.poll()
    assert (view.state, view.reason, view.step) == ("running", "", 3)


def test_a_run_on_another_host_that_is_heard_of_again_is_no_longer_interrupted(run, view, log):
    info = runs.WorkerInfo(1, "gpu-box", "x", "", time.time())
    (run / "worker.json").write_bytes(events.msgspec.json.encode(info))
    log(State(state="running", step=0, reason="on purpose"), loss(0, 5))
    for name in ("events.jsonl", "worker.lock"):
        os.utime(run / name, (0, 0))
    view.poll()
    assert view.state == "interrupted" and view.reason.startswith("no sign of life from gpu-box since ")
    log(loss(5, 6))
    view.poll()
    assert (view.state, view.reason) == ("running", "on purpose")
    log(State(state="running", step=6))
    view.poll()
    bar = StatusBar()
    bar.show(view)
    assert view.reason == "on gpu-box" and bar._left()[2][0] == "on gpu-box"


@pytest.mark.parametrize("word", ["finished", "stopped", "failed"])
def test_a_run_that_ended_stays_as_it_ended(run, view, log, word):
    log(State(state="running", step=0), State(state=word, step=9, reason="because"))
    for _ in range(2):
        view._last_check = -10.0
        view.poll()
        assert (view.state, view.reason, view.step, view.live) == (word, "because", 9, False)
    assert view.log[-1][1:] == ("error" if word == "failed" else "state", f"{word} at step 9: because")


def test_how_far_it_is(view, log, mine):
    log(State(state="running", step=0), plan(), loss(0, 25))
    view.poll()
    assert (view.fraction, view.epoch, view.eta) == (0.25, 2.5, None)
    log(system(25, 15.0))
    view.poll()
    assert view.eta == 5.0
    log(system(25, 0.0))
    view.poll()
    assert view.eta is None
    log(loss(25, 140), system(140, 1.0))
    view.poll()
    assert (view.fraction, view.eta) == (1.0, 0.0)
    log(State(state="stopped", step=40))
    view.poll()
    assert (view.fraction, view.eta) == (0.4, None)
    log(State(state="finished", step=40))
    view.poll()
    assert view.fraction == 1.0


def test_how_far_it_is_by_time_and_without_a_plan(view, log, mine):
    log(State(state="running", step=0), plan(steps=None, minutes=2.0, steps_per_epoch=0), system(5, 1.0, seconds=30.0))
    view.poll()
    assert (view.fraction, view.eta, view.epoch) == (0.25, 90.0, 0.0)
    log(system(9, 1.0, seconds=130.0))
    view.poll()
    assert (view.fraction, view.eta) == (1.0, 0.0)
    log(plan(steps=None))
    view.poll()
    assert view.fraction is None is view.eta


def test_the_log_says_what_happened(view, log, mine):
    log(
        State(state="running", step=4), Resume(step=4), Checkpoint(step=5, path="c", reason="asked for"),
        Edit(step=6, key="train.phases.vae.lr", old=1e-3, new=0.00025), Edit(step=7, key="x", old=True, new=[1, 2]),
        Alert(step=8, level="warning", what="spike", where="vae/kl", advice="Clip."),
        Alert(step=9, level="error", what="w"), Note(text="[b]not markup[/b]", level="warning"),
        State(state="paused", step=9),
    )  # fmt: skip
    view.poll()
    assert words(view) == [
        "state: running at step 4", "state: resumed from step 4", "info: checkpoint at step 5 (asked for)",
        "edit: train.phases.vae.lr: 0.001 → 2.5e-4 from step 6", "edit: x: true → 1, 2 from step 7",
        "warning: step 9: spike in vae/kl. Clip.", "error: step 9: w.", "warning: [b]not markup[/b]",
        "state: paused at step 9",
    ]  # fmt: skip
    assert [t for t, _, _ in view.log] == sorted(t for t, _, _ in view.log) and view.last_event_time == view.log[-1][0]


def test_progress_is_shown_until_it_is_done_or_training_begins(view, log, mine):
    log(State(state="starting", step=0), Progress(what="download", done=1, total=0))
    view.poll()
    assert view.progress.what == "download"
    log(Progress(what="download", done=5, total=5))
    view.poll()
    assert view.progress is None
    log(Progress(what="reading", done=1, total=5), State(state="running", step=0))
    view.poll()
    assert view.progress is None


def test_another_log_in_its_place_is_read_anew(run, view, log):
    log(State(state="running", step=0), plan(), loss(0, 50), Note(text="old"), Sample(step=1, path="x"))
    view.poll()
    new = events.encode(State(state="finished", step=2, reason="new")) + b"garbage\n"
    runs.write_atomic(run / "events.jsonl", new)
    assert view.poll() == set(view.PARTS)
    assert (view.state, view.step, view.garbage) == ("finished", 2, 1)
    assert (view.series, view.samples, view.plan) == ({}, [], None)
    assert words(view) == ["state: finished at step 2: new"]


def test_a_log_that_cannot_be_read_is_told_once(run, view, log):
    log(Note(text="x"))
    view.poll()
    (run / "events.jsonl").unlink()
    (run / "events.jsonl").mkdir()
    assert "log" in view.poll() and "cannot read" in view.trouble
    view.poll()
    assert [line for line in words(view) if "cannot read" in line] == [f"error: {view.trouble}"]
    (run / "events.jsonl").rmdir()
    (run / "events.jsonl").write_bytes(events.encode(Note(text="y")))
    view.poll()
    assert not view.trouble and words(view)[-1] == "info: y"


def test_events_that_make_no_sense_are_counted_and_passed_over(view, log, mine):
    log(State(state="running", step=0), Metrics(start=2**70, values={"a": [1.0, 2.0]}), loss(0, 3))
    log(plan(steps=0, steps_per_epoch=-5), system(3, -1.0), Metrics(start=5, values={}))
    log(Metrics(start=5, values={"a": []}))
    view.poll()
    assert points(view) == {1: 0.0, 2: 1.0, 3: 2.0} and view.garbage == 3
    assert (view.fraction, view.eta, view.epoch) == (None, None, 0.0)


ANY = st.integers(-5, 60) | st.sampled_from([2**62, 2**70, -(2**70)])
EVENTS = st.one_of(
    st.builds(Metrics, start=ANY, stride=ANY, values=st.dictionaries(
        st.sampled_from(["a/loss", "val/a/loss", ""]), st.lists(st.none() | st.floats(), max_size=4))),
    st.builds(State, state=st.sampled_from([*runs.LIVE, *runs.ENDED, "odd"]), step=ANY), st.builds(Resume, step=ANY),
    st.builds(Plan, steps=st.none() | ANY, steps_per_epoch=ANY, batch_size=ANY, minutes=st.none() | st.floats(-1, 9)),
    st.builds(System, step=ANY, steps_per_second=st.floats(-1e9, 1e9), images_per_second=st.just(1.0)),
    st.builds(Sample, step=ANY, path=st.just("p")), st.builds(Alert, step=ANY, level=st.just("odd"), what=st.just("")),
    st.builds(Edit, step=ANY, key=st.just("k"), old=st.none(), new=st.lists(st.none())),
    st.builds(Progress, what=st.just("p"), done=ANY, total=ANY),
)  # fmt: skip


@given(st.lists(EVENTS, max_size=12))
def test_no_log_makes_a_reader_fail(tmp_path_factory, story):
    path = tmp_path_factory.mktemp("run")
    (path / "config.toml").touch()
    (path / "events.jsonl").write_bytes(b"".join(events.encode(event) for event in story))
    view = RunView(path)
    view.poll()
    for curve in view.series.values():
        assert (curve.steps[1:] >= curve.steps[:-1]).all() and len(curve.steps) == len(curve.values)
    assert view.fraction is None or view.fraction <= 1.0
    assert view.eta is None or view.eta >= 0
    assert view.epoch == view.epoch and isinstance(runs.info_of(path).step, int)


def test_a_long_log_takes_time_in_proportion_to_its_length(run):
    def cost(count: int) -> float:
        story = [loss(n * 10, n * 10 + 10) if n % 5 else Note(text=str(n)) for n in range(count)]
        (run / "events.jsonl").write_bytes(b"".join(events.encode(event) for event in story))
        best = math.inf
        for _ in range(3):
            view, begun = RunView(run), time.process_time()
            view.read_all()
            best = min(best, time.process_time() - begun)
        assert len(view.series["vae/loss"]) == len(range(count)) // 5 * 40
        return best

    # Were it quadratic, four times as much would take sixteen times as long.
    assert cost(10_000) < 10 * cost(2_500)


def test_a_reader_keeps_up_with_a_live_run(run, view, mine):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from tui_gen.log.event_log import EventWriter\nfrom tui_gen.events import Metrics\n"
        "writer = EventWriter(Path(sys.argv[1]))\n"
        "for step in range(0, 3000, 3):\n"
        "    writer.write(Metrics(start=step, values={'vae/loss': [1.0 * step, 1.0 * step + 1, 1.0 * step + 2]}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(run / "events.jsonl")])
    try:
        wait_for(lambda: view.poll() is not None and view.step == 3000, 60, "the last step")
    finally:
        process.kill()
        process.wait(120)
    assert points(view) == {step + 1: float(step) for step in range(3000)} and view.garbage == 0
