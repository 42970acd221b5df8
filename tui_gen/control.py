"""The requests a worker answers: client and server.

A Unix socket, mode 0600, in a 0700 directory of the user; never a TCP port. One message is an 8-byte header (lengths
of JSON and blob, big-endian), a JSON object, and an optional binary blob. Each request gets one reply; a connection
may carry many. Replies have `ok`; where it is false, `error` says why.

Requests (`op`), answered when they have taken effect, with the step at which they did:
    status, pause, yield, resume, stop (checkpoint: bool, why: text), checkpoint, sample, quality, edit (key, value),
    rollback (to: step, rate: factor, skip: step or true), and of a worker that is still warm: check (tables), catalog
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import re
import socket
import stat
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tui_gen.quantities import span
from tui_gen.text import cleaned

_HEADER = struct.Struct(">II")
LARGEST = 1 << 28
WATCH = 2.0
"""Seconds between two looks whether the socket is still in its place."""


class ControlError(Exception):
    """A worker that cannot be reached, or that refused; the text is for people."""


class SilentError(ControlError):
    """A worker that did not answer in time."""


class Reply(msgspec.Struct):
    """What a worker answered: `data` is the JSON object, `blob` the bytes after it."""

    data: dict[str, Any]
    blob: bytes = b""


def runtime_dir() -> Path:
    """The 0700 directory for sockets: in XDG_RUNTIME_DIR, else in the temporary folder, one per user.

    Raises ControlError where it cannot be made, is a link or a file, or where somebody else owns it or could put
    another in its place.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(base) and _short(base) and _usable(base):
        path = Path(base) / "tui-gen"
    else:
        folder = tempfile.gettempdir()
        path = Path(folder if os.path.isabs(folder) and _short(folder) else "/tmp") / f"tui-gen-{os.getuid()}"
    _make_private(path)
    return path


def _usable(base: str) -> bool:
    """Whether a folder is there and ours to write in; after `su` the one of the user before is named."""
    try:
        ours = os.stat(base).st_uid in (os.getuid(), 0)
    except (OSError, ValueError):
        return False
    return ours and os.path.isdir(base) and os.access(base, os.W_OK | os.X_OK)


def _short(folder: str) -> bool:
    """Whether a socket in a folder below this one has a path that fits: 104 bytes on macOS, its end included."""
    return len(os.fsencode(folder)) < 60


def _make_private(path: Path) -> None:
    advice = "set XDG_RUNTIME_DIR to a folder of your own"
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise ControlError(f"{path} is not a folder, so no socket can be in it; remove it, or {advice}")
        if status.st_uid != os.getuid():
            raise ControlError(f"{path} belongs to somebody else; {advice}")
        if status.st_mode & 0o777 != 0o700:
            path.chmod(0o700)
        for parent in dict.fromkeys([*path.parents, *Path(os.path.realpath(path)).parents]):
            if words := _replaceable(parent):
                raise ControlError(f"{path} is no safe place for sockets, as {parent} {words}; {advice}")
    except OSError as error:
        raise ControlError(f"cannot make a folder for sockets, {path}: {error.strerror or error}; {advice}") from None


def _replaceable(folder: Path) -> str:
    """Why somebody else could replace what lies in a folder, in words; an empty text where nobody can."""
    status = folder.stat()
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        return "can be written by everybody and has no sticky bit"
    if status.st_uid not in (os.getuid(), 0, os.stat("/").st_uid):  # in a user namespace root may be nobody
        return f"belongs to somebody else (user {status.st_uid})"
    return ""


def check_socket(path: str) -> None:
    """Raise ControlError unless a socket that a run directory names is one of ours, in a private folder of ours."""
    try:
        folder, there = os.lstat(os.path.dirname(path)), os.lstat(path)
    except (OSError, ValueError) as error:
        raise ControlError(f"cannot reach the worker: {getattr(error, 'strerror', '') or error}") from None
    private = stat.S_ISDIR(folder.st_mode) and not folder.st_mode & 0o077
    if not (private and stat.S_ISSOCK(there.st_mode) and os.path.isabs(path) and _NAME.search(path)):
        raise ControlError(f"{path} is no socket of a worker, and was left alone")
    if not folder.st_uid == there.st_uid == os.getuid():
        raise ControlError(f"{path} belongs to another user (user {there.st_uid}), and was left alone")


_NAME = re.compile(r"/tui-gen(-\d+)?/[0-9a-f]{16}\.sock\Z")


