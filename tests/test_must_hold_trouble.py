"""A full disk, folders that cannot be written, damaged and foreign files, idle and slow terminals: said clearly."""

import re
import resource
import subprocess
import sys

import pytest

from tests import fake_worker
from tests.pty_terminal import KITTY, PLAIN, SIXEL, PtyTerminal
from tests.real_runs import (
    COLD,
    WORKBENCH,
    assert_no_step_lost,
    step_of,
    tiny_run,
    training,
    wait_for_progress,
    wait_for_step,
    workbench,
)
from tests.waiting import wait_for, wait_until_listening
from tui_gen import launch, runs
from tui_gen.view import RunView

QUIET = 3.5
"""Seconds of silence that count as silence: longer than any of the workbench's timers. The benchmark listens longer."""


def tui_gen(*words, **more):
    """A command line without a terminal."""
    return subprocess.run([*WORKBENCH, *map(str, words)], capture_output=True, text=True, check=False, **more)


def test_a_full_disk_holds_the_run_until_there_is_room():
    run = tiny_run("preview.every_seconds=0")
    with training(run) as worker, workbench(run, 160) as terminal:
        wait_for_step(terminal, 1)
        limit, hard = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
        full = (run / "events.jsonl").stat().st_size + 20_000
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (full, hard))
        trouble = wait_for(lambda: launch.ask_run(run, "status").data["trouble"], 60, "the disk to be full")
        assert str(run) in trouble and "room" in trouble
        screen = terminal.wait_for_text("room")
        assert "Traceback" not in screen
        held = launch.ask_run(run, "status").data["step"]
        assert runs.state_of(run)[0] == "running" and worker.poll() is None
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (limit, hard))
        wait_for(lambda: not launch.ask_run(run, "status").data["trouble"], 30, "the trouble to end")
        wait_for_step(terminal, held + wait_for_progress(run) - held)
        launch.ask_run(run, "stop")
        worker.wait(120)
    assert step_of(run) > held
    assert_no_step_lost(run)
    view = RunView(run)
    view.poll()
    assert view.garbage == 0 and view.state == "stopped"


def test_a_runs_folder_that_cannot_be_written(world):
    """Root may write everywhere, but nobody can make a folder in a file."""
    file = world / "a-file"  # a short path, which no toast breaks
    file.write_text("not a folder")
    done = tui_gen("--run", "vae-digits", "--runs", file / "runs", "--plain")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert re.search(rf"cannot make a run in {re.escape(str(file))}/runs: .*--runs DIR", done.stderr), done.stderr
    with PtyTerminal([*COLD, "--runs", str(file)], 140, 40) as terminal:
        terminal.wait_for_text("press F5")
        terminal.press("f5")
        screen = terminal.wait_for_texts("cannot make a run in", str(file), "--runs DIR")
        assert "Traceback" not in screen
        terminal.press("ctrl+q")
        assert terminal.wait_exit() == 0
    assert file.read_text() == "not a folder"


def test_torn_and_garbage_lines_are_passed_over(tmp_path):
    run = fake_worker.record(fake_worker.make_run(), steps=90, state="running")
    log = run / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    garbage = [
        b"\x00\xff\xfe nothing\n", b'{"type":"metrics","start":"no"}\n', b'{"type":"from-the-future","t":1}\n', b"[]\n",
    ]  # fmt: skip
    half = len(lines) // 2
    log.write_bytes(b"".join([*lines[:half], *garbage, *lines[half:], b'{"type":"metrics","t":17.5,"sta']))
    done = tui_gen("attach", run, "--plain")
    assert "Traceback" not in done.stdout + done.stderr
    assert "interrupted" in done.stdout + done.stderr
    with workbench(run) as terminal:
        terminal.wait_for_text("interrupted")
        screen = terminal.wait_for_text("4 lines of events.jsonl could not be read")
        assert "Traceback" not in screen
        terminal.wait_for_text("loss")
        wait_for_step(terminal, 90)
    # A worker that goes on with it begins a line of its own.
    fake_worker.start(run, resume=True, steps=120, rate=1000).wait(120)
    view = RunView(run)
    view.poll()
    assert view.state == "finished" and view.step == 120 and view.garbage == 5


def test_a_config_from_a_newer_version(tmp_path):
    run = fake_worker.record(fake_worker.make_run(), steps=90)
    config = run / "config.toml"
    newer = "format = 99\nholograms = true\n" + re.sub(r"(?m)^format = .*\n", "", config.read_text())
    config.write_text(newer)
    for words in (("--run", config), ("--resume", run)):
        done = tui_gen(*words, "--plain")
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        assert "newer tui-gen" in done.stderr and "99" in done.stderr and run.name in done.stderr
    with workbench(run) as terminal:
        wait_for_step(terminal, 90)
        screen = terminal.wait_for_texts("newer tui-gen", "finished")
        assert "Traceback" not in screen
    assert config.read_text() == newer


