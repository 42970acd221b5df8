"""`tui-gen mirror`, at the end of an ssh link where the runs are: says what there is, what changes, and does as asked.

It ends with the link: when its input closes, or when nobody was heard of for long.
"""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tui_gen import __version__, children, control, events, launch, remarks, runs
from tui_gen.bounds import is_folder
from tui_gen.files import open_regular, read_regular
from tui_gen.history.run_list import RunList
from tui_gen.history.run_summary import NOTHING, RunSummary, Summaries
from tui_gen.presence import mtime
from tui_gen.remote.messages import (
    LARGEST,
    MAGIC,
    PROTOCOL,
    AllListed,
    Answered,
    Asked,
    AskThere,
    Begin,
    DoThere,
    FarFile,
    FarMessage,
    FarRun,
    FarTrouble,
    FetchFile,
    FrameStream,
    GoneRuns,
    LinkBroken,
    LookAt,
    LookAway,
    Ping,
    Pong,
    is_preview,
    is_same_time,
)
from tui_gen.remote.sent_log import SentLog
from tui_gen.runs import RunInfo

LOOK = 2.0
"""Seconds between two looks at the folder of runs."""
QUICK, SLOW = 0.1, 0.5
"""Seconds between two looks at a log that somebody follows, of a live run and of another."""
BUDGET = 0.1
"""Seconds of looking into runs, at first, after which what is known is sent."""
AT_REST = 10.0
"""Seconds between two summaries of a live run."""
ABANDONED = 180.0
"""Seconds without a word after which nobody is there."""
PUSHED = 1 << 19
"""Bytes up to which a new preview is sent before anybody asks for it."""
OUTPUT = 1 << 14
"""Bytes of the end of a worker's output."""
MOST_ASKED = 32
"""Requests to workers that are waited for at once."""
PATIENCE = 1800.0
"""Seconds for the slowest request; the one who asked gives up sooner."""


