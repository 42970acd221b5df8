"""Starting workers: what they are started with, who may be started, the warm one, and asking a run."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests import fake_worker
from tests.waiting import wait_for, wait_until_listening
from tui_gen import control, events, launch, presence, runs
from tui_gen.control import ControlError
from tui_gen.log import event_log
from tui_gen.places import called
from tui_gen.runs import RunError, WorkerInfo

WARM = """
import json, os, socket, sys, threading
from pathlib import Path
from tui_gen import control, presence
def end():
    with socket.socket(fileno=0) as owner:
        data, handles, _, _ = socket.recv_fds(owner, 1000, 1)
    if not data:
        os._exit(7)
    given = json.loads(data)
    run = Path(given["run"])
    locked = presence.held(run)
    presence.Hold.adopt(run, handles[0])
    (run / "given").write_text(f"{run} {given['resume']} {locked}")
    server.close()
    os._exit(0)
server = control.Server(sys.argv[1])
threading.Thread(target=end, daemon=True).start()
while True:
    request = server.inbox.get()
    match request.op:
        case "check":
            key = request.data["tables"].get("wrong")
            request.answer(problems=[{"key": key, "value": 5, "message": "m", "hint": "h"}] if key else [])
        case "catalog":
            request.answer(path="x")
"""


@pytest.fixture
def run(tmp_path) -> Path:
    return runs.create(tmp_path / "runs", "x", 'name = "x"\n[model]\nname = "vae"\n')


@pytest.fixture
def started(monkeypatch) -> list[SimpleNamespace]:
    """What would have been started, instead of starting it."""
    asked: list[SimpleNamespace] = []

    def pretend(command: list[str], **settings: Any) -> SimpleNamespace:
        asked.append(SimpleNamespace(command=command, **settings))
        return asked[-1]

    monkeypatch.setattr(subprocess, "Popen", pretend)
    return asked


@pytest.fixture
def warm(monkeypatch):
    """Make warm workers, of a process that needs no PyTorch."""
    made: list[launch.WarmWorker] = []
    processes: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def stand_in(command: list[str], **settings: Any) -> subprocess.Popen[bytes]:
        place = command[command.index("--warm") + 1]
        processes.append(real([sys.executable, "-c", WARM, place], **settings))
        return processes[-1]

    def make(spawn: bool = True, wait: bool = True) -> launch.WarmWorker:
        made.append(launch.WarmWorker(polite=False))
        if spawn:
            with monkeypatch.context() as patch:
                patch.setattr(subprocess, "Popen", stand_in)
                made[-1].spawn()
            wait_for(lambda: made[-1].ready or not wait, 30, "the worker to warm up")
        return made[-1]

    yield make
    for one in made:
        one.close()
    for process in processes:
        process.kill()
        process.wait(120)


def named(run: Path, **changes: Any) -> None:
    info = WorkerInfo(os.getpid(), socket.gethostname(), runs.process_started(os.getpid()), "/x.sock", time.time())
    (run / "worker.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(info, **changes)))


def silent(run: Path) -> None:
    """No sign of life for long."""
    for name in ("events.jsonl", "worker.lock"):
        os.utime(run / name, (0, 0))


def logged(run: Path, *new: events.Event) -> None:
    writer = event_log.EventWriter(run / "events.jsonl")
    writer.write(*new)
    writer.close()


def test_a_worker_s_environment_is_tuned_for_training(monkeypatch):
    monkeypatch.setattr(launch, "in_company", lambda: True)  # somebody who is there for a moment: it looks by itself
    for name in (*launch.TUNING, "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SOMETHING", "else")
    env = launch.environment()
    assert launch.TUNING.items() <= env.items() and env["SOMETHING"] == "else"
    assert env["GOMP_SPINCOUNT"] == str(launch.SPIN)
    assert "TUI_GEN_MODELS" not in env
    monkeypatch.setenv("GOMP_SPINCOUNT", "1000")  # who sets it knows better
    assert launch.environment()["GOMP_SPINCOUNT"] == launch.environment_beside()["GOMP_SPINCOUNT"] == "1000"


def _advised() -> bool:
    """Whether this system gives huge pages to who asks for them, and its C library can ask."""
    try:
        offered = "[madvise]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
        library, version = os.confstr("CS_GNU_LIBC_VERSION").split()
    except (OSError, ValueError, AttributeError):
        return False
    return offered and library == "glibc" and tuple(map(int, version.split("."))) >= (2, 35)


@pytest.mark.skipif(not _advised(), reason="needs glibc 2.35 and huge pages on request")
@pytest.mark.parametrize("given", [None, "glibc.malloc.hugetlb=0"])
def test_a_worker_s_memory_is_asked_for_in_huge_pages_unless_one_s_own_setting_says_otherwise(monkeypatch, given):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if given is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", given)
    code = "kept = [b'x' * (8 << 20) for _ in range(2)]; print(open('/proc/self/smaps').read())"
    words = [sys.executable, "-I", "-S", "-c", code]
    maps = subprocess.run(words, env=launch.environment(), stdout=subprocess.PIPE, text=True, check=True).stdout
    heap = maps.partition("[heap]")[2]
    flags = next(line for line in heap.splitlines() if line.startswith("VmFlags:")).split()
    assert ("hg" in flags) == (given is None)


@pytest.mark.parametrize(("company", "given", "spin"), [
    (False, None, launch.SPIN), (True, None, launch.SPIN_IN_COMPANY), (False, True, launch.SPIN_IN_COMPANY),
])  # fmt: skip
def test_what_computes_beside_a_training_begins_as_busy_as_the_machine_is(monkeypatch, company, given, spin):
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    monkeypatch.setattr(launch, "in_company", lambda: company)
    assert launch.environment_beside(company=given)["GOMP_SPINCOUNT"] == str(spin)


@pytest.mark.parametrize(
    ("text", "company"),
    [("2.87 3.90 6.27 1/96 2529\n", False), ("0.00 0.00 0.00 2/96 2529\n", True), ("nonsense", False), (None, False)],
)
def test_company_is_another_process_that_runs_at_every_look(tmp_path, monkeypatch, text, company):
    monkeypatch.setattr(launch, "_own_running", lambda: 1)  # the tests' own process may have more at times
    if text is not None:
        (tmp_path / "loadavg").write_text(text)
    assert launch.in_company(looks=3, loadavg=tmp_path / "loadavg") is company


def test_threads_of_one_s_own_are_no_company(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "_own_running", lambda: 2)
    for running, company in ((2, False), (3, True)):
        (tmp_path / "loadavg").write_text(f"0.00 0.00 0.00 {running}/96 2529\n")
        assert launch.in_company(looks=3, loadavg=tmp_path / "loadavg") is company


def test_a_worker_finds_model_folders_wherever_it_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    env = launch.environment(["mine", "/abs", "~/models"])
    assert env["TUI_GEN_MODELS"] == os.pathsep.join([f"{tmp_path}/mine", "/abs", "/home/me/models"])


def test_a_worker_is_a_process_of_its_own(run, started, monkeypatch):
    monkeypatch.chdir(run.parent)
    launch.start(Path(run.name), resume=True)
    [asked] = started
    assert asked.command[0] == sys.executable and asked.command[1:4] == ["-P", "-m", "tui_gen.train.run"]
    assert asked.command[4:-1] == [str(run), "--resume", "--lock"]
    assert asked.pass_fds == [int(asked.command[-1])]
    assert asked.start_new_session and asked.cwd == "/" and asked.stdin == subprocess.DEVNULL
    assert asked.stdout is asked.stderr and asked.stdout.name == str(run / "worker.log") and asked.stdout.closed
    launch.start(run)
    assert "--resume" not in started[1].command


def test_its_output_is_added_to_the_run_s_log(run, monkeypatch):
    (run / "worker.log").write_text("before\n")
    monkeypatch.setattr(sys, "executable", "/bin/echo")
    assert launch.start(run).wait(120) == 0
    before, said = runs.last_log_lines(run)
    assert before == "before" and said.startswith(f"-P -m tui_gen.train.run {run} --lock ")


def test_what_keeps_a_worker_from_starting_is_told(run, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RunError, match="cannot start a worker: No such file"):
        launch.start(run)
    (run / "worker.log").unlink()
    (run / "worker.log").mkdir()
    with pytest.raises(RunError, match=r"cannot write .*worker\.log: Is a directory"):
        launch.start(run)


@pytest.mark.parametrize("name", ["events.jsonl", "worker.log"])
@pytest.mark.parametrize("kind", ["a link", "a pipe"])
def test_a_log_that_is_none_is_not_written_and_nobody_waits_for_it(run, started, tmp_path, name, kind):
    """A colleague's run may lead to any file of ours."""
    logged(run, events.State(state="stopped", step=1))
    ours = tmp_path / "ours"
    ours.write_text("ours")
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(ours) if kind == "a link" else os.mkfifo(run / name)
    words = f"{name} is " + ("a link, and is not followed" if kind == "a link" else "not a regular file")
    for start in (launch.start, launch.WarmWorker().start):
        with pytest.raises(RunError, match=words):
            start(run, resume=True)
    with pytest.raises(OSError, match=words):
        event_log.EventWriter(run / name)
    assert ours.read_text() == "ours" and not started and not runs.live(run)