def peer(connection: socket.socket) -> int | None:
    """The user id of the process on the other side; None where the system does not tell."""
    try:
        if hasattr(socket, "SO_PEERCRED"):
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            return int(struct.unpack("=iII", peer)[1])
        if sys.platform == "darwin" or "bsd" in sys.platform:  # LOCAL_PEERCRED at SOL_LOCAL: a struct xucred
            peer = connection.getsockopt(0, 1, 76)
            return int(struct.unpack_from("=II", peer)[1]) if len(peer) >= 8 else None
    except OSError:
        pass
    return None


def socket_path(name: str) -> str:
    """A short, unique socket path for a run or a warm worker."""
    digest = hashlib.sha256(os.fsencode(f"{name}:{os.getpid()}")).hexdigest()[:16]
    return str(runtime_dir() / f"{digest}.sock")


def send(connection: socket.socket, data: dict[str, Any], blob: bytes = b"") -> None:
    """Write one message. Raises ControlError where its data cannot be written as JSON, or is too large."""
    try:
        head = msgspec.json.encode(data)
    except (TypeError, ValueError, RecursionError) as error:
        raise ControlError(f"a message cannot be written: {error}") from None
    if len(head) > LARGEST or len(blob) > LARGEST:
        raise ControlError("a message is too large")
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
    except (ValueError, RecursionError) as error:  # ValueError: not JSON, not an object, not UTF-8
        raise ControlError(f"a message is not a JSON object: {error}") from None
    return Reply(data, body[head:])


