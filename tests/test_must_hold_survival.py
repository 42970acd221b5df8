"""What a run survives, and what its readers see of it: real workers, the real workbench, on real terminals."""

import signal
import sys
import time

import pytest

from tests import tmux
from tests.pty_terminal import PtyTerminal
from tests.real_runs import (
    WORKBENCH,
    assert_no_step_lost,
    status_step,
    step_of,
    tiny_run,
    training,
    wait_for_progress,
    wait_for_step,
    workbench,
)
from tests.waiting import wait_for
from tui_gen import launch, runs

BLOCKED_SECONDS = 4
"""How long the terminal does not read, as on a bad link."""


def the_run_goes_on_and_can_be_steered(run):
    """After its workbench is gone: more steps, none lost, and another workbench shows and stops it."""
    wait_for_progress(run)
    with workbench(run) as again:
        wait_for_step(again, wait_for_progress(run))
        again.wait_for_text("elbo")
        again.press("f9")
        again.wait_for_text("■ stopped", 60)
    assert runs.state_of(run)[0] == "stopped"
    assert list((run / "checkpoints").iterdir())
    assert_no_step_lost(run)


@pytest.mark.parametrize("end", ["kill", "hangup", "tmux"])
def test_a_run_outlives_its_workbench(end):
    """Started by the workbench itself with F5, then SIGKILL, the terminal's end, the end of the whole tmux."""
    root = runs.default_root()
    if end == "tmux":
        terminal = tmux.Tmux(WORKBENCH)
        terminal.wait_for_text("press F5")
        terminal.send("F5")
    else:
        terminal = workbench(warm=True)
        terminal.wait_for_text("press F5")
        terminal.press("f5")
    with terminal:
        terminal.wait_for_text("▶ running", 120)
        run = runs.find(root)
        wait_for(lambda: step_of(run) > 20, 120, "steps")
        if end == "kill":
            terminal.process.send_signal(signal.SIGKILL)
            terminal.process.wait(120)
        else:
            terminal.close()
            ours = terminal.pid if end == "tmux" else terminal.process.pid
            wait_for(lambda: not runs.process_started(ours), what="the workbench's end")
        assert runs.state_of(run)[0] == "running"
        the_run_goes_on_and_can_be_steered(run)


def test_a_workbench_whose_terminal_is_gone_ends_though_no_signal_tells_it():
    code = (
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])\n"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    with PtyTerminal([sys.executable, "-c", code, *WORKBENCH]) as terminal:
        terminal.wait_for_text("press F5")
        terminal.close()
        assert terminal.process.wait(120) == 128 + signal.SIGHUP


def test_a_terminal_that_does_not_read_costs_no_step():
    run = tiny_run()
    with training(run) as worker, workbench(run) as terminal:
        wait_for_step(terminal, 10)
        before, since = step_of(run), time.monotonic()
        terminal.block()
        wait_for(lambda: time.monotonic() - since >= BLOCKED_SECONDS, BLOCKED_SECONDS + 30, "the time to pass")
        assert worker.poll() is None
        assert step_of(run) > before + 20, "training stood still"
        terminal.unblock()
        wait_for_step(terminal, step_of(run))
        launch.ask_run(run, "stop")
        worker.wait(120)
        terminal.wait_for_text("■ stopped")
        terminal.wait_until(lambda screen: status_step(screen) == step_of(run), what="the last step")
        assert_no_step_lost(run)


def test_a_killed_worker_is_shown_as_interrupted_and_resumed():
    run = tiny_run()
    with training(run) as worker, workbench(run) as terminal:
        saved = launch.ask_run(run, "checkpoint").data["step"]
        wait_for_step(terminal, saved)
        with open(run / "worker.log", "a") as log:
            log.write("a library's last words\n")
        worker.send_signal(signal.SIGKILL)
        worker.wait(120)
        # Promised within 5 s on an idle machine; tests share theirs.
        terminal.wait_for_text("interrupted", 15)
        screen = terminal.wait_for_texts("Resume", "a library's last words", f"step {saved:,}")
        assert "Traceback" not in screen
        terminal.press("enter")
        terminal.wait_for_text("▶ running", 120)
        wait_for_step(terminal, wait_for_progress(run))
        assert runs.worker_of(run).pid != worker.pid
        launch.ask_run(run, "stop")
        terminal.wait_for_text("■ stopped")
    assert_no_step_lost(run)


def test_two_workbenches_stay_consistent():
    run = tiny_run()
    with training(run), workbench(run) as one, workbench(run, 100, 30) as two:
        for terminal in (one, two):
            wait_for_step(terminal, 1)
        one.press("f6")
        for terminal in (one, two):
            terminal.wait_for_text("‖ paused")
        step = step_of(run)
        launch.ask_run(run, "edit", key="train.phases.vae.lr", value=2.5e-4)
        for terminal in (one, two):
            wait_for(lambda t=terminal: status_step(t.text()) == step, what=f"step {step} on both screens")
            terminal.press("5")
            terminal.wait_for_text("train.phases.vae.lr: 0.001 → 2.5e-4")
        two.press("f6")
        for terminal in (one, two):
            terminal.wait_for_text("▶ running")
            wait_for_step(terminal, step + 1)
        two.press("f9")
        for terminal in (one, two):
            terminal.wait_for_text("■ stopped")
            terminal.wait_until(lambda screen: status_step(screen) == step_of(run), what="the last step")
    assert_no_step_lost(run)
