"""Whose run is it: the lock, and everything else that tells a live run from a dead one, a copy or a stranger."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from tests import fake_worker
from tests.waiting import wait_for, wait_until_listening
from tui_gen import children, control, events, launch, presence, runs
from tui_gen.app.panes.runs import pane
from tui_gen.app.panes.runs.columns import Column, cell_of
from tui_gen.control import ControlError
from tui_gen.history.run_facts import RunRow
from tui_gen.log import event_log
from tui_gen.presence import Hold, Taken
from tui_gen.runs import RunError
from tui_gen.view import RunView

CONFIG = 'name = "x"\n[model]\nname = "vae"\n[dataset]\nname = "digits"\n'
NAMESPACE = ["unshare", "--pid", "--fork", "--mount-proc"]


@pytest.fixture
def run(tmp_path) -> Path:
    """A run whose log says that it is running, an hour ago."""
    path = runs.create(tmp_path / "runs", "x", CONFIG)
    writer = event_log.EventWriter(path / "events.jsonl")
    writer.write(events.State(state="starting", step=0), events.State(state="running", step=3))
    writer.close()
    age(path)
    return path


def age(run: Path, seconds: float = 3600) -> None:
    """Make what is looked at for signs of life so old."""
    for name in ("events.jsonl", "worker.lock"):
        if (run / name).exists():
            os.utime(run / name, (time.time() - seconds, time.time() - seconds))


def named(run: Path, **changes) -> None:
    """A worker.json of this process, or as changed."""
    info = msgspec.structs.replace(presence.described(run, "/nowhere.sock"), **changes)
    (run / "worker.json").write_bytes(msgspec.json.encode(info))


@pytest.fixture
def lockless(monkeypatch):
    """A file system without locks."""

    def refuse(*_) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


# -- the lock


def test_one_at_a_time_holds_a_run(run):
    assert presence.held(run) is not True
    with Hold.take(run) as first:
        assert first.certain and presence.held(run) is True
        with pytest.raises(Taken):
            Hold.take(run)
        with pytest.raises(RunError, match="is in use: another process is starting, changing or deleting it"):
            runs.claim(run)
    assert presence.held(run) is False
    runs.claim(run).release()


def test_the_lock_goes_with_its_process(run):
    code = f"from pathlib import Path; from tui_gen.presence import Hold; x = Hold.take(Path({str(run)!r}))"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}; print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        process.stdout.readline()
        assert presence.held(run) is True
    finally:
        process.kill()
        process.communicate()
    assert presence.held(run) is False


def test_a_reader_that_looks_keeps_nobody_from_starting(run):
    Hold.take(run).release()
    looking, tried = os.open(run / "worker.lock", os.O_RDONLY), threading.Event()
    fcntl.flock(looking, fcntl.LOCK_SH)
    real = time.sleep

    def sleep(seconds: float) -> None:
        tried.set()
        real(seconds)

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(presence.time, "sleep", sleep)
            threading.Thread(target=lambda: tried.wait(120) and fcntl.flock(looking, fcntl.LOCK_UN)).start()
            with Hold.take(run) as hold:
                assert tried.is_set() and hold.certain
    finally:
        os.close(looking)


def test_a_child_inherits_the_lock_and_a_forked_one_does_not(run):
    hold = Hold.take(run)
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        os.write(tell, b"!")
        signal.pause()
    try:
        os.read(told, 1)
        hold.hand_over()  # closed, and not unlocked: whoever inherited it would hold it
        assert presence.held(run) is False
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(told)
        os.close(tell)
    hold = Hold.take(run)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[hold.handle])
    try:
        hold.hand_over()
        assert presence.held(run) is True
    finally:
        process.kill()
        process.communicate()
    assert presence.held(run) is False


def test_what_was_passed_on_counts_only_for_the_folder_that_is_there(run):
    first = Hold.take(run)
    adopted = Hold.adopt(run, os.dup(first.handle))
    first.hand_over()
    assert presence.held(run) is True and not os.get_inheritable(adopted.handle)
    run.rename(run.with_name("moved"))
    shutil.copytree(run.with_name("moved"), run)
    assert Hold.adopt(run, os.dup(adopted.handle)) is None
    assert presence.held(run) is False and presence.held(run.with_name("moved")) is True
    adopted.release()
    assert presence.held(run) is False and presence.held(run.with_name("moved")) is False


def test_a_lock_file_that_somebody_removes_is_made_again(run):
    with Hold.take(run) as hold:
        (run / "worker.lock").unlink()
        named(run)
        assert presence.held(run) is None and runs.live(run)  # its process tells
        hold.renew()
        assert presence.held(run) is True
        age(run)
        hold.renew()
        assert presence.silence(run) < 600
        shutil.rmtree(run)
        hold.renew()
        assert not run.exists()
    assert not {hold.handle} - {-1}


def test_a_deleted_run_cannot_be_held(run, monkeypatch):
    gone = []

    def attempt(handle: int, kind: int) -> bool:
        if not gone:
            gone.append(shutil.rmtree(run))
        fcntl.flock(handle, kind)
        return True

    monkeypatch.setattr(presence, "attempt", attempt)
    with pytest.raises(RunError, match=r"cannot write in .*: No such file"):
        runs.claim(run)
    assert not run.exists() and gone


def test_a_full_disk_keeps_nobody_from_deleting(run, monkeypatch):
    (run / "worker.lock").unlink(missing_ok=True)

    def full(self) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Hold, "_open", full)
    with runs.claim(run) as hold:
        assert not hold.certain
    runs.delete(run)
    assert not run.exists()


# -- who lives


def test_a_host_that_was_renamed_is_still_this_machine(run, monkeypatch):
    named(run)
    with Hold.take(run):
        monkeypatch.setattr(socket, "gethostname", lambda: "another-name")
        assert runs.state_of(run) == ("running", 3, "")
        with pytest.raises(RunError, match="is still training; stop it first with tui-gen stop"):
            runs.delete(run)
    assert runs.state_of(run) == ("interrupted", 3, "the worker is gone")


@pytest.mark.parametrize("quiet", [5, 3600])
def test_the_lock_is_asked_whatever_else_is_seen(run, quiet):
    named(run, pid=2**22 + 1, started="in another namespace", host="a1b2c3")  # a container's view
    with Hold.take(run):
        age(run, quiet)
        assert runs.state_of(run)[0] == "running"
        with pytest.raises(RunError, match="is still training"):
            runs.delete(run)
    age(run, quiet)
    assert runs.state_of(run)[0] == "interrupted"  # the same machine: when the lock is free it is free
    runs.delete(run)


def test_another_machine_s_worker_is_heard_by_its_sign_of_life(run, monkeypatch):
    named(run, boot="another", host="gpu-box", inode=1)  # some network file systems number files anew
    hold = Hold.take(run)
    hold.hand_over()  # its lock does not reach to here
    age(run)
    state, step, reason = runs.state_of(run)
    assert (state, step) == ("interrupted", 3) and reason.startswith("no sign of life from gpu-box since ")
    os.utime(run / "worker.lock")  # paused: its log is an hour old
    assert runs.state_of(run) == ("running", 3, "on gpu-box")
    for attempt in (runs.delete, runs.claim, launch.start):
        with pytest.raises(RunError, match="training on gpu-box; stop it there first"):
            attempt(run)
    with pytest.raises(ControlError, match="on gpu-box: not reachable from here; stop and checkpoint by request file"):
        launch.ask_run(run, "pause")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)  # our clock is not the file system's
    monkeypatch.setattr(presence, "_skews", {})
    monkeypatch.setattr(presence, "_looks", {})
    assert runs.state_of(run)[0] == "running"
    for attempt in (runs.delete, runs.claim):
        with pytest.raises(RunError, match="training on gpu-box; stop it there first"):
            attempt(run)
    assert run.exists() and presence.worker_of(run).host == "gpu-box" and presence.held(run) is False
    monkeypatch.setattr(time, "time", now)
    writer = event_log.EventWriter(run / "events.jsonl")
    writer.write(events.State(state="stopped", step=3))
    writer.close()
    assert not runs.live(run)  # its last word
    runs.claim(run).release()


@pytest.mark.parametrize("off", [600, -60])
def test_a_worker_whose_clock_is_off_is_seen_to_be_gone_by_commands_that_look_once(run, monkeypatch, off):
    """Where the file system takes the times of files from each machine."""
    named(run, boot="another", host="gpu-box", inode=1)
    Hold.take(run).hand_over()
    begun, wall = time.time(), time.time

    def seen(after: float) -> str:
        """What a command says that looks so long after the worker's last sign of life."""
        monkeypatch.setattr(presence, "_looks", {})
        monkeypatch.setattr(presence, "clock", lambda run: begun + after)
        monkeypatch.setattr(presence.time, "time", lambda: begun + after)
        state = runs.state_of(run)[0]
        monkeypatch.setattr(presence.time, "time", wall)
        return state

    age(run, -off)
    assert seen(0) == seen(20) == "running"
    age(run, -off - 25)  # another sign of life
    assert seen(30) == seen(50) == "running"
    assert seen(125) == "interrupted"


