"""Runs of another machine in a shared folder: whether they live, and what can be asked of them by file."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path

import msgspec
import pytest

from tests import loop_run
from tests.waiting import wait_for
from tui_gen import belongings, checkpoints, control, events, launch, presence, request_file, runs
from tui_gen.control import ControlError
from tui_gen.log import event_log
from tui_gen.request_file import ANSWER, REQUEST, FileAnswer, FileRequest, Postbox

HERE = socket.gethostname()
FAR = "on node7: not reachable from here; stop and checkpoint by request file"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(request_file, "LOOK", 0.01)
    monkeypatch.setattr(request_file, "AGAIN", 0.01)
    for name in ("_looks", "_skews"):
        monkeypatch.setattr(presence, name, {})


@pytest.fixture
def far(tmp_path):
    """A run whose loop is in this process, and whose worker seems to be on another machine."""
    made = loop_run.Run(tmp_path / "runs", train__steps=1_000_000)
    info = presence.worker_of(made.path)
    info = msgspec.structs.replace(info, boot="another", host="node7", socket="/nowhere", inode=1)
    (made.path / "worker.json").write_bytes(msgspec.json.encode(info))
    box = Postbox(lambda: made.loop.path, made.server)
    box.begin()
    made.thread.start()
    wait_for(lambda: made.loop.begun, what="the first step")
    yield made
    box.close()
    loop_run.all_ended([made])


def said(run: Path) -> list[str]:
    return [event.text for event in event_log.read(run / "events.jsonl", events.Note)]


def test_a_run_elsewhere_makes_a_checkpoint_and_stops_when_it_is_asked_by_file(far, call):
    root, name = str(far.path.parent), far.path.name
    assert runs.state_of(far.path)[2] == "on node7"
    assert all("running on node7" in call("runs", *words, "--runs", root)[1] for words in ([], ["--long"]))
    status, out, err = call("checkpoint", name, "--runs", root)
    assert status == 0 and f"{name}: a checkpoint at step " in out and f"{name} trains {FAR}" in err
    (step,) = checkpoints.steps(far.path)
    assert f"checkpoint is asked for from {HERE}, by request file" in said(far.path)
    with pytest.raises(ControlError, match=f"{name} trains {FAR}"):
        launch.ask_run(far.path, "pause")
    status, out, err = call("stop", name, "--runs", root)
    assert status == 0 and f"{name}: stopped at step " in out and "with a checkpoint" in out, err
    state, last, reason = runs.state_of(far.path)
    assert (state, reason) == ("stopped", f"on request from {HERE}") and checkpoints.steps(far.path)[-1] == last >= step
    assert not (far.path / REQUEST).exists() and not belongings.foreign(far.path)
    runs.claim(far.path).release()
    runs.delete(far.path)


class Worker:
    """A worker's server and its box, and a run for them; what came is in `asked`."""

    def __init__(self, run: Path) -> None:
        self.run, self.asked = run, []
        self.server = control.Server(control.socket_path(str(run)), self._answer, id="now")
        self.box = Postbox(lambda: run, self.server)

    def _answer(self, request: control.Request) -> bool:
        self.asked.append((request.op, request.data["checkpoint"], request.data["by"]))
        request.answer(step=7)
        return True

    def put(self, data: bytes) -> None:
        (self.run / REQUEST).write_bytes(data)
        self.box.look()

    @property
    def answer(self) -> FileAnswer | None:
        return request_file._read(self.run / ANSWER, FileAnswer)


@pytest.fixture
def worker(tmp_path):
    made = Worker(tmp_path)
    yield made
    made.server.close()


def test_only_what_is_meant_for_this_worker_is_obeyed(worker, capsys):
    worker.box.look()
    worker.put(msgspec.json.encode(FileRequest("1", "before", "stop")))
    assert not worker.asked and worker.answer is None and "was removed, and not obeyed" in capsys.readouterr().out
    for garbage in (b"", b"{", b"[]", b'{"id": 1}', b"\xff" * 99, b"x" * 100_000):
        worker.put(garbage)
        assert not worker.asked and not (worker.run / REQUEST).exists()
    worker.put(msgspec.json.encode(FileRequest("2", "now", "edit")))
    assert not worker.asked and worker.answer.data == {"ok": False, "error": "'edit' cannot be asked for by a file"}
    worker.put(msgspec.json.encode(FileRequest("3", "now", "stop", False, by="x\x1b[0m")))
    assert worker.asked == [("stop", False, "x")] and worker.answer.id == "3" and worker.answer.data["step"] == 7
    assert not (worker.run / REQUEST).exists()


