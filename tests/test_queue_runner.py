"""What trains a queue: one after another, past failures and kills, beside the runs of others."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys

import pytest

from tests import fake_worker
from tests.test_queueing import draft, known
from tests.waiting import wait_for
from tui_gen import launch, presence, runs, slots
from tui_gen.history import provenance
from tui_gen.queue import queue_runner, queueing
from tui_gen.queue.queue_runner import QueueRunner
from tui_gen.signals import Signals


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(slots, "here", lambda: ["cpu"])
    monkeypatch.setattr(queue_runner.catalogs, "ensure", lambda folders: known())
    monkeypatch.setattr(provenance, "begin", lambda *_: None)  # it writes a moment later, when a run may be deleted
    return tmp_path / "runs"


class Workers:
    """Stands in for processes: what a worker would have left is there at once, as `ends` says by the run's name."""

    def __init__(self, monkeypatch, root, **ends):
        self.root, self.ends, self.started = root, ends, []
        self.holds = {}
        monkeypatch.setattr(launch, "start", self.start)

    def start(self, run, *, resume=False, model_dirs=None, hold=None):
        name = run.name.split("-")[2]
        self.started.append((name, resume))
        ends = self.ends.get(name, "finished")
        state, reason = (ends.pop(0) if len(ends) > 1 else ends[0], "") if isinstance(ends, list) else (ends, "")
        state, _, reason = state.partition(": ")
        if state == "live":
            self.holds[name] = runs.claim(run)
            runs.register(run, "")
            state = "running"
        fake_worker.record(run, state=state, samples=1, steps=10, reason=reason)
        return subprocess.Popen(["true"])

    def end(self, name):
        """A live one finishes."""
        entry = next(entry for entry in queueing.read(self.root).entries if entry.name == name)
        self.holds.pop(name).release()
        fake_worker.record(entry.path(self.root), steps=10, samples=1)


@pytest.fixture
def workers(root, monkeypatch):
    made = Workers(monkeypatch, root)
    yield made
    for hold in made.holds.values():
        hold.release()


def states(root):
    return {entry.name: entry.state for entry in queueing.read(root).entries}


def test_five_are_trained_one_after_another_and_one_that_fails_stops_nothing(root, workers):
    workers.ends = {"three": "failed: it broke"}
    five = ["one", "two", "three", "four", "five"]
    queueing.add(root, [draft(name) for name in five])
    runner, turns = QueueRunner(root), 0
    while runner.turn():
        turns += 1
        assert len(queueing.read(root).of("running")) == 1
    assert [name for name, _ in workers.started] == five
    assert states(root) == {name: "failed" if name == "three" else "done" for name in five}
    entry = queueing.read(root).get(3)
    assert entry.reason == "it broke" and runs.state_of(entry.path(root))[0] == "failed"
    assert {path.name for path in root.iterdir() if runs.is_run(path)} == {
        entry.run for entry in queueing.read(root).entries
    }


def test_a_run_whose_worker_died_goes_on_but_not_for_ever(root, workers):
    workers.ends = {"killed": ["running", "running", "finished"], "cursed": ["running"]}
    queueing.add(root, [draft("killed"), draft("cursed"), draft("last")])
    runner = QueueRunner(root)
    while runner.turn():
        pass
    assert states(root) == {"killed": "done", "cursed": "failed", "last": "done"}
    assert workers.started.count(("killed", True)) == 2
    assert workers.started.count(("cursed", True)) == queue_runner.RESUMES
    assert "its worker died 4 times at about step 10" in queueing.read(root).get(2).reason


@pytest.mark.parametrize("when", ["taken", "made", "begun", "trained"])
def test_wherever_a_runner_is_killed_the_next_one_goes_on(root, workers, monkeypatch, when):
    queueing.add(root, [draft("one"), draft("two")])

    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        if when == "taken":
            patch.setattr(queue_runner.starting, "create", kill)
        elif when == "made":
            patch.setattr(launch, "start", kill)
        elif when == "begun":
            real = queueing.update
            patch.setattr(queueing, "update", lambda root, id, change: kill() if workers.started else real)
        else:
            patch.setattr(queueing, "update", queueing.update)
        with pytest.raises(Killed) if when != "trained" else contextlib.nullcontext():
            QueueRunner(root).turn()
    folder = queueing.read(root).get(1).run
    runner = QueueRunner(root)
    while runner.turn():
        pass
    assert states(root) == {"one": "done", "two": "done"}
    assert queueing.read(root).get(1).run == folder
    assert workers.started == [("one", False), ("two", False)], "neither twice nor not at all"