def test_a_worker_gives_signs_of_life(run, monkeypatch):
    monkeypatch.setattr(presence, "BEAT", 0.01)
    with Hold.take(run) as hold:
        age(run)
        hold.keep_alive()
        wait_for(lambda: presence.silence(run) < 600, 30, "a sign of life")


def test_without_locks_the_process_tells(run, lockless):
    assert presence.held(run) is None
    with Hold.take(run) as hold:
        assert not hold.certain
        named(run)
        assert runs.state_of(run)[0] == "running"
        with pytest.raises(RunError, match=rf"already training \(process {os.getpid()}\)"):
            runs.claim(run)
        copy = run.with_name("copy")
        shutil.copytree(run, copy)
        assert runs.state_of(copy)[0] == "interrupted"
        runs.claim(copy).release()
        renamed = run.with_name("renamed")
        run.rename(renamed)
        assert runs.state_of(renamed)[0] == "running"
        named(renamed, started="another")
        assert runs.state_of(renamed)[0] == "interrupted"


def test_a_mounted_folder_is_the_same_under_another_device(run):
    named(run, device=1)
    info = presence.worker_of(run)
    assert presence.about(info, run)
    info.path = "/elsewhere"
    assert not presence.about(info, run)
    info.device = os.stat(run).st_dev
    assert presence.about(info, run)


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root, for another PID namespace")
def test_a_run_is_not_deleted_from_another_pid_namespace(run):
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no PID namespaces may be made here")
    named(run)
    with Hold.take(run):
        command = [*NAMESPACE, sys.executable, "-m", "tui_gen", "delete", "--yes", str(run)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and "is still training" in done.stderr and run.exists()


def test_a_run_that_is_only_just_being_started_is_taken(run, monkeypatch):
    """From the first moment: the launcher has the lock, and the worker inherits it."""
    processes = []

    def start(module: str, *words: object, pass_fds, stdin, stdout, stderr, **_: object) -> subprocess.Popen[bytes]:
        with pytest.raises(RunError, match="is still training"):
            runs.delete(run)
        processes.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=pass_fds))
        return processes[-1]

    monkeypatch.setattr(children, "start", start)
    launch.start(run)
    try:
        with pytest.raises(RunError, match="is still training"):
            runs.delete(run)
        with pytest.raises(RunError, match="is in use: another process is starting"):
            launch.start(run)
        with pytest.raises(ControlError, match="is only just being started"):
            launch.ask_run(run, "stop")
    finally:
        processes[0].kill()
        processes[0].communicate()
    runs.delete(run)