def test_a_link_and_another_user_s_request_are_refused(worker, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(msgspec.json.encode(FileRequest("1", "now", "stop")))
    (tmp_path / REQUEST).symlink_to(elsewhere)
    worker.box.look()
    assert not worker.asked and worker.answer.data["error"] == "the request is another user's" and elsewhere.exists()
    monkeypatch.setattr(Postbox, "_owner", staticmethod(lambda run: 4711))
    os.chown(elsewhere, 4712, -1) if os.geteuid() == 0 else pytest.skip("needs root to give a file away")
    os.replace(elsewhere, tmp_path / REQUEST)
    worker.box.look()
    assert not worker.asked


def elsewhere(run: Path) -> presence.WorkerInfo:
    """Have a run's worker be on another machine, heard of just now."""
    info = presence.WorkerInfo(1, "node7", "x", "/nowhere", boot="another", id="theirs")
    (run / "worker.json").write_bytes(msgspec.json.encode(info))
    writer = event_log.EventWriter(run / "events.jsonl")
    writer.write(events.State(state="running", step=3))
    writer.close()
    (run / "worker.lock").touch()
    return info


def test_a_request_that_nobody_answers_is_taken_back(tmp_path):
    info = elsewhere(tmp_path)
    with pytest.raises(control.SilentError, match=r"node7 did not answer the request file in 0\.05 s; no sign of"):
        launch.ask_run(tmp_path, "checkpoint", timeout=0.05)
    assert not (tmp_path / REQUEST).exists()
    other = msgspec.json.encode(FileRequest("other", "theirs", "checkpoint"))
    (tmp_path / REQUEST).write_bytes(other)  # somebody else's, which waits: it goes first, while there is time
    with pytest.raises(control.SilentError):
        request_file.ask(tmp_path, info, "stop", timeout=0.05)
    old = msgspec.structs.replace(info, id="")
    with pytest.raises(ControlError, match="by an older version; ask it there"):
        request_file.ask(tmp_path, old, "stop", timeout=1)


def test_an_answer_that_is_the_workers_last_act_counts(tmp_path, monkeypatch):
    """It is written after the first look at it, and the run is over before the next."""
    info = elsewhere(tmp_path)

    def ends(run):
        request = msgspec.json.decode((run / REQUEST).read_bytes(), type=FileRequest)
        (run / ANSWER).write_bytes(msgspec.json.encode(FileAnswer(request.id, {"ok": True, "step": 5})))
        return True

    monkeypatch.setattr(request_file, "_over", ends)
    assert request_file.ask(tmp_path, info, "checkpoint", timeout=5.0).data["step"] == 5


def test_a_folder_that_is_read_only_is_told(tmp_path, monkeypatch):
    elsewhere(tmp_path)

    def refuse(path):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(request_file, "written_aside", refuse)
    with pytest.raises(ControlError, match="not reachable from here, and no request can be written: Read-only file"):
        launch.ask_run(tmp_path, "stop", timeout=1)


@pytest.mark.parametrize("off", [-7200.0, 7200.0])
@pytest.mark.parametrize("writable", [True, False])
def test_a_clock_that_is_off_makes_no_run_dead_or_alive(tmp_path, monkeypatch, off, writable):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").touch()
    elsewhere(run)
    steady, wall = [1000.0], time.time
    monkeypatch.setattr(presence.time, "monotonic", lambda: steady[0])
    monkeypatch.setattr(presence.time, "time", lambda: wall() + off)
    if not writable:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)

    def sign(age: float) -> None:
        for name in ("worker.lock", "events.jsonl"):
            os.utime(run / name, (wall() - age, wall() - age))

    sign(5)
    assert runs.live(run) or not (writable or off < 0), "at the first look nothing tells of our clock there"
    for _ in range(3):  # signs that come while we look count whatever the clocks say
        steady[0] += 15
        sign(4 - steady[0] / 1000)
        assert runs.live(run)
    assert not writable or presence.silence(run) < 60
    sign(600)
    runs.live(run)
    steady[0] += 100
    assert not runs.live(run)
    assert runs.state_of(run)[2].startswith("no sign of life from node7 since ")
