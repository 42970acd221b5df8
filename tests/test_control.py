"""The control socket: requests and replies, broken peers, who may reach it, and where it lies."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import tempfile
import threading
from pathlib import Path

import pytest

from tests.waiting import wait_for
from tui_gen import control
from tui_gen.control import ControlError, Request, Server, ask


@pytest.fixture
def serve():
    """Start servers whose requests are answered by a thread: `echo` with what came, anything else is refused."""
    servers: list[Server] = []

    def start(path: str = "", immediate=lambda request: False, answering: bool = True) -> Server:
        server = Server(path or control.socket_path(f"test-{len(servers)}"), immediate)
        servers.append(server)
        if answering:
            threading.Thread(target=_answer, args=(server,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.close()
        server.inbox.put(Request({"op": "end"}))


def _answer(server: Server) -> None:
    while (request := server.inbox.get()).op != "end":
        if request.op == "echo":
            request.answer(request.blob, **{key: value for key, value in request.data.items() if key != "op"})
        elif request.op == "odd":
            request.answer(value=object())
        else:
            request.refuse(f"no such request {request.op!r}")


def connect(server: Server) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(60)
    peer.connect(server.path)
    return peer


def works(server: Server) -> bool:
    return ask(server.path, "echo", number=7).data["number"] == 7


def test_data_and_blob_go_there_and_back(serve):
    server = serve()
    blob = os.urandom(3 << 20)
    reply = ask(server.path, "echo", blob=blob, words="ünïcødé 😀", numbers=[1, 2.5], nothing=None, tables={"a": {}})
    assert reply.blob == blob
    assert reply.data == {
        "ok": True, "words": "ünïcødé 😀", "numbers": [1, 2.5], "nothing": None, "tables": {"a": {}},
    }  # fmt: skip


def test_one_connection_carries_many_requests(serve):
    with connect(serve()) as peer:
        for number in range(20):
            control.send(peer, {"op": "echo", "number": number}, bytes(number))
            reply = control.receive(peer)
            assert reply.data["number"] == number and len(reply.blob) == number


def test_a_refusal_is_an_error_with_the_worker_s_words(serve):
    with pytest.raises(ControlError, match="no such request 'dance'"):
        ask(serve().path, "dance")


def test_an_immediate_answer_needs_no_training_thread_and_its_faults_are_told(serve):
    def immediate(request: Request) -> bool:
        if request.op == "fault":
            raise RuntimeError("my own fault")
        request.answer(at_once=True)
        return True

    server = serve(immediate=immediate, answering=False)
    assert ask(server.path, "status").data["at_once"] is True
    with pytest.raises(ControlError, match="RuntimeError: my own fault"):
        ask(server.path, "fault")
    assert ask(server.path, "status").data["at_once"] is True


def test_only_the_first_answer_counts():
    request = Request({"op": "x"})
    request.answer(b"1", step=1)
    request.refuse("too late")
    request.answer(b"2", step=2)
    assert request.wait() == ({"ok": True, "step": 1}, b"1")


def test_an_answer_that_is_no_json_is_told_and_ends_nothing(serve):
    server = serve()
    with pytest.raises(ControlError, match="cannot be written"):
        ask(server.path, "odd")
    assert works(server)


@pytest.mark.parametrize("fields", [{"run": "/\udcff"}, {"value": object()}, {"value": 10**5000}])
def test_what_cannot_be_asked_is_an_error_of_the_asker(serve, fields):
    with pytest.raises(ControlError):
        ask(serve().path, "echo", **fields)


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"",
        b"\0",
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">II", 0, 0),
        struct.pack(">II", 5, 0) + b"[1,2]",
        struct.pack(">II", 4, 0) + b"\xff\xfe{}",
        struct.pack(">II", 100_000, 0) + b"[" * 100_000,
        struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF),
        struct.pack(">II", control.LARGEST + 1, 0) + b"{}",
        struct.pack(">II", 2, 1000) + b"{}" + b"cut short",
    ],
    ids=range(10),
)
def test_malformed_messages_close_their_own_connection_only(serve, bytes_sent):
    server = serve()
    with connect(server) as peer, contextlib.suppress(ConnectionError):
        peer.sendall(bytes_sent)
        peer.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: peer.recv(1000), b""))
        assert answer == b"" or b'"ok":false,"error":"' in answer  # what was half sent is no message to answer
    assert works(server)


def test_a_client_that_leaves_before_its_answer_disturbs_nobody(serve):
    server = serve(answering=False)
    with connect(server) as peer:
        control.send(peer, {"op": "echo"})
        request = server.inbox.get(timeout=60)
    request.answer(bytes(1 << 20))
    threading.Thread(target=_answer, args=(server,), daemon=True).start()
    assert works(server)


def test_many_clients_at_once_get_each_their_own_answer(serve):
    server = serve()
    got: list[int] = []
    begin = threading.Barrier(40)

    def client(number: int) -> None:
        begin.wait(120)
        got.extend(ask(server.path, "echo", number=number * 5 + part).data["number"] for part in range(5))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(got) == list(range(200))


def test_where_no_thread_can_be_had_one_request_is_refused_and_the_next_is_heard(serve, monkeypatch):
    server, start, left = serve(), threading.Thread.start, [1]

    def refuse_once(thread):
        if thread.name == "control-client" and left:
            left.clear()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    with pytest.raises(ControlError, match="no more threads"):
        ask(server.path, "echo")
    assert not left and works(server)


def test_no_answer_in_time_is_told(serve):
    server = serve(answering=False)
    with pytest.raises(ControlError, match=r"did not answer 'pause' within 0\.05 s"):
        ask(server.path, "pause", timeout=0.05)


@pytest.mark.parametrize("path", ["/nowhere/at/all.sock", "/" + "x" * 200, "", "a\0b", "\0abstract"])
def test_nobody_behind_a_path_is_told(path):
    with pytest.raises(ControlError, match="cannot reach the worker"):
        ask(path, "status", timeout=1)


def test_closing_refuses_what_waits_and_sends_what_was_answered(serve):
    server = serve(answering=False)
    said: list[str] = []

    def client() -> None:
        try:
            said.append(f"ok {ask(server.path, 'checkpoint').data['step']}")
        except ControlError as error:
            said.append(str(error))

    threads = [threading.Thread(target=client) for _ in range(6)]
    for thread in threads:
        thread.start()
    waiting = [server.inbox.get(timeout=60) for _ in threads]
    for step, request in enumerate(waiting[:3]):
        request.answer(step=step)
    server.close()
    assert not os.path.exists(server.path)
    for thread in threads:
        thread.join(120)
    assert sorted(said) == ["ok 0", "ok 1", "ok 2", "the run has ended", "the run has ended", "the run has ended"]
    with pytest.raises(ControlError, match="cannot reach"):
        ask(server.path, "status")


def test_nobody_else_can_reach_the_socket(serve, world):
    before = os.umask(0)
    try:
        server = serve()
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o600
    assert stat.S_IMODE(control.runtime_dir().stat().st_mode) == 0o700
    assert Path(server.path).parent == control.runtime_dir() == world / "run" / "tui-gen"
    control.runtime_dir().chmod(0o755)
    assert stat.S_IMODE(control.runtime_dir().stat().st_mode) == 0o700


def test_a_socket_that_was_left_behind_is_replaced(serve):
    path = control.socket_path("left")
    Path(path).touch()
    assert works(serve(path))


def test_a_socket_that_was_swept_away_comes_back(serve, monkeypatch):
    monkeypatch.setattr(control, "WATCH", 0.02)
    server = serve()
    folder = control.runtime_dir()
    folder.rename(f"{folder}.swept")  # at one blow: the server may look at any moment
    wait_for(lambda: os.path.exists(server.path), 10, "the socket to be there again")
    assert works(server)
    assert stat.S_IMODE(os.stat(server.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(Path(server.path).parent).st_mode) == 0o700
    server.close()
    assert not os.path.exists(server.path)


def test_paths_are_short_enough_for_every_system_and_differ(monkeypatch, world):
    paths = {control.socket_path(name) for name in ("a", "b", "/runs/" + "long" * 100, "ü\udcff")}
    assert len(paths) == 4
    monkeypatch.setattr(os, "getuid", lambda: 2**32 - 2)
    monkeypatch.setattr(control, "_make_private", lambda path: None)
    for base in ("/" + "d" * 58, "/" + "ü" * 29, "/" + "d" * 59, "/" + "d" * 200, "/" + "ü" * 58, "relative", ""):
        monkeypatch.setenv("XDG_RUNTIME_DIR", base)
        monkeypatch.setattr(tempfile, "tempdir", base or "/tmp")
        path = control.socket_path("x")
        assert len(os.fsencode(path)) < 104 and path.startswith("/"), base


@pytest.mark.parametrize("kind", ["link", "file", "foreign", "unwritable"])
def test_an_unsafe_runtime_folder_is_refused(kind, world, monkeypatch, tmp_path):
    place = world / "run" / "tui-gen"
    if kind == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        place.symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        place.touch()
    elif kind == "foreign":
        place.mkdir(mode=0o700)
        monkeypatch.setattr(os, "getuid", lambda: place.stat().st_uid + 1)
    else:

        def refuse(self, mode=0o777, *_, **__):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", refuse)
    words = {"link": "is not a folder", "file": "is not a folder", "foreign": "somebody else"}.get(kind, "cannot make")
    with pytest.raises(ControlError, match=rf"{words}.*XDG_RUNTIME_DIR"):
        control.runtime_dir()


@pytest.mark.parametrize("base", ["/nowhere/at/all", "relative", ""])
def test_without_a_runtime_folder_of_the_system_the_temporary_one_is_used(base, monkeypatch, tmp_path):
    short = Path(tempfile.mkdtemp(prefix="tg-", dir="/tmp"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", base)
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    made = control.runtime_dir()
    assert made == short / f"tui-gen-{os.getuid()}" and stat.S_IMODE(made.stat().st_mode) == 0o700
    made.rmdir()
    short.rmdir()
