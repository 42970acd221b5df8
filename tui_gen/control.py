"""The requests a worker answers: client and server.

A Unix socket, mode 0600, in a 0700 directory of the user; never a TCP port. One message is an 8-byte header (lengths
of JSON and blob, big-endian), a JSON object, and an optional binary blob. Each request gets one reply; a connection
may carry many. Replies have `ok`; where it is false, `error` says why.

Requests (`op`), answered when they have taken effect, with the step at which they did:
    status, pause, resume, stop (checkpoint: bool), checkpoint, sample, edit (key, value),
    decode / encode (blob: float32), check (tables), start (run), catalog
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

_HEADER = struct.Struct(">II")
LARGEST = 1 << 28


class ControlError(Exception):
    """A worker that cannot be reached, or that refused; the text is for people."""


class Reply(msgspec.Struct):
    """What a worker answered: `data` is the JSON object, `blob` the bytes after it."""

    data: dict[str, Any]
    blob: bytes = b""


def runtime_dir() -> Path:
    """The 0700 directory for sockets: in XDG_RUNTIME_DIR, else in the temporary folder, one per user.

    Raises ControlError where it exists but belongs to somebody else.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.path.isdir(base) and os.access(base, os.W_OK) and len(base) < 60:
        path = Path(base) / "tui-gen"
    else:
        folder = tempfile.gettempdir()
        path = Path(folder if len(folder) < 60 else "/tmp") / f"tui-gen-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if status.st_uid != os.getuid() or not path.is_dir() or path.is_symlink():
        raise ControlError(f"{path} belongs to somebody else; set XDG_RUNTIME_DIR to a folder of your own")
    if status.st_mode & 0o077:
        path.chmod(0o700)
    return path


def socket_path(name: str) -> str:
    """A short, unique socket path for a run or a warm worker."""
    digest = hashlib.sha256(f"{name}:{os.getpid()}".encode()).hexdigest()[:16]
    return str(runtime_dir() / f"{digest}.sock")


def send(connection: socket.socket, data: dict[str, Any], blob: bytes = b"") -> None:
    """Write one message."""
    head = msgspec.json.encode(data)
    connection.sendall(_HEADER.pack(len(head), len(blob)) + head + blob)


def receive(connection: socket.socket) -> Reply | None:
    """Read one message; None when the other side has closed. Raises ControlError on a malformed one."""
    header = _read(connection, _HEADER.size)
    if header is None:
        return None
    head, blob = _HEADER.unpack(header)
    if head > LARGEST or blob > LARGEST:
        raise ControlError("a message is too large")
    body = _read(connection, head + blob)
    if body is None:
        raise ControlError("the connection closed within a message")
    try:
        data = msgspec.json.decode(body[:head], type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ControlError(f"a message is not JSON: {error}") from None
    return Reply(data, body[head:])


def _read(connection: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(count - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


def ask(path: str, op: str, *, timeout: float = 10.0, blob: bytes = b"", **fields: Any) -> Reply:
    """One request to the worker behind a socket. Raises ControlError (no worker, no answer in time, refused)."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(path)
            send(connection, {"op": op, **fields}, blob)
            reply = receive(connection)
    except TimeoutError:
        raise ControlError(f"the worker did not answer {op!r} within {timeout:g} s") from None
    except OSError as error:
        raise ControlError(f"cannot reach the worker: {error.strerror or error}") from None
    if reply is None:
        raise ControlError(f"the worker ended before it answered {op!r}")
    if not reply.data.get("ok"):
        raise ControlError(str(reply.data.get("error", f"the worker refused {op!r}")))
    return reply


class Request:
    """A request waiting for the training thread; `answer` sends the reply, once."""

    def __init__(self, data: dict[str, Any], blob: bytes = b"") -> None:
        self.data = data
        self.blob = blob
        self.op = str(data.get("op", ""))
        self._done = threading.Event()
        self._reply: tuple[dict[str, Any], bytes] = ({"ok": False, "error": "no answer"}, b"")

    def answer(self, blob: bytes = b"", **fields: Any) -> None:
        """Reply that it is done."""
        if not self._done.is_set():
            self._reply = ({"ok": True, **fields}, blob)
            self._done.set()

    def refuse(self, error: str) -> None:
        """Reply that it was not done, and why."""
        if not self._done.is_set():
            self._reply = ({"ok": False, "error": error}, b"")
            self._done.set()

    def wait(self) -> tuple[dict[str, Any], bytes]:
        """Block until answered."""
        self._done.wait()
        return self._reply


class Server:
    """Listens on a socket; hands each request to `inbox` and sends back its answer.

    `immediate(request)` may answer a request at once, in the connection's thread (return True); the rest waits for the
    training thread to take it from `inbox` at a step boundary.
    """

    def __init__(self, path: str, immediate: Callable[[Request], bool] = lambda request: False) -> None:
        self.path = path
        self.inbox: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._immediate = immediate
        self._closed = False
        self._open: set[Request] = set()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            self._socket.bind(path)
        finally:
            os.umask(mask)
        self._socket.listen(16)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="control-client", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ControlError):
            while (message := receive(connection)) is not None:
                request = Request(message.data, message.blob)
                self._open.add(request)
                try:
                    handled = self._immediate(request)
                except Exception as error:  # a fault in one answer must not end the service
                    request.refuse(f"{type(error).__name__}: {error}")
                    handled = True
                if not handled:
                    if self._closed:
                        request.refuse("the run has ended")
                    else:
                        self.inbox.put(request)
                data, blob = request.wait()
                try:
                    send(connection, data, blob)
                finally:
                    self._open.discard(request)

    def close(self) -> None:
        """Stop listening, refuse whatever still waits, see every answer on its way, remove the socket."""
        self._closed = True
        for request in list(self._open):
            request.refuse("the run has ended")
        deadline = time.monotonic() + 1.0
        while self._open and time.monotonic() < deadline:  # the process may end right after this
            time.sleep(0.001)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