@pytest.mark.parametrize(("state", "which"), [("running", ""), ("paused", " (paused)")])
def test_a_run_of_somebody_else_is_waited_for_and_named(root, workers, state, which):
    other = fake_worker.make_run(root, "vae-digits", "name=theirs")
    with runs.claim(other):
        runs.register(other, "")
        fake_worker.record(other, state=state, samples=1)
        queueing.add(root, [draft("mine")])
        runner = QueueRunner(root)
        assert runner.turn() and runner.turn()
        entry = queueing.read(root).get(1)
        assert (entry.state, entry.reason) == ("waiting", f"waits for {other.name}{which} on cpu")
        assert workers.started == []
    assert runner.turn()
    assert queueing.read(root).get(1).state == "running"


def test_a_device_that_somebody_gave_back_is_free(root, workers):
    other = fake_worker.make_run(root, "vae-digits", "name=theirs")
    with runs.claim(other):
        runs.register(other, "")
        fake_worker.record(other, state="paused", samples=1, reason="yielded: 2.1 GB of cuda are given back")
        queueing.add(root, [draft("mine")])
        QueueRunner(root).turn()
        assert queueing.read(root).get(1).state == "running"


def test_each_device_trains_one_at_a_time(root, workers, monkeypatch):
    monkeypatch.setattr(slots, "here", lambda: ["cuda:0", "cuda:1", "cpu"])
    workers.ends = {name: "live" for name in ("a", "b", "c", "d")}
    queueing.add(root, [draft("a"), draft("b"), draft("c"), draft("d", "train.device=cpu")])
    runner = QueueRunner(root)
    runner.turn()
    queue = queueing.read(root)
    assert [(entry.name, entry.slot) for entry in queue.of("running")] == [
        ("a", "cuda:0"), ("b", "cuda:1"), ("d", "cpu"),
    ]  # fmt: skip
    text = (queue.get(2).path(root) / "config.toml").read_text()
    assert 'device = "cuda:1"' in text and 'device = "auto"' in (queue.get(1).path(root) / "config.toml").read_text()
    workers.end("b")
    runner.turn()
    assert (queueing.read(root).get(3).state, queueing.read(root).get(3).slot) == ("running", "cuda:1")


def test_a_person_who_stops_or_deletes_a_run_has_said_what_they_want_of_it(root, workers, monkeypatch):
    monkeypatch.setattr(queue_runner, "PATIENCE", 0.0)
    workers.ends = {"asked": "stopped: asked to", "signal": "stopped: by SIGTERM", "gone": "live"}
    queueing.add(root, [draft("asked"), draft("signal"), draft("gone")])
    runner = QueueRunner(root)
    while states(root)["gone"] != "running":
        runner.turn()
    workers.holds.pop("gone").release()
    runs.delete(queueing.read(root).get(3).path(root))
    while runner.turn():
        pass
    assert set(states(root).values()) == {"cancelled"}
    assert queueing.read(root).get(1).reason == "stopped at step 10, asked to"


def test_a_machine_that_was_shut_down_goes_on_with_what_it_trained(root, workers, monkeypatch):
    workers.ends = {"one": ["stopped: by SIGTERM", "finished"]}
    queueing.add(root, [draft("one")])
    QueueRunner(root).turn()
    monkeypatch.setattr(presence, "boot", lambda: "another start")
    runner = QueueRunner(root)
    while runner.turn():
        pass
    assert states(root) == {"one": "done"} and ("one", True) in workers.started


def test_what_was_added_elsewhere_is_left_to_them_unless_it_is_asked_for(root, workers):
    queueing.add(root, [draft("theirs")])
    queueing.update(root, 1, lambda entry: setattr(entry, "host", "another"))
    assert not QueueRunner(root).turn() and workers.started == []
    assert queueing.ours(queueing.read(root)) == []
    queueing.update(root, 1, lambda entry: setattr(entry, "state", "running") or setattr(entry, "by", "another"))
    runner = QueueRunner(root, everything=True)
    queueing.update(root, 1, lambda entry: setattr(entry, "run", queueing.new_folder("theirs")))
    while runner.turn():
        pass
    assert states(root) == {"theirs": "done"}