class Serving:
    """One link's worth of looking, telling and doing. `run` returns when the link is over."""

    def __init__(self, root: Path, stream: FrameStream) -> None:
        self.root = Path(os.path.realpath(root))
        self.stream = stream
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._list = RunList(self.root)
        self._rows: list[RunInfo] = []
        self._last_infos: dict[str, RunInfo] = {}
        self._files: dict[str, tuple[float, float]] = {}
        """When config and remarks of a run were written that were sent."""
        self._begun = self._listed = False
        self._problem = ""
        self._due = 0.0
        self._logs: dict[str, SentLog] = {}
        self._outputs: dict[str, float] = {}
        self._summaries = Summaries(self.root)
        self._summed_up: dict[str, tuple[RunInfo, float]] = {}
        self._to_sum_up: list[RunInfo] = []
        self._known_sums: dict[str, float] = {}
        """The time of the log that the other side knows the summary of, by folders."""
        self._slots = threading.BoundedSemaphore(MOST_ASKED)
        self._over = False
        self.has_heard = threading.Event()
        """Set with every word of the other side."""

    def run(self) -> None:
        """Until nobody is there any more."""
        threading.Thread(target=self._hear, name="hear", daemon=True).start()
        try:
            while not self._over:
                self._obey()
                busy = self._tell_logs()
                if not self._begun:
                    continue
                if time.monotonic() >= self._due:
                    self._look()
                elif not busy:
                    self._sum_up()
        except LinkBroken:
            pass
        finally:
            self._summaries.save()

    def _hear(self) -> None:
        """Take what the other side says."""
        with contextlib.suppress(LinkBroken):
            for message in self.stream.receive():
                self.has_heard.set()
                self._inbox.put(message)
        self._inbox.put(None)

    @property
    def _pause(self) -> float:
        """Seconds until there may be something to do."""
        if not self._begun:
            return LOOK
        if any(not log.level for log in self._logs.values()) or self._to_sum_up:
            return 0.0
        now = time.monotonic()
        live = any((info := self._last_infos.get(name)) is not None and info.live for name in self._logs)
        return max(0.0, min(self._due - now, QUICK if live else SLOW if self._logs else LOOK))

    def _obey(self) -> None:
        """Do as was asked; waits a little where nothing was."""
        pause = self._pause
        while True:
            try:
                message = self._inbox.get(timeout=pause) if pause else self._inbox.get_nowait()
            except queue.Empty:
                return
            pause = 0.0
            if message is None:
                self._over = True
                return
            self._do(message)

    def _do(self, message: Asked) -> None:
        if isinstance(message, Ping):
            self.stream.send(Pong())
            return
        if isinstance(message, Begin):
            self._begun = True
            for name, (created, noted, summed) in message.known.items():
                self._files[name], self._known_sums[name] = (created, noted), summed
            return
        path = self._path(message.run)
        match message:
            case LookAt():
                self._logs[message.run] = SentLog(path / runs.LOG, message.have, message.check)
                self._outputs.pop(message.run, None)
            case LookAway():
                self._logs.pop(message.run, None)
            case FetchFile():
                self.stream.send(self._file(message.run, message.path))
            case AskThere():
                self._in_thread(message.number, lambda: self._ask(message, path))
            case DoThere():
                self._in_thread(message.number, lambda: self._deed(message, path))

    def _path(self, folder: str) -> Path:
        if not is_folder(folder) or folder.startswith("."):
            raise LinkBroken
        return self.root / folder

    # -- the list

    def _look(self) -> None:
        """Tell what changed in the folder."""
        rows = self._list.refresh(seconds=BUDGET)
        if self._list.problem != self._problem:
            self._problem = self._list.problem
            self.stream.send(FarTrouble(self._problem))
        if rows is not self._rows or not self._listed:
            self._rows = rows
            self._tell(rows)
        self._due = time.monotonic() + (0.0 if self._list.unread else LOOK)
        if not self._listed and not self._list.unread:
            self._listed = True
            self.stream.send(AllListed(len(self._last_infos)))

    def _tell(self, rows: list[RunInfo]) -> None:
        messages: list[FarMessage] = []
        there = set()
        for info in rows:
            name = os.path.basename(info.path)
            there.add(name)
            before = self._last_infos.get(name)
            if before is info or not info.state:
                continue
            if name in self._logs and not info.live:  # how it ended is read before it is told that it has
                while self._tell_log(name):
                    pass
            if (row := self._row(name, info)) is not None:
                self._last_infos[name] = info
                messages.append(row)
        if missing := [name for name in self._last_infos if name not in there]:
            for name in missing:
                del self._last_infos[name]
                self._logs.pop(name, None)
                self._files.pop(name, None)
            messages.append(GoneRuns(missing))
        if messages:
            self.stream.send(*messages)
        self._to_sum_up = [info for info in rows if info.state and self._due_for(info)]

    def _row(self, name: str, info: RunInfo, summary: RunSummary | None = None) -> FarRun | None:
        """What is told of a run; None for one whose name cannot be, or that is just going."""
        try:
            name.encode()
            size = os.stat(f"{info.path}/{runs.LOG}").st_size
        except UnicodeEncodeError:
            return None
        except OSError:
            size = 0
        times = mtime(f"{info.path}/{runs.CONFIG}"), mtime(f"{info.path}/{remarks.FILE}")
        before = self._files.get(name, (-1.0, -1.0))
        config = notes = None
        try:
            if not is_same_time(times[0], before[0]):
                config = read_regular(f"{info.path}/{runs.CONFIG}", 1 << 20)
        except OSError:
            return None
        if not is_same_time(times[1], before[1]):
            notes = b""
            with contextlib.suppress(OSError):
                notes = read_regular(f"{info.path}/{remarks.FILE}", 1 << 20)
        self._files[name] = times
        row = FarRun(
            name, max(0.0, info.created), max(0.0, info.updated), info.state[:200], info.step, info.reason[:5000],
            info.live, size, config, notes, times[1], summary,
        )  # fmt: skip
        worker = runs.worker_of(info.path)
        if worker is not None and worker.pid >= 0:
            row.host, row.pid, row.started = worker.host[:200], worker.pid, worker.started[:200]
            row.since, row.worker = max(0.0, worker.since), worker.id[:200]
        return row

    def _due_for(self, info: RunInfo) -> bool:
        """Whether a run is to be summed up anew."""
        before = self._summed_up.get(info.path)
        if before is None and is_same_time(self._known_sums.pop(os.path.basename(info.path), 0.0), info.updated):
            self._summed_up[info.path] = before = info, time.monotonic()
        return before is None or (before[0] is not info and time.monotonic() - before[1] > AT_REST * info.live)

    def _sum_up(self) -> None:
        """Tell what some runs came to that nobody was told of yet."""
        deadline, messages = time.monotonic() + BUDGET, []
        while self._to_sum_up and time.monotonic() < deadline:
            info = self._to_sum_up.pop(0)
            name = os.path.basename(info.path)
            self._summed_up[info.path] = info, time.monotonic()
            if self._last_infos.get(name) is not info:
                continue
            summary = self._summaries.of(info.path, live=info.live)
            if summary != NOTHING and (row := self._row(name, info, summary)) is not None:
                messages.append(row)
        if messages:
            self.stream.send(*messages)

    # -- logs and files

    def _tell_logs(self) -> bool:
        """Send a part of each log that has one; whether there was any."""
        parts = [self._tell_log(name) for name in list(self._logs)]
        return any(parts)

    def _tell_log(self, name: str) -> bool:
        log = self._logs[name]
        new = log.level
        part = log.part(name)
        if part is None:
            return False
        messages: list[FarMessage] = [part]
        if new and b'"sample"' in part.data:
            messages = [*self._previews(name, part.data), part]
        self.stream.send(*messages)
        output = mtime(self.root / name / "worker.log")
        if output != self._outputs.get(name, 0.0) and (new or name not in self._outputs):
            self._outputs[name] = output
            self.stream.send(self._file(name, "worker.log"))
        return True

    def _previews(self, name: str, data: bytes) -> list[FarMessage]:
        """The files of new previews, the newest of each kind: they are there before the line that tells of them."""
        newest: dict[str, str] = {}
        for line in data.split(b"\n"):
            event = events.decode(line) if b'"sample"' in line else None
            if isinstance(event, events.Sample) and is_preview(event.path):
                newest[event.kind] = event.path
        files = []
        for path in newest.values():
            with contextlib.suppress(OSError):
                if os.stat(self.root / name / path).st_size <= PUSHED:
                    files.append(self._file(name, path))
        return [file for file in files if not file.problem]

    def _file(self, name: str, path: str) -> FarFile:
        """A file of a run. Links are followed no further than the run."""
        place = self.root / name / path
        if path == "worker.log":
            return FarFile(name, path, _end_of(place))
        if not is_preview(path):
            return FarFile(name, path, problem="it is no preview")
        try:
            if not os.path.realpath(place).startswith(os.path.join(os.path.realpath(self.root / name), "")):
                return FarFile(name, path, problem="it lies outside the run's folder")
            return FarFile(name, path, read_regular(place, LARGEST // 2))
        except OSError as error:
            return FarFile(name, path, problem=error.strerror or str(error))

    # -- doing

    def _in_thread(self, number: int, work: Callable[[], Answered]) -> None:
        """Answer a request when that can be; others go on meanwhile."""

        def body() -> None:
            with self._slots, contextlib.suppress(LinkBroken):
                self.stream.send(work())

        try:
            threading.Thread(target=body, name="ask", daemon=True).start()
        except RuntimeError:
            self.stream.send(Answered(number, {"ok": False, "error": "that machine can start no more threads"}))

    def _ask(self, message: AskThere, path: Path) -> Answered:
        data = message.data
        fields = {key: value for key, value in data.items() if key not in ("op", "worker", "run", "timeout", "blob")}
        op, addressee = str(data.get("op", "")), str(data.get("worker", ""))
        try:
            info = runs.worker_of(path)
            if addressee and info is not None and info.id != addressee:
                raise control.ControlError(control.STRANGER)
            reply = launch.ask_run(path, op, timeout=PATIENCE, blob=message.blob, **fields)
        except (control.ControlError, TypeError) as error:
            return Answered(message.number, {"ok": False, "error": str(error), "worker": addressee})
        return Answered(message.number, reply.data, reply.blob)

    def _deed(self, message: DoThere, path: Path) -> Answered:
        try:
            deed = DEEDS.get(message.what)
            if deed is None:
                raise runs.RunError(f"the tui-gen there cannot do {message.what!r} from afar")
            result = deed(path, *message.words)
            self._due = 0.0
        except (runs.RunError, remarks.RemarkError) as error:
            return Answered(message.number, {"ok": False, "error": str(error)})
        except (TypeError, ValueError, OSError) as error:
            return Answered(message.number, {"ok": False, "error": f"{type(error).__name__}: {error}"})
        return Answered(message.number, {"ok": True, "words": result})


def _end_of(path: Path) -> bytes:
    """The last lines of a worker's output."""
    try:
        with open_regular(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - OUTPUT))
            return file.read(OUTPUT)
    except OSError:
        return b""


def _resume(path: Path, assignments: list[str]) -> list[str]:
    """Have a run go on, as on the command line; what is to be said about it. Raises RunError."""
    sets = [word for text in assignments for word in ("--set", str(text))]
    done = children.run(
        "tui_gen", "--runs", path.parent, "--resume", path.name, *sets, "--detach",
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    lines = [line.removeprefix("tui-gen: ") for line in done.stderr.splitlines() if line.strip()]
    if done.returncode:
        raise runs.RunError("\n".join(lines) or f"it was not resumed: tui-gen there ended with {done.returncode}")
    return []


def _delete(path: Path) -> list[str]:
    runs.delete(path)
    return []


def _remark(change: Callable[..., object]) -> Callable[..., list[str]]:
    """What changes the remarks of a run, and has nothing to say."""

    def deed(path: Path, *words: Any) -> list[str]:
        change(path, *words)
        return []

    return deed


DEEDS: dict[str, Callable[..., list[str]]] = {
    "star": _remark(remarks.star),
    "tag": _remark(remarks.tag),
    "note": _remark(remarks.note),
    "rename": _remark(remarks.rename),
    "delete": _delete,
    "resume": _resume,
}
"""What can be done with a run from afar, besides asking its worker: by name, with the words that come with it."""


def serve(root: Path, given: bool) -> int:
    """Serve a folder of runs to whoever is at the other end of standard input and output; the exit status."""
    reading, writing = os.dup(0), os.dup(1)
    with open(os.devnull, "r+b") as null:  # nothing else may write between the frames
        os.dup2(null.fileno(), 0)
        os.dup2(2, 1)
    os.write(writing, b"\n" + MAGIC + f"{PROTOCOL} {__version__}\n".encode())
    stream = FrameStream(reading, writing, Asked)
    try:
        if problem := _unfit(root, given):
            stream.send(FarTrouble(problem))
            return 2
        serving = Serving(root, stream)
        threading.Thread(target=_guard, args=(serving.has_heard,), name="guard", daemon=True).start()
        serving.run()
    except LinkBroken:
        pass
    return 0


def _guard(has_heard: threading.Event) -> None:
    """End this process when nothing was heard for too long, whatever the system thinks of the link: the main thread
    may wait for ever to write to nobody.
    """
    while has_heard.wait(ABANDONED):
        has_heard.clear()
        time.sleep(1.0)
    os._exit(0)


def _unfit(root: Path, given: bool) -> str:
    """Why a folder cannot be looked at, in words for the other side; empty where it can."""
    try:
        if not os.path.isdir(root):
            name = "there is no folder" if not os.path.exists(root) else "no folder:"
            hint = "" if given else "; name the one with the runs, as in HOST:path/to/runs"
            return f"{name} {os.path.abspath(root)}{hint}"
        os.listdir(root)
    except OSError as error:
        return f"{root} cannot be read: {error.strerror or error}"
    return ""
