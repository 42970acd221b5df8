"""The stand-in for a worker behaves as one, as far as readers and askers can tell."""

import os
import signal

import pytest

from tests import fake_worker
from tests.waiting import wait_for, wait_until_listening
from tui_gen import control, launch, runs
from tui_gen.view import RunView


def test_it_trains_answers_and_stops():
    run = fake_worker.make_run()
    process = fake_worker.start(run, rate=500, sample_seconds=0.1)
    wait_until_listening(run)
    view = RunView(run)
    wait_for(lambda: view.poll() and view.step > 50 and len(view.samples) > 2, what="steps and samples")
    assert view.state == "running" and {"vae/loss", "vae/kl"} <= set(view.series)
    assert (run / view.samples[-1].path).is_file()
    paused = launch.ask_run(run, "pause").data["step"]
    wait_for(lambda: view.poll() is not None and view.state == "paused", what="the pause in the log")
    assert launch.ask_run(run, "status").data["step"] == paused
    edit = launch.ask_run(run, "edit", key="train.phases.vae.lr", value=5e-4).data
    assert edit["new"] == 5e-4 and edit["old"] == 1e-3 and edit["step"] == paused
    with pytest.raises(control.ControlError, match="cannot be changed"):
        launch.ask_run(run, "edit", key="model.latent", value=5)
    launch.ask_run(run, "resume")
    wait_for(lambda: launch.ask_run(run, "status").data["step"] > paused, what="steps after the pause")
    launch.ask_run(run, "stop")
    process.wait(120)
    assert runs.state_of(run)[0] == "stopped" and list((run / "checkpoints").iterdir())


def test_killed_it_is_interrupted_and_resumes():
    run = fake_worker.make_run()
    process = fake_worker.start(run)
    wait_until_listening(run)
    step = launch.ask_run(run, "checkpoint").data["step"]
    os.kill(process.pid, signal.SIGKILL)
    process.wait(120)
    assert runs.state_of(run)[0] == "interrupted"
    again = fake_worker.start(run, resume=True, steps=step + 20)
    again.wait(120)
    assert runs.state_of(run)[:2] == ("finished", step + 20)


def test_a_recorded_run_reads_as_finished():
    run = fake_worker.record(fake_worker.make_run(None, "vae-digits", "name=old"), steps=120)
    view = RunView(run)
    view.poll()
    assert (view.state, view.step, len(view.series["vae/loss"])) == ("finished", 120, 120)
    assert [one.name for one in runs.list_runs(runs.default_root())] == ["old"]


def test_a_crash_is_in_the_log():
    run = fake_worker.make_run()
    process = fake_worker.start(run, crash_at=10, rate=1000)
    assert process.wait(120) == 1
    assert runs.state_of(run)[0] == "failed"
    assert "told to crash" in runs.last_log_lines(run)[-1]
