"""Containers: our command as process 1, and workers that die below a process 1 that waits for nobody."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import msgspec
import pytest

from tests import fake_cli, fake_worker
from tests.waiting import wait_for, wait_until_listening
from tui_gen import control, first_process, launch, presence, runs
from tui_gen.queue import queueing
from tui_gen.view import RunView

APART = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"]
"""Runs a command as process 1 of a numbering of its own, as a container does."""


@cache
def may_be_apart() -> bool:
    if not shutil.which("unshare"):
        return False
    return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0


CONTAINED = pytest.mark.skipif("not may_be_apart()", reason="no process namespace may be made here (unshare)")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="no subreapers here")


@contextlib.contextmanager
def contained(*command):
    """(the process around a command that is process 1, the id of process 1 as it is called outside)"""
    around = subprocess.Popen(
        [*APART, *map(str, command)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=fake_worker.ROOT,
    )  # fmt: skip
    children = Path(f"/proc/{around.pid}/task/{around.pid}/children")
    try:
        yield around, int(wait_for(lambda: children.read_text().split() or around.poll() is not None)[0])
    finally:
        around.kill()
        around.communicate()


def as_first(code):
    """A command line that runs code as `first_process.apart` runs a command; a name `command` is expected."""
    return sys.executable, "-c", f"import os, signal, sys\nfrom tui_gen import first_process\n{code}\n" + (
        "status = first_process.apart(command)\nsys.stdout.flush()\nos._exit(status)"
    )


OBEYS = """
def command():
    heard = []
    for number in sorted(first_process.HANDED_ON):
        signal.signal(number, lambda number, _: print(number, flush=True))
    print(os.getpid() != 1, flush=True)
    while True:
        signal.pause()
"""


@CONTAINED
def test_every_signal_that_process_1_is_sent_reaches_the_command():
    with contained(*as_first(OBEYS)) as (around, first):
        assert around.stdout.readline() == "True\n"
        for number in sorted(first_process.HANDED_ON):
            os.kill(first, number)
            assert around.stdout.readline() == f"{int(number)}\n", number.name


DEFAULT = """
def command():
    print("ready", flush=True)
    while True:
        signal.pause()
"""


@CONTAINED
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1], ids=lambda number: number.name)
def test_a_signal_that_nobody_handles_ends_the_container(number):
    """Process 1 itself would not so much as notice it."""
    with contained(*as_first(DEFAULT)) as (around, first):
        assert around.stdout.readline() == "ready\n"
        os.kill(first, number)
        assert around.wait(120) == 128 + number


ORPHANS = """
import subprocess, time
def command():
    words = subprocess.run(["sh", "-c", "sleep 0 & echo $!; (exec sleep 0) & echo $!"], stdout=subprocess.PIPE)
    left = [f"/proc/{number}" for number in words.stdout.decode().split()]
    while any(map(os.path.exists, left)):
        time.sleep(0.01)
    print(len(left), "collected", flush=True)
    return 7
"""


@CONTAINED
def test_what_lost_its_parent_is_collected_and_the_status_is_the_command_s():
    with contained(*as_first(ORPHANS)) as (around, _):
        assert around.stdout.readline() == "2 collected\n"
        assert around.wait(120) == 7


def children_of(pid: int) -> list[list[str]]:
    """The command lines of a process's children."""
    numbers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = []
    for number in numbers:
        with contextlib.suppress(OSError):
            lines.append(Path(f"/proc/{number}/cmdline").read_text().split("\0"))
    return lines


