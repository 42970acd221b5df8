"""`tui-gen rollback` and `tui-gen yield`: of live runs and of those that have ended."""

from __future__ import annotations

import shutil
from subprocess import CompletedProcess

import pytest

from tests import fake_worker
from tests.waiting import wait_for, wait_until_listening
from tui_gen import checkpoints, children, events, forks, rollbacks, runs
from tui_gen.log import event_log


def ended(steps=200, early=120):
    """A finished run with two checkpoints."""
    run = fake_worker.record(fake_worker.make_run(None, "vae-digits", f"train.steps={steps}"), steps=steps)
    fake = fake_worker.FakeRun(run, event_log.EventWriter(run / "events.jsonl"), steps)
    fake.step = early
    fake.checkpoint("test")
    return run


def test_a_finished_run_goes_back_and_is_resumed_from_there(call, monkeypatch):
    run, processes = ended(), fake_worker.install(monkeypatch, steps=200)
    status, out, _ = call("rollback", run.name, "--to", "120", "--rate", "0.5", "--skip", "150", "--plain")
    assert status == 0, out
    assert f"{run.name} went back from step 200 to 120: learning rates × 0.5, without the batch after step 150" in out
    assert len(processes) == 1 and runs.state_of(run)[:2] == ("finished", 200)
    (event,) = rollbacks.of(run)
    assert (event.to, event.skips, event.by_hand) == (120, [150], True)
    assert [one.step for one in event_log.read(run / "events.jsonl", events.Resume)] == [120]
    assert (run / "checkpoints/undone-000200").is_dir() and not runs.doubts(run)
    made = rollbacks.planned(run, [])  # what a resume, and a run of its config, make
    assert made == [{"step": 120, "key": "train.phases.vae.lr", "value": event.rates["train.phases.vae.lr"]}]


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        (["--to", "60"], "has no checkpoint of step 60 that can be used; there are: 120, 200", 2),
        (["--to", "120", "--skip"], "no alert names a batch to pass over", 2),
        (["--to", "120", "--skip", "90"], "does not come between the checkpoint and the run's end", 2),
        ([], "has finished at step 200, and its checkpoint there has nothing left to do again", 2),
        (["--rate", "0"], "is not a factor", 2),
        (["--to", "x"], "is not a step", 2),
    ],
)
def test_what_an_ended_run_cannot_go_back_to_is_told_and_changes_nothing(call, words, message, status):
    run = ended()
    before = (run / "events.jsonl").read_bytes()
    found, _, err = call("rollback", run.name, *words)
    assert found == status and message in err
    assert (run / "events.jsonl").read_bytes() == before and checkpoints.steps(run) == [120, 200]


def test_a_live_run_is_asked(call, monkeypatch):
    run = fake_worker.make_run(None, "vae-digits")
    process = fake_worker.start(run, hold=300)
    wait_until_listening(run)
    wait_for(lambda: runs.state_of(run)[1] == 300, what="the step at which it waits")
    assert call("fork", run.name, "--no-start", "--name", "fork")[0] == 0  # each has its worker make a checkpoint
    assert checkpoints.steps(run) == [300] and forks.origin(run.parent / "fork").step == 300
    monkeypatch.setattr(children, "run", lambda *words, **how: CompletedProcess(words, 1, "", "error: no PyTorch here"))
    for command in ("sample", "walk"):
        shutil.rmtree(run / "checkpoints")
        assert call(command, run.name)[::2] == (1, "tui-gen: no PyTorch here\n") and checkpoints.steps(run) == [300]
    shutil.rmtree(run / "checkpoints")
    assert call("rollback", run.name)[0] == 0 and checkpoints.steps(run) == [300]
    status, out, _ = call("rollback", run.name, "--to", "50", "--rate", "0.5")
    assert status == 0 and out == f"{run.name} went back from step 300 to 50: learning rates × 0.5\n"
    status, out, _ = call("yield", run.name)
    assert status == 0 and "paused at step" in out and "yielded: 2.0 GB" in out
    status, out, _ = call("yield", "--all", "--back")
    assert status == 0 and "goes on at step" in out
    process.terminate()
    process.wait(60)
    status, _, err = call("yield", run.name)
    assert status == 1 and "has no live worker" in err
