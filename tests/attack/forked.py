"""Workers that are forked from a process which has PyTorch imported: real ones, but up within a tenth of a second.

What a worker does to files can be counted, and it can be made to die by SIGKILL before any one of these operations, or
halfway through a write: moments that kills from outside rarely meet.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

PATIENCE = 120.0
"""Seconds after which a worker that does not end counts as hanging."""
_children: set[int] = set()


class Child:
    """A worker's process: waited for, signalled, ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None
        self._handle = os.pidfd_open(pid)
        _children.add(pid)

    def wait(self, timeout: float = PATIENCE) -> int | None:
        """The exit status (negative: the signal it died of), or None where it lives on after so many seconds."""
        if self.status is None and select.select([self._handle], [], [], timeout)[0]:
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
            os.close(self._handle)
            _children.discard(self.pid)
        return self.status

    def send(self, number: int) -> None:
        """Send a signal, if it still lives."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self) -> int | None:
        """SIGKILL, and see it gone."""
        self.send(signal.SIGKILL)
        return self.wait()


def worker(
    run: Path, *, resume: bool = False, around: Callable[[], AbstractContextManager[Any]] = nullcontext
) -> Child:
    """Fork a worker that trains a run; in its process everything happens within `around()`."""
    from tui_gen.train.run import __main__ as command  # imported before the fork, once for all
    from tui_gen.train.run import loop  # noqa: F401 - as well

    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return Child(pid)
    status = 70
    try:
        os.setsid()
        _die_with_parent()
        sys.argv = ["worker", str(run), *(["--resume"] if resume else [])]
        os.chdir("/")
        command.stopping.leave = sys.exit  # what is around it is left, too, before the process is
        with around():
            command.main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # a fault ends up in worker.log, as in a process of its own
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        os._exit(status)


def _die_with_parent() -> None:
    """Ask Linux for a SIGKILL when the attack itself is ended."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def end_all() -> None:
    """End every worker that still lives."""
    for pid in list(_children):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


class Places:
    """Counts this process's file operations below a folder, and stops at one of them: dies, or waits for a word.

    Operations are what Python reports to audit hooks (open, rename, mkdir, remove, listdir …), `os.write` (before it,
    and with half of the bytes written) and `os.fsync`. The one to stop at is the `number`th of all, or of those of a
    kind (`kind_of`). `told` is a file outside the folder, in which every operation's name is left, a line each, at the
    end or at the stop. `gate` are the ends of two pipes: to hear that it may go on, and to say that it waits; without
    them it dies by SIGKILL.
    """

    def __init__(
        self, root: Path, told: Path, number: int = 0, kind: str = "", gate: tuple[int, int] | None = None
    ) -> None:
        self.root, self.told, self.number, self.kind, self.gate = os.fsencode(root), told, number, kind, gate
        self.seen: list[str] = []
        self._write, self._fsync = os.write, os.fsync

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count until the end of the block; leaves word of what there was."""
        sys.addaudithook(self._hear)
        os.write, os.fsync = self._half_write, self._sync
        try:
            yield
        finally:
            self._tell()

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if event != "open" and not event.startswith(("os.", "shutil.")):
            return
        named = given[: 1 if event == "open" else 2]  # a second one is what it is renamed or copied to
        names = [os.fsencode(one) for one in named if isinstance(one, str | bytes | os.PathLike)]
        if any(name.startswith(self.root) for name in names):
            reads = event == "open" and isinstance(given[2], int) and given[2] & 3 == os.O_RDONLY
            event = "read" if reads else event.rpartition(".")[2]
            name = names[-1].removeprefix(self.root)
            self.place(f"{event} {os.fsdecode(os.path.basename(name)) or 'the folder of runs'}")

    def place(self, what: str) -> None:
        """One operation; the process may not survive it."""
        self.seen.append(what)
        if not self.number or (self.kind and kind_of(what) != self.kind):
            return
        self.number -= 1
        if not self.number:
            self._tell()
            if self.gate is None:
                os.kill(os.getpid(), signal.SIGKILL)
            else:
                self._write(self.gate[1], b"!")
                os.read(self.gate[0], 1)

    def _tell(self) -> None:
        with open(self.told, "w") as file:
            file.write("\n".join(self.seen))

    def _half_write(self, handle: int, data: bytes) -> int:
        if (name := self._ours(handle)) and len(data) > 1:
            self.place(f"write {name}")
            if self.gate is None and self.number == 1 and not self.kind:
                self._write(handle, data[: len(data) // 2])
            self.place(f"half of write {name}")
        return self._write(handle, data)

    def _sync(self, handle: int) -> None:
        if name := self._ours(handle):
            self.place(f"fsync {name}")
        self._fsync(handle)

    def _ours(self, handle: int) -> str:
        """The name of an open file, if it is below the folder."""
        with contextlib.suppress(OSError):
            path = os.fsencode(os.readlink(f"/proc/self/fd/{handle}"))
            if path.startswith(self.root):
                return os.fsdecode(os.path.basename(path))
        return ""


def kind_of(operation: str) -> str:
    """An operation's name without what differs between runs and steps: `mkdir .N.partial`."""
    name = re.sub(r"\d+", "N", re.sub(r"\d{8}-\d{4}-[a-z0-9-]+", "RUN", operation))
    return re.sub(r"N-(?!quality)[a-z]+\.", "N.", name)  # pictures, whatever they show


def operations(told: Path) -> list[str]:
    """The names that `Places` left, in the order of the operations."""
    try:
        return told.read_text().split("\n")
    except OSError:
        return []