def test_a_run_is_never_trained_twice(run, started, warm):
    named(run)
    logged(run, events.State(state="running", step=1))
    worker = warm(spawn=False)
    for attempt in (lambda: launch.start(run), lambda: worker.start(run), lambda: launch.refuse_if_live(run)):
        with pytest.raises(RunError, match=rf"already training \(process {os.getpid()}\); tui-gen attach"):
            attempt()
    named(run, host="gpu-box")
    with pytest.raises(RunError, match="already training on gpu-box"):
        launch.start(run)
    for changes in ({"started": "another"}, {"pid": 2**22 + 1}):
        named(run, **changes)
        launch.refuse_if_live(run)
    named(run, host="gpu-box")
    silent(run)
    launch.refuse_if_live(run)
    (run / "worker.json").write_bytes(b"\xff")
    launch.start(run)
    assert len(started) == 1


def test_a_warm_worker_is_given_one_run(run, warm, monkeypatch):
    worker = warm()
    process, place = worker.process, worker.socket
    assert worker.alive and worker.ready and worker.check({}) == []
    [problem] = worker.check({"wrong": "model.x"})
    assert (problem.key, problem.value, problem.message, problem.hint) == ("model.x", 5, "m", "h")
    worker.build_catalog()
    monkeypatch.chdir(run.parent)
    assert worker.start(Path(run.name), resume=True)
    assert not worker.alive and not worker.ready and worker.process is None
    assert process.wait(120) == 0 and not os.path.exists(place)
    assert (run / "given").read_text() == f"{run} True True"
    assert not worker.start(run) and not runs.live(run)
    worker.close()


