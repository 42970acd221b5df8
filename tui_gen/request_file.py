"""Requests by file, to a worker whose socket cannot be reached: that of another machine, in a folder that both share.

`request.json` is put into the run by whoever asks, for one worker and no later one, and is not there any more once it
is answered; `answer.json` then says what came of it. The worker looks every LOOK seconds, in a thread of its own: a
step costs nothing by it, and a file system that does not answer holds up no step. What is asked is then done between
two steps, and logged, as all requests are. A network file system may show a file later than it is there.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tui_gen import control, presence
from tui_gen.files import open_regular, read_regular, written_aside
from tui_gen.quantities import span
from tui_gen.text import clean

REQUEST, ANSWER = "request.json", "answer.json"
OPS = ("stop", "checkpoint")
"""What can be asked for in this way."""
LOOK = 2.0
"""Seconds between two looks of a worker."""
AGAIN = 0.2
"""Seconds between two looks of whoever waits for the answer."""
OLD = 900.0
"""A request that nobody answered for so many seconds is in nobody's way."""
LARGEST = 1 << 16


class FileRequest(msgspec.Struct):
    """`request.json`: what (`op`) is asked of which worker, by whom, and under which `id` it is answered."""

    id: str
    worker: str
    op: str
    checkpoint: bool = True
    why: str = ""
    by: str = ""
    t: float = 0.0


class FileAnswer(msgspec.Struct):
    """`answer.json`: what came of the request of this `id`, with what a reply on a socket has as `data`."""

    id: str
    data: dict[str, Any]
    t: float = 0.0


def words(info: presence.WorkerInfo) -> str:
    """What can be done about a run whose worker is out of reach."""
    return f"on {clean(info.host)}: not reachable from here; stop and checkpoint by request file"


# -- whoever asks


def ask(run: Path, info: presence.WorkerInfo, op: str, *, timeout: float, **fields: Any) -> control.Reply:
    """Ask a worker elsewhere and wait for its answer. Raises ControlError where that cannot be asked in this way, where
    nothing can be written, where the worker refuses, and where there is no answer in time: the request is then taken
    back.
    """
    if op not in OPS:
        raise control.ControlError(f"{run.name} trains {words(info)}")
    if not info.id:
        raise control.ControlError(f"{run.name} trains on {info.host}, by an older version; ask it there")
    by, deadline = socket.gethostname()[:200], time.monotonic() + timeout
    keep = bool(fields.get("checkpoint", True))
    why = str(fields.get("why") or f"on request from {by}")
    request = FileRequest(presence.new_id(), info.id, op, keep, why, by, time.time())
    try:
        _put(run, request, deadline)
    except OSError as error:
        place = f"{run.name} trains on {info.host}, not reachable from here"
        raise control.ControlError(f"{place}, and no request can be written: {error.strerror or error}") from None
    try:
        while True:
            worker = presence.worker_of(run)
            is_over = worker is None or worker.id != info.id or _over(run)  # first: its last act may be the answer
            if (answer := _read(run / ANSWER, FileAnswer)) is not None and answer.id == request.id:
                return control.accepted(control.Reply(answer.data), op)
            if is_over:
                if op == "stop":
                    return control.Reply({"ok": True})
                raise control.ControlError(f"the run has ended before it made a {op}")
            if time.monotonic() > deadline:
                silence = f"no sign of life {presence.since(run)}"
                raise control.SilentError(f"{info.host} did not answer the request file in {span(timeout)}; {silence}")
            time.sleep(AGAIN)
    finally:
        _take_back(run, request)


def _over(run: Path) -> bool:
    from tui_gen import runs  # which has what we are needed for

    return runs.state_of(run)[0] in runs.ENDED


def _put(run: Path, request: FileRequest, deadline: float) -> None:
    """Put a request into a run once no other is waiting there. Raises OSError."""
    place = run / REQUEST
    while True:
        there = _read(place, FileRequest)
        waits = there is not None and there.worker == request.worker and presence.age(place) < OLD
        if not waits or time.monotonic() > deadline:
            break
        time.sleep(AGAIN)
    with written_aside(place) as aside:
        aside.write_bytes(msgspec.json.encode(request))


def _take_back(run: Path, request: FileRequest) -> None:
    there = _read(run / REQUEST, FileRequest)
    if there is not None and there.id == request.id:
        with contextlib.suppress(OSError):
            os.unlink(run / REQUEST)


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(read_regular(path, LARGEST), type=kind)
    except (OSError, ValueError, RecursionError):
        return None


# -- the worker


class Postbox:
    """Looks for requests in the folder of a run (`place()`: it may be moved), and hands those for this worker to the
    server that answers all others.
    """

    def __init__(self, place: Callable[[], Path], server: control.Server) -> None:
        self._place, self._server = place, server
        self._over = threading.Event()

    def begin(self) -> None:
        """Look from now on, in a thread. Raises RuntimeError where there can be none."""
        threading.Thread(target=self._watch, name="request-file", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(LOOK):
            with contextlib.suppress(OSError):
                self.look()

    def look(self) -> None:
        """Answer a request if there is one: one call of the system where there is none. Raises OSError."""
        run = self._place()
        path = run / REQUEST
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return
        request = _read(path, FileRequest)
        if request is not None and request.worker == self._server.id:
            self._answer(run, request, status)
            now = _read(path, FileRequest)
            if now is None or now.id != request.id:  # taken back, and another put there
                return
        else:
            print("warning: a request that is not for this worker was removed, and not obeyed", flush=True)
        os.unlink(path)

    def _answer(self, run: Path, request: FileRequest, status: os.stat_result) -> None:
        control_request = control.Request(
            {"op": request.op, "checkpoint": request.checkpoint, "why": request.why, "by": clean(request.by)[:200]}
        )
        if status.st_uid not in (self._owner(run), 0) or not stat.S_ISREG(status.st_mode):
            control_request.refuse("the request is another user's")
        elif request.op not in OPS:
            control_request.refuse(f"{request.op!r} cannot be asked for by a file")
        try:
            data, _ = control_request.wait() if control_request.answered else self._server.hand(control_request)
            with written_aside(run / ANSWER) as aside:
                aside.write_bytes(msgspec.json.encode(FileAnswer(request.id, data, time.time())))
        finally:
            self._server.seen(control_request)

    @staticmethod
    def _owner(run: Path) -> int:
        """The user of this process as the file system knows it: on a network it may go by another number."""
        with contextlib.suppress(OSError), open_regular(run / presence.WORKER) as file:
            return os.fstat(file.fileno()).st_uid
        return os.getuid()