# -- copies and strangers


def test_a_copy_neither_steers_nor_blocks_and_a_renamed_run_is_the_same():
    run = fake_worker.make_run()
    worker = fake_worker.start(run, sample_seconds=0)
    wait_until_listening(run)
    wait_for(lambda: runs.state_of(run)[1] > 0, 30, "its first steps: the fake one writes no file after that")
    copy = run.with_name("copy")
    shutil.copytree(run, copy)
    assert runs.state_of(copy)[0] == "interrupted"
    with pytest.raises(ControlError, match="copy has no live worker"):
        launch.ask_run(copy, "stop")
    with runs.claim(copy), pytest.raises(ControlError, match="copy is only just being started"):
        launch.ask_run(copy, "stop")  # its worker.json still names the worker of the original
    runs.delete(copy)
    renamed = run.with_name("renamed")
    run.rename(renamed)
    assert launch.ask_run(renamed, "status").data["state"] == "running"
    with pytest.raises(RunError, match="is still training"):
        runs.delete(renamed)
    worker.kill()
    worker.wait(120)
    runs.delete(renamed)


def test_a_worker_does_nothing_that_is_meant_for_another():
    done = []

    def act(request: control.Request) -> bool:
        done.append(request.op)
        request.answer()
        return True

    server = control.Server(control.socket_path("x"), act, id="this one")
    try:
        assert control.ask(server.path, "stop", worker="this one").data["worker"] == "this one"
        assert control.ask(server.path, "stop").data["worker"] == "this one"
        with pytest.raises(ControlError, match="another worker answers in place of this run's"):
            control.ask(server.path, "stop", worker="that one")
        assert len(done) == 2
    finally:
        server.close()
    older = control.Server(control.socket_path("y"), act)  # of a version that knows nothing of this
    try:
        with pytest.raises(ControlError, match="another worker answers"):
            control.ask(older.path, "stop", worker="this one")
        assert len(done) == 2
    finally:
        older.close()


def test_a_worker_that_is_held_is_told_as_such_wherever_its_run_is_shown(run, call):
    """By Ctrl-Z, or by a batch system that suspends it; its log says nothing of it."""
    with Hold.take(run), subprocess.Popen(["sleep", "1000"]) as worker:
        try:
            info = presence.described(run, "/x.sock")
            info = msgspec.structs.replace(info, pid=worker.pid, started=presence.process_started(worker.pid))
            (run / presence.WORKER).write_bytes(msgspec.json.encode(info))
            view, root = RunView(run), str(run.parent)
            view.read_all()
            assert runs.state_of(run) == ("running", 3, "") and (view.state, view.reason) == ("running", "")
            worker.send_signal(signal.SIGSTOP)
            wait_for(lambda: presence.process_state(worker.pid) == "T", what="it to be held")
            words = f"held by a signal; kill -CONT {worker.pid} lets it go on"
            assert runs.state_of(run) == ("running", 3, words)
            wait_for(lambda: view.poll() and (view.state, view.reason) == ("running", words))
            row = RunRow(runs.info_of(run))
            assert cell_of(row, Column("state", 20)).strip() == "▶ running, held" and words in pane.described(row)
            for options in ((), ("--long",), ("--where", "held")):
                assert "running, held" in call("runs", "--runs", root, *options)[1]
            worker.send_signal(signal.SIGCONT)
            wait_for(lambda: runs.state_of(run) == ("running", 3, ""))
            assert "held" not in call("runs", "--runs", root)[1]
        finally:
            worker.kill()