def test_a_warm_worker_that_is_not_ready_starts_nothing(run, warm):
    worker = warm(spawn=False)
    assert not worker.alive and not worker.ready and not worker.start(run)
    worker.close()
    worker = warm()
    worker.process.kill()
    worker.process.wait(120)
    assert os.path.exists(worker.socket) and not worker.ready and not worker.start(run)


def test_a_run_is_handed_over_before_the_worker_has_warmed_up_and_survives_who_gave_it(run, warm):
    """Who gave it may be gone the moment after: the lock goes with the run, and nobody is asked for anything."""
    worker = warm(wait=False)
    process = worker.process
    process.send_signal(signal.SIGSTOP)
    assert worker.start(run) and worker._link is None
    assert runs.live(run) and runs.state_of(run)[0] == "starting" and not (run / "given").exists()
    process.send_signal(signal.SIGCONT)
    assert process.wait(120) == 0 and (run / "given").exists()


def test_a_warm_worker_that_is_closed_leaves_nothing(warm):
    worker = warm()
    process, place = worker.process, worker.socket
    worker.close()
    worker.close()
    assert process.wait(120) in (7, -signal.SIGTERM) and not os.path.exists(place)


def test_a_warm_worker_ends_with_its_owner(warm):
    worker = warm()
    worker._link.close()
    assert worker.process.wait(120) == 7


def test_the_real_warm_worker_is_started_like_any_other(started):
    worker = launch.WarmWorker(model_dirs=["/m"])
    worker.spawn()
    [asked] = started
    assert asked.command[1:] == ["-P", "-m", "tui_gen.train.run", "--warm", worker.socket, "--polite"]
    assert asked.start_new_session and asked.cwd == "/" and asked.stdin.family == socket.AF_UNIX
    assert asked.env["TUI_GEN_MODELS"] == "/m" and "GOMP_SPINCOUNT" in asked.env


def test_a_live_run_answers():
    run = fake_worker.make_run()
    process = fake_worker.start(run)
    wait_until_listening(run)
    assert launch.ask_run(run, "status").data["state"] in ("starting", "running")
    with pytest.raises(ControlError, match="does not know the request 'dance'"):
        launch.ask_run(run, "dance")
    launch.ask_run(run, "stop")
    assert process.wait(120) == 0
    with pytest.raises(ControlError, match=f"{run.name} has no live worker; tui-gen --resume {run.name}"):
        launch.ask_run(run, "status")