def test_a_queue_that_is_held_begins_nothing_and_ends_what_it_trains(root, workers):
    workers.ends = {"one": "live"}
    queueing.add(root, [draft("one"), draft("two")])
    runner = QueueRunner(root)
    assert runner.turn()
    queueing.hold(root)
    workers.end("one")
    assert runner.turn() is False and states(root) == {"one": "done", "two": "waiting"}
    queueing.hold(root, False)
    while runner.turn():
        pass
    assert states(root)["two"] == "done"


def test_a_full_disk_spoils_no_entry(root, workers, monkeypatch):
    queueing.add(root, [draft("one"), draft("two")])
    with monkeypatch.context() as patch:

        def full(*_):
            raise runs.RunError("cannot make a run: no space left") from OSError(errno.ENOSPC, "no space left")

        patch.setattr(queue_runner.starting, "create", full)
        runner = QueueRunner(root)
        assert runner.turn() and states(root) == {"one": "waiting", "two": "waiting"}
        assert "waits for room: cannot make a run" in queueing.read(root).get(1).reason
    while runner.turn():
        pass
    assert states(root) == {"one": "done", "two": "done"} and queueing.read(root).get(1).reason == ""


def test_a_config_that_has_become_bad_fails_with_its_words(root, workers):
    queueing.add(root, [draft("bad", config="[model]\nname = 'vea'\n"), draft("good")])
    runner = QueueRunner(root)
    while runner.turn():
        pass
    assert states(root) == {"bad": "failed", "good": "done"}
    assert "did you mean 'vae'?" in queueing.read(root).get(1).reason


def test_whatever_stands_in_the_file_spoils_only_its_own_entry(root, workers):
    odd = ["", "= [", "model_dirs = [1, {}]", "model = 3\ntrain = []", "name = 1"]
    odd += ["[model]\nname = ['vae']", "x" * 9999]
    queueing.add(root, [*(draft(f"odd{number}", config=text) for number, text in enumerate(odd)), draft("good")])
    runner = QueueRunner(root)
    while runner.turn():
        pass
    entries = queueing.read(root).entries
    assert [entry.state for entry in entries] == ["failed"] * len(odd) + ["done"]
    assert all(entry.reason for entry in entries[:-1])


PROGRAM = """
import subprocess, sys
from tests import fake_worker
from tui_gen import launch, slots
from tui_gen.queue import queue_runner
slots.here = lambda: ["cpu"]
queue_runner.LOOK = 0.02
def start(run, *, resume=False, model_dirs=None, hold=None):
    if "two" in run.name:
        return fake_worker.start(run, hold, resume=resume, rate=2000, steps=60, beat=0.005, sample_seconds=0,
                                 hold=-1 if resume else 30)
    fake_worker.record(run, steps=20, samples=1, state="failed" if "three" in run.name else "finished")
    return subprocess.Popen(["true"])
launch.start = start
sys.exit(queue_runner.main())
"""


def test_a_queue_of_five_survives_sigkill_of_its_runner_and_of_a_worker(root):
    """With processes: the runner is killed while the second is trained, its worker too; a new runner ends it all."""

    def begin():
        env = {**os.environ, "PYTHONPATH": str(fake_worker.ROOT)}
        return subprocess.Popen([sys.executable, "-c", PROGRAM, str(root)], env=env)

    five = ["one", "two", "three", "four", "five"]
    queueing.add(root, [draft(name) for name in five])
    first = begin()
    second = wait_for(lambda: (entry := queueing.read(root).get(2)).begun and entry.path(root))
    wait_for(lambda: runs.state_of(second)[1] >= 30)
    assert queueing.is_worked_on(root) and not queueing.idle(root, queueing.read(root))
    assert not queueing.work(root), "there is one runner at a time"
    with Signals() as signals:
        assert queue_runner.work(root, False, signals) == 0
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert queueing.idle(root, queueing.read(root))
    os.kill(runs.worker_of(second).pid, signal.SIGKILL)
    assert begin().wait(120) == 0
    assert states(root) == {name: "failed" if name == "three" else "done" for name in five}
    assert runs.state_of(second)[0] == "finished" and not queueing.is_worked_on(root)