def _read(connection: socket.socket, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(min(count - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


def ask(
    path: str, op: str, *, timeout: float = 10.0, blob: bytes = b"", worker: str = "", **fields: Any
) -> Reply:
    """One request to the worker behind a socket: `op` with its `fields`, and bytes (`blob`) after them.

    Raises SilentError where no answer came within `timeout` seconds, else ControlError (no worker, refused). `worker`
    is the id of the one that is meant (see `Server`): another one does nothing.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            _connect(connection, path, timeout)
            if peer(connection) not in (None, os.getuid()):
                raise ControlError(f"{path} is served by another user's process; nothing was sent")
            send(connection, {"op": op, **fields, **({"worker": worker} if worker else {})}, blob)
            reply = receive(connection)
    except TimeoutError:
        raise SilentError(f"the worker did not answer {op!r} within {span(timeout)}") from None
    except (OSError, ValueError) as error:  # ValueError: a path with NUL in it
        raise ControlError(f"cannot reach the worker: {getattr(error, 'strerror', '') or error}") from None
    if reply is None:
        raise ControlError(f"the worker ended before it answered {op!r}")
    if worker and reply.data.get("worker") != worker:
        raise ControlError(STRANGER)
    return accepted(reply, op)


def accepted(reply: Reply, op: str) -> Reply:
    """An answer whose texts can be shown. Raises ControlError where it says that the worker refused."""
    reply.data = cleaned(reply.data)
    if not reply.data.get("ok"):
        raise ControlError(str(reply.data.get("error", f"the worker refused {op!r}")))
    return reply


STRANGER = "another worker answers in place of this run's, and was left alone"


def _connect(connection: socket.socket, path: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.connect(path)
            return
        except BlockingIOError:  # Linux: more clients at once than the server's queue takes
            if time.monotonic() > deadline:
                raise TimeoutError from None
            time.sleep(0.01)


class Request:
    """A request waiting for the training thread; `answer` sends the reply, once."""

    def __init__(self, data: dict[str, Any], blob: bytes = b"") -> None:
        self.data = data
        self.blob = blob
        self.op = str(data.get("op", ""))
        self._done = threading.Event()
        self._reply: tuple[dict[str, Any], bytes] = ({"ok": False, "error": "no answer"}, b"")

    @property
    def why(self) -> str:
        """The reason that a request to stop gives."""
        words = self.data.get("why")
        return cleaned(words)[:80] if isinstance(words, str) and words else "on request"

    @property
    def keeps(self) -> bool | None:
        """Whether a request to stop wants a checkpoint; None where what it says of that makes no sense."""
        keep = self.data.get("checkpoint", True)
        return keep if isinstance(keep, bool) else None

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

    @property
    def answered(self) -> bool:
        """Whether it has its reply."""
        return self._done.is_set()

    def wait(self) -> tuple[dict[str, Any], bytes]:
        """Block until answered."""
        self._done.wait()
        return self._reply


class Server:
    """Listens on a socket; hands each request to `inbox` and sends back its answer.

    `immediate(request)` may answer a request at once, in the connection's thread (return True); the rest waits for the
    training thread to take it from `inbox` at a step boundary. `id` tells this worker from others: it is in every
    answer, and a request that is meant for another is refused.
    """

    def __init__(
        self, path: str, immediate: Callable[[Request], bool] = lambda request: False, *, id: str = ""
    ) -> None:
        self.path, self.id = path, id
        self.inbox: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._immediate = immediate
        self._closed = False
        self._open: set[Request] = set()
        self._lock = threading.Lock()
        self._socket = self._listen()
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def _listen(self) -> socket.socket:
        aside = str(Path(self.path).with_suffix(".new"))  # whoever finds the socket in its place can connect
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(aside)
            os.chmod(aside, 0o600)  # until here the folder's mode keeps others out
            listening.listen(128)
            listening.settimeout(WATCH)
            os.replace(aside, self.path)
        except OSError:
            listening.close()
            raise
        return listening

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                self._restore()
                continue
            except OSError:
                if self._closed:
                    return
                time.sleep(WATCH / 10)  # out of file descriptors, say: they come back
                continue
            connection.settimeout(None)
            try:
                threading.Thread(target=self._serve, args=(connection,), name="control-client", daemon=True).start()
            except RuntimeError:  # for now: threads end, and the next who asks must still be heard
                self._turn_away(connection)

    def _turn_away(self, connection: socket.socket) -> None:
        """Refuse a request that no thread can be had for."""
        words = "the worker can start no more threads (ulimit -u, or the container's limit); ask again"
        with connection, contextlib.suppress(OSError, ControlError):
            connection.settimeout(WATCH / 2)  # others wait meanwhile
            receive(connection)
            send(connection, {"ok": False, "error": words, **({"worker": self.id} if self.id else {})})

    def _restore(self) -> None:
        """Listen again where the socket was swept away: at logout (XDG_RUNTIME_DIR), or by a cleaner of /tmp."""
        with self._lock, contextlib.suppress(OSError):
            if self._closed or os.path.exists(self.path):
                return
            folder = Path(self.path).parent
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            status = folder.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
                return
            swept, self._socket = self._socket, self._listen()
            swept.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, ControlError):
            if peer(connection) not in (None, os.getuid(), 0):
                send(connection, {"ok": False, "error": "this worker belongs to another user"})
                return
            while (message := self._received(connection)) is not None:
                request = Request(message.data, message.blob)
                data, blob = self.hand(request)
                ours = {"worker": self.id} if self.id else {}
                try:
                    send(connection, {**data, **ours}, blob)
                except ControlError as error:
                    send(connection, {"ok": False, "error": str(error), **ours})
                finally:
                    self._open.discard(request)

    def hand(self, request: Request) -> tuple[dict[str, Any], bytes]:
        """Have a request answered, whichever way it came; its answer. Blocks until then."""
        self._open.add(request)
        try:
            handled = self._stranger(request) or self._immediate(request)
        except Exception as error:  # a fault in one answer must not end the service
            request.refuse(f"{type(error).__name__}: {error}")
            handled = True
        if not handled:
            if self._closed:
                request.refuse("the run has ended")
            else:
                self.inbox.put(request)
        return request.wait()

    def seen(self, request: Request) -> None:
        """A request that did not come by the socket has its answer: `close` does not wait for it any more."""
        self._open.discard(request)

    def _received(self, connection: socket.socket) -> Reply | None:
        """The next message; one that is malformed is refused, and the connection is over, as nobody knows its end."""
        try:
            return receive(connection)
        except ControlError as error:
            send(connection, {"ok": False, "error": str(error), **({"worker": self.id} if self.id else {})})
            raise

    def _stranger(self, request: Request) -> bool:
        """Whether a request was meant for another worker, and is refused for that."""
        addressee = request.data.get("worker", "")
        if not addressee or addressee == self.id:
            return False
        request.refuse(STRANGER)
        return True

    def close(self) -> None:
        """Stop listening, refuse whatever still waits, see every answer on its way, remove the socket."""
        self._closed = True
        for request in list(self._open):
            request.refuse("the run has ended")
        deadline = time.monotonic() + 1.0
        while self._open and time.monotonic() < deadline:  # the process may end right after this
            time.sleep(0.001)
        with self._lock:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            with contextlib.suppress(OSError):
                os.unlink(self.path)