def test_a_run_without_a_worker_here_is_told(run):
    with pytest.raises(ControlError, match=re.escape(f"no live worker; tui-gen --resume {called(run)} goes")):
        launch.ask_run(run, "status")
    logged(run, events.State(state="running", step=1))
    named(run, host="gpu-box")
    with pytest.raises(ControlError, match="trains on gpu-box: not reachable from here; stop and"):
        launch.ask_run(run, "status")
    silent(run)
    with pytest.raises(ControlError, match="no live worker"):
        launch.ask_run(run, "status")
    named(run, socket="/nowhere.sock")
    with pytest.raises(ControlError, match="cannot reach the worker"):
        launch.ask_run(run, "status")


def test_a_run_that_nobody_could_steer_says_why_it_failed(run, world):
    (world / "run" / "tui-gen").touch()  # in place of the folder for sockets
    assert launch.start(run).wait(120) == 1
    state, _, reason = runs.state_of(run)
    assert state == "failed" and "is not a folder" in reason and "XDG_RUNTIME_DIR" in reason
    assert runs.last_log_lines(run) == [f"error: {reason}"]


def test_folders_reach_a_worker_as_absolute_paths(tmp_path, monkeypatch):
    from tui_gen import catalog, config
    from tui_gen.app.steering.session import Session

    monkeypatch.chdir(tmp_path)
    Path("models").mkdir()
    Path("pictures").mkdir()
    started = fake_worker.install(monkeypatch, steps=1)
    session = Session(Path("runs"), ["models"], catalog.read())
    tables = {"model": {"name": "vae"}, "dataset": {"name": "folder", "root": "pictures"}, "train": {"steps": 1}}
    run_config, problems = session.check(tables)
    assert run_config is not None and problems == []
    path = session.start(run_config)
    written = config.read_toml(path / "config.toml")
    assert path.is_absolute() and written["dataset"]["root"] == str(tmp_path / "pictures")
    assert written["model_dirs"] == [str(tmp_path / "models")]
    assert started[0].wait(120) == 0


def test_who_stops_a_worker_that_does_not_answer_is_told_why_and_what_to_do(monkeypatch, call):
    monkeypatch.setattr(launch, "SILENT", 0.1)
    run = fake_worker.make_run()
    process = fake_worker.start(run)
    wait_until_listening(run)
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: presence.process_state(process.pid) == "T", what="the worker to be held")
    words = launch.why_silent(run)
    assert f"kill -CONT {process.pid}" in words and f"tui-gen --resume {run.name}" in words
    with pytest.raises(control.SilentError, match=f"within 0.2 s: .* held by a signal; kill -CONT {process.pid}"):
        launch.ask_run(run, "pause", timeout=0.2)
    heard = []
    monkeypatch.setattr(launch, "why_silent", lambda run: heard.append(process.send_signal(signal.SIGCONT)) or "words")
    status, out, err = call("stop", run.name)
    assert status == 0 and f"{run.name} has not answered for 0.1 s: words" in err and len(heard) == 1
    assert out.startswith(f"{run.name}: stopped at step") and process.wait(120) == 0


def test_a_run_whose_worker_is_only_coming_up_is_stopped_when_it_is_there(run):
    hold = runs.claim(run)
    told, asked = [], []

    def answer(request: control.Request) -> bool:
        asked.append(request.op)
        request.answer()
        return True

    server = control.Server(control.socket_path("x"), answer, id="x")

    def come_up(words: str) -> None:
        told.append(words)
        runs.register(run, server.path, server.id)

    with hold, pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "SILENT", 0.05)
        launch.stop(run, come_up, timeout=60)
    server.close()
    assert told == ["its worker is only just coming up"] and asked == ["stop"]


def test_a_run_is_stopped_where_no_thread_can_be_had_to_tell_how_that_goes(run, monkeypatch):
    def fail(thread):
        raise RuntimeError("can't start new thread")

    asked = []
    monkeypatch.setattr(launch, "ask_run", lambda run, op, **_: asked.append(op))
    monkeypatch.setattr(threading.Thread, "start", fail)
    launch.stop(run, asked.append)
    assert asked == ["stop"]
