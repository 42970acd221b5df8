"""Where a run is written down: its folder, held open, its log, and what is done when they cannot be written.

Nothing that a disk does ends a run. Until it can be written again everything stays in memory: the run waits, says so
to whoever asks, and goes on by itself. A folder that was renamed is followed, one in it that is missing is made again;
where the run's own was deleted, nothing is made anew.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from tui_gen import events
from tui_gen.log import event_log
from tui_gen.quantities import duration
from tui_gen.usage import ROOM, WRITABLE

T = TypeVar("T")
PAUSES = 0.25, 1.0
"""Seconds between two attempts to write: at first, and at most."""
REMOVAL_PATIENCE = 10.0
"""Seconds after which a log that was removed is written again: deleting a large run takes a while, and it may be first
to go."""
MISSING = {errno.ENOENT, errno.ENOTDIR}
GONE = {errno.ESTALE, errno.ENOENT}


class Gone(Exception):
    """The run's folder was deleted."""


class Home:
    """A run's folder, held open: found again where it was renamed, known to be gone where it was deleted."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        status = os.fstat(self._file)
        self._identity = status.st_dev, status.st_ino
        self._counts_links = status.st_nlink > 0  # some file systems count no links

    def close(self) -> None:
        """Let go of it."""
        os.close(self._file)

    def look(self) -> Path:
        """Where it is now. Raises Gone."""
        if self._at(self.path):
            return self.path
        try:
            if self._counts_links and os.fstat(self._file).st_nlink == 0:
                raise Gone(f"{self.path} was deleted")
        except OSError as error:
            if error.errno in GONE:
                raise Gone(f"{self.path} was deleted") from None
            return self.path  # what is wrong with it is told by whoever writes
        path = self._named()
        if path is not None:
            self.path = path
        return self.path

    def _at(self, path: Path) -> bool:
        try:
            status = os.stat(path)
        except OSError as error:
            return error.errno not in (*GONE, errno.ENOTDIR)
        return (status.st_dev, status.st_ino) == self._identity

    def _named(self) -> Path | None:
        """Its name, as the system knows it; where only another machine knows that, a name that works all the same."""
        descriptor_path = f"/proc/self/fd/{self._file}"
        with contextlib.suppress(OSError):
            if hasattr(fcntl, "F_GETPATH"):  # macOS
                path = Path(os.fsdecode(fcntl.fcntl(self._file, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
            else:
                path = Path(os.readlink(descriptor_path))
            if self._at(path):
                return path
        return Path(descriptor_path) if self._at(Path(descriptor_path)) else None


class RunRecord:
    """A run's folder and log, for the thread that trains it.

    `serve(seconds)` answers requests for that long while the run waits, and raises what is to end the run.
    `trouble` says, in words, why the run waits; empty while all is well. `moved` is called with the new path of a
    folder that was renamed, `waiting` with usage.ROOM or WRITABLE around each look at what is waited for.
    """

    def __init__(
        self,
        path: Path,
        log: event_log.EventWriter,
        serve: Callable[[float], None],
        on_move: Callable[[Path], None] = lambda path: None,
        waiting: Callable[[str], AbstractContextManager[None]] = lambda part: contextlib.nullcontext(),
    ) -> None:
        self.home, self.log, self._serve, self._on_move = Home(path), log, serve, on_move
        self._waiting = waiting
        self.trouble = ""
        self.patient = True
        self._removal_time: float | None = None

    @property
    def path(self) -> Path:
        """The run's folder, as of the last look."""
        return self.home.path

    def look(self) -> Path:
        """Where the folder is now. Raises Gone."""
        before = self.home.path
        now = self.home.look()
        if now != before:
            self.log.path = now / self.log.path.name
            self._on_move(now)
        return now

    @contextlib.contextmanager
    def impatient(self) -> Iterator[None]:
        """What is written meanwhile is written at once or not at all: `persist` raises, events stay in memory."""
        before, self.patient = self.patient, False
        try:
            yield
        finally:
            self.patient = before

    @contextlib.contextmanager
    def patiently(self) -> Iterator[None]:
        """What is written meanwhile is waited for, in an answer to a request, too: it cannot be left half done."""
        before, self.patient = self.patient, True
        try:
            yield
        finally:
            self.patient = before

    def emit(self, *new: events.Event) -> None:
        """Append events; where they cannot be written, wait until they can be. Raises Gone, and what ends the run."""
        written = self.log.write(*new)
        if not written and self.patient:
            self._wait(self._flushed)

    def _flushed(self) -> OSError | None:
        if self.log.removed:
            now = time.monotonic()
            self._removal_time = self._removal_time or now
            try:
                os.stat(self.look() / "config.toml")
            except FileNotFoundError:
                raise Gone(f"{self.path} was emptied") from None
            except OSError as error:  # nobody can tell now
                return error
            if now - self._removal_time > REMOVAL_PATIENCE:
                self._removal_time = None
                try:
                    self.log.restore()
                except OSError as error:
                    return error
        return None if self.log.flush() else self.log.error

    def persist(self, write: Callable[[Path], T]) -> T:
        """Do something that writes files in the run's folder, which it is given; where it cannot, wait and try again.

        Raises Gone, what ends the run, and, where there is no patience, OSError.
        """
        result: list[T] = []

        def attempt() -> OSError | None:
            path = self.look()
            for again in (True, False):
                try:
                    result.append(write(path))
                except OSError as error:
                    if not (again and error.errno in MISSING):
                        return error
                    path = self.look()
                    for name in ("samples", "checkpoints"):
                        with contextlib.suppress(OSError):
                            (path / name).mkdir()
                else:
                    return None
            return None

        error = attempt()
        if error is not None:
            if not self.patient:
                raise error
            self._wait(attempt, error)
        return result[0]

    def _wait(self, attempt: Callable[[], OSError | None], error: OSError | None = None) -> None:
        """Hold the run until `attempt` gives no error."""
        since, (pause, longest) = time.monotonic(), PAUSES
        words = ""
        error = error or attempt()
        while error is not None:
            self.look()
            words = f"cannot write in {self._place(error)}: {error.strerror or error}"
            trouble = f"{words}; training waits until {waits_for(error)}"
            if trouble != self.trouble:
                self.trouble = trouble
                print(f"warning: {trouble}", file=sys.stderr)
            with self._waiting(ROOM if error.errno in event_log.FULL else WRITABLE):
                self._serve(pause)
                error = attempt()
            pause = min(longest, 1.5 * pause)
        if words:
            self.trouble = ""
            summary = f"{words}. Training waited {duration(time.monotonic() - since)} for it, and goes on"
            print(f"info: {summary}", file=sys.stderr)
            self.log.write(events.Note(text=summary, level="warning"))

    def _place(self, error: OSError) -> Path:
        failed_path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else None
        return failed_path.parent if failed_path is not None and self.path in failed_path.parents else self.path

    def close(self) -> None:
        """Let go of the folder."""
        self.home.close()


def waits_for(error: OSError) -> str:
    """What has to come about before a write that failed can succeed, in words."""
    if error.errno in event_log.FULL:
        return "there is room"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "it may be written again"
    return "it can be written again"