@CONTAINED
def test_a_run_that_was_left_running_ends_with_a_checkpoint_when_its_container_is_stopped():
    """Process 1 would take it along when the command ends: it stays, and hands the signal on."""
    command = fake_cli.command("--run", "vae-digits", "--detach", steps=100_000, rate=100)
    with contained(*command) as (around, first):
        assert around.stdout.readline().startswith("training in the background")
        (row,) = runs.list_runs(runs.default_root())
        wait_until_listening(Path(row.path))
        wait_for(lambda: runs.state_of(row.path)[0] == "running")
        wait_for(lambda: not any("--detach" in words for words in children_of(first)), what="the command's end")
        os.kill(first, signal.SIGTERM)
        assert around.wait(120) == 0
    state, step, reason = runs.state_of(row.path)
    assert state == "stopped" and "SIGTERM" in reason
    assert (Path(row.path) / f"checkpoints/{step:06d}").is_dir()


def test_elsewhere_a_command_runs_in_this_very_process():
    assert first_process.apart(os.getpid) == os.getpid()


CARELESS = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans below become its children
subprocess.run([sys.executable, "-c", sys.argv[1], *sys.argv[2:]], check=True)
print("started", flush=True)
sys.stdin.read()
"""
STARTS = """
import sys
from pathlib import Path
from tests import fake_worker
fake_worker.start(Path(sys.argv[1]), steps=100_000, rate=50)
"""


@pytest.fixture
def killed():
    """A run whose worker was killed, and is a zombie: whoever adopted it waits for nobody."""
    run = fake_worker.make_run()
    command = [sys.executable, "-c", CARELESS, STARTS, str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=fake_worker.ROOT) as careless:
        try:
            assert careless.stdout.readline() == b"started\n"
            wait_until_listening(run)
            wait_for(lambda: runs.state_of(run)[0] == "running")
            pid = runs.worker_of(run).pid
            assert runs.live(run)
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: presence.process_state(pid) == "Z", what="it to end")
            wait_for(lambda: not presence.held(run), what="all its threads to end")
            yield run
            assert presence.process_state(pid) == "Z"
        finally:
            careless.stdin.close()


@LINUX
def test_a_worker_that_nobody_waits_for_counts_as_dead_everywhere(killed, monkeypatch):
    info = runs.worker_of(killed)
    for locks in (presence.held, lambda _: None):  # also where the file system has no locks
        monkeypatch.setattr(presence, "held", locks)
        assert not presence.alive(info) and not runs.live(killed)
        assert runs.state_of(killed)[0] == "interrupted"
        view = RunView(killed)
        view.read_all()
        assert view.state == "interrupted" and not view.live
        assert runs.list_runs(killed.parent)[0].state == "interrupted"
        launch.refuse_if_live(killed)
        with pytest.raises(control.ControlError, match="has no live worker"):
            launch.ask_run(killed, "pause")
        assert not runs.refuse_if_training(killed)
        runs.claim(killed).release()
        (killed / presence.WORKER).write_bytes(msgspec.json.encode(info))  # which a claim takes away
    assert not queueing.is_worked_on(killed.parent, info.host)


def test_a_process_of_another_container_is_not_looked_for_among_ours(tmp_path, monkeypatch):
    """The number of its process is somebody else's here: signs of life count, where locks cannot tell."""
    run = fake_worker.make_run(tmp_path)
    fake_worker.record(run, state="running")
    info = presence.described(run, "/x.sock")
    locks = presence.held
    monkeypatch.setattr(presence, "held", lambda _: None)
    ours = msgspec.structs.replace(info, pid=1 << 30)
    theirs = msgspec.structs.replace(ours, processes="pid:[1]", host="container")
    (run / presence.WORKER).write_bytes(msgspec.json.encode(ours))
    assert not runs.live(run)
    (run / presence.WORKER).write_bytes(msgspec.json.encode(theirs))
    assert presence.here(theirs) and not presence.in_sight(theirs)
    assert runs.live(run) and runs.state_of(run)[2] == "on container"
    assert "on container: not reachable from here" in launch.out_of_reach(run)
    monkeypatch.setattr(presence, "held", locks)
    (run / presence.LOCK).touch()
    assert not runs.live(run)  # nobody holds it, and locks hold across containers