def test_a_config_that_is_no_toml(tmp_path):
    run = fake_worker.record(fake_worker.make_run(), steps=90)
    (run / "config.toml").write_text('name = "half\n[model')
    done = tui_gen("--resume", run, "--plain")
    assert done.returncode == 2 and "not valid TOML" in done.stderr and "Traceback" not in done.stderr
    assert tui_gen("runs").returncode == 0
    with workbench(run) as terminal:
        terminal.wait_for_text("not valid TOML")
        wait_for_step(terminal, 90)


@pytest.mark.parametrize(
    ("shown", "size"),
    [("nothing", (80, 24)), ("a finished run", (160, 48)), ("a finished run", (200, 60)), ("a paused run", (120, 40))],
)
def test_an_idle_workbench_sends_nothing(shown, size):
    worker = None
    if shown == "nothing":
        terminal = workbench(None, *size, warm=True)
    else:
        run = fake_worker.make_run()
        if shown == "a finished run":
            fake_worker.record(run)
        else:
            worker = fake_worker.start(run)
            wait_until_listening(run)
            launch.ask_run(run, "pause")
        terminal = workbench(run, *size, personality=KITTY)
    with terminal:
        terminal.wait_for_text({"nothing": "no run", "a finished run": "finished", "a paused run": "paused"}[shown])
        terminal.wait_quiet(QUIET, 60)
        assert terminal.process.poll() is None
        if worker is not None:  # and it is the quiet of a workbench that looks
            before = terminal.bytes_out
            launch.ask_run(run, "resume")
            terminal.wait_for_text("▶ running")
            assert terminal.bytes_out > before
            launch.ask_run(run, "stop")
            worker.wait(120)


@pytest.mark.parametrize(
    ("personality", "latency"), [(KITTY, 0.4), (KITTY, 2.2), (SIXEL, 1.2)], ids=["kitty-0.4", "kitty-2.2", "sixel-1.2"]
)
def test_late_answers_of_the_terminal_type_nothing(personality, latency):
    """The probe waits 1 s for answers and swallows later ones: they must not meet the running application as keys."""
    with workbench(personality=personality, latency=latency) as terminal:
        terminal.wait_for_text("no run")
        wait_for(lambda: any("q" in query for query in terminal.queries), what="the probe's queries")
        terminal.press("/")
        terminal.wait_for_text(re.compile("[┃│] search +[┃│]"))  # without its slash once it has the focus
        terminal.send("zz")
        terminal.wait_for_text("zz")
        terminal.wait_quiet(QUIET, 60)
        line = next(line for line in terminal.text().split("\n") if "zz" in line)
        assert re.search(r"[┃│] zz +[┃│]", line), line
        assert not re.search(r"\[\?|Gi=31|1\$r|2026;", terminal.text())


def test_a_slow_link_is_not_flooded():
    """At 20 kB/s the workbench draws less often, and a key is answered while a run is training."""
    run = fake_worker.make_run()
    worker = fake_worker.start(run, rate=300)
    wait_until_listening(run)
    with workbench(run, personality=PLAIN, bandwidth=20_000, latency=0.1) as terminal:
        terminal.wait_for_text("running", 60)
        step = wait_for(lambda: step_of(run) > 300 and step_of(run), what="steps")
        wait_for_step(terminal, step, 60)
        terminal.press("f1")
        terminal.wait_for_text("Help:", 30)
    launch.ask_run(run, "stop")
    worker.wait(120)


def test_the_workbench_needs_a_terminal():
    done = tui_gen(stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "needs a terminal" in done.stderr
    with PtyTerminal(WORKBENCH, env={"TERM": "dumb"}) as terminal:
        assert terminal.wait_exit() == 2
        terminal.wait_for_text("TERM=dumb: the workbench needs a terminal that can move its cursor")
    assert sys.executable == WORKBENCH[0]


@pytest.mark.parametrize(("opener", "keys"), [("ctrl+g", "zz"), ("f10", "\r\r"), ("ctrl+p", "\x1b\x1b\x1b")])
def test_keys_faster_than_a_dialog_closes_do_no_harm(opener, keys):
    """The second of two keys in one packet, as over a slow link, meets a screen that is being left already."""
    with workbench(None, 80, 24) as terminal:
        terminal.wait_for_text("press F5")
        terminal.wait_quiet(0.5)
        before = terminal.bytes_out
        terminal.press(opener)
        wait_for(lambda: terminal.bytes_out > before + 300, what=f"what {opener} opens")
        terminal.wait_quiet(0.3)
        terminal.send(keys)
        terminal.press("?")
        terminal.wait_quiet(0.5)
        terminal.press("escape")
        terminal.wait_for_text("press F5")
        assert terminal.process.poll() is None and "Error" not in terminal.text()
