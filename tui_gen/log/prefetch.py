"""A long log is read by a second process while this one is still being loaded, which takes longer than most logs do.

`begin` forks one that reads and puts what it found, part by part, into memory that both have; whoever follows that log
then takes the parts from there and reads on by itself where they end. Each part says how far it goes, so it does not
matter where the other process ends, nor whether it ever began.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from msgspec.structs import astuple

from tui_gen.events import Event, Metrics
from tui_gen.log.event_log import CHUNK, Decode, Follower, Place

if TYPE_CHECKING:
    from tui_gen.log.rows import LogRow

LONG = 8 << 20
"""Bytes of a log below which reading it takes no longer than another process takes from those who load this one."""
FIRST = 1 << 18
"""Bytes for the first part: so soon there is something to be drawn."""
PAUSE = 0.002
"""Seconds between two looks at what the other process has found."""
PATIENCE = 0.5
"""Seconds without another part after which it is not waited for any more. For the first one nobody waits: where that is
not there when somebody comes to read, the machine is busy, and one does best to read oneself."""
HEAD = 8
"""Bytes before a part that tell its length."""


class ReadPart(NamedTuple):
    """Some events of a log, and where what follows them begins."""

    events: list[Event]
    place: Place
    behind: bool
    restarted: bool


class ReadAhead:
    """What the process `pid` reads of a log, in the memory behind a file descriptor."""

    def __init__(self, pid: int, memory: int) -> None:
        self._pid, self._memory = pid, memory
        self._offset = 0
        self._last = -math.inf

    def next(self) -> ReadPart | None:
        """The part that was found next; None where there is none yet, or no more: then it is `over`."""
        ended = self._ended()
        size = int.from_bytes(os.pread(self._memory, HEAD, self._offset), "little")
        data = os.pread(self._memory, size, self._offset + HEAD)
        if size and len(data) == size:
            self._offset += HEAD + size
            self._last = time.monotonic()
            part: ReadPart = pickle.loads(data)  # of a process that is ours
            return part
        if ended or time.monotonic() - self._last > PATIENCE:
            self.close()
        return None

    @property
    def ready(self) -> bool:
        """Whether there is a part to be taken."""
        size = int.from_bytes(os.pread(self._memory, HEAD, self._offset), "little")
        return 0 < size <= os.fstat(self._memory).st_size - self._offset - HEAD

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self._memory < 0

    def _ended(self) -> bool:
        if self._pid:
            try:
                if not os.waitpid(self._pid, os.WNOHANG)[0]:
                    return False
            except ChildProcessError:
                pass
            self._pid = 0
        return True

    def close(self) -> None:
        """Read no more."""
        if self._memory >= 0:
            os.close(self._memory)
            self._memory = -1
        if self._pid:
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
            self._pid = 0


_begun: dict[Path, ReadAhead] = {}


def begin(path: Path) -> None:
    """Have a log read from now on, where that saves time: it is long, and there is a core for it. The process must have
    no threads yet.
    """
    with contextlib.suppress(OSError):
        if hasattr(os, "memfd_create") and len(os.sched_getaffinity(0)) > 1 and path.stat().st_size >= LONG:
            memory = os.memfd_create("tui-gen")
            if pid := os.fork():
                _begun[path] = ReadAhead(pid, memory)
            else:
                _read(path, memory)


def ready(path: Path, patience: float) -> bool:
    """Whether something can be had of a log at once: nobody reads it, or a part was found, or is in so many seconds."""
    reading, until = _begun.get(path), time.monotonic() + patience
    while reading is not None and not reading.ready:
        if time.monotonic() > until:
            return False
        time.sleep(PAUSE)
    return True


def follower(path: Path, decode: Decode) -> Follower:
    """Who follows this log: for the first that asks, from what has been read of it, where that was begun."""
    reading = _begun.pop(path, None)
    return Follower(path, decode=decode) if reading is None else Prefetched(path, decode, reading)


class Prefetched(Follower):
    """Takes what another process reads of the log, then goes on reading by itself."""

    def __init__(self, path: Path, decode: Decode, reading: ReadAhead) -> None:
        super().__init__(path, decode=decode)
        self._reading = reading

    def poll(self, limit: int = CHUNK) -> list[Event]:
        """As any follower's; a part is what the other process took for one."""
        if self._reading.over:
            return super().poll(limit)
        part = self._reading.next()
        if part is None and self._reading.over:
            return super().poll(limit)
        if part is None:
            self.restarted, self.behind = False, True
            time.sleep(PAUSE)
            return []
        self.go_to(part.place)
        self.restarted, self.behind = part.restarted, part.behind
        return part.events


def _read(path: Path, memory: int) -> None:
    """The other process. Where cores are scarce it comes after the one whose first picture is waited for."""
    try:
        os.nice(10)
        with open(memory, "wb") as file:
            write_parts(path, file)
    finally:
        os._exit(0)


def write_parts(path: Path, file: BinaryIO) -> None:
    """Write what a log holds to a file, a part for about every CHUNK of it."""
    from tui_gen.log.rows import Reader

    follower, size = Follower(path, decode=Reader().decode), FIRST
    while True:
        found, size = list(together(follower.poll(size))), CHUNK
        data = pickle.dumps(ReadPart(found, follower.place, follower.behind, follower.restarted), 5)
        file.write(len(data).to_bytes(HEAD, "little") + data)
        file.flush()
        if not follower.behind:
            return


def together(events: Iterable[Event]) -> Iterator[Event]:
    """The same events; many rows of the same names, evenly spaced, as one block."""
    from tui_gen.log.rows import LogRow

    rows: list[LogRow] = []
    for event in events:
        if isinstance(event, LogRow):
            gap = event.start - rows[-1].start if rows else 0
            if rows and (type(event) is not type(rows[0]) or gap < 1 or gap != _gap(rows, gap)):
                yield from _joined(rows)
                rows = []
            rows.append(event)
        else:
            yield from _joined(rows)
            rows = []
            yield event
    yield from _joined(rows)


def _gap(rows: list[LogRow], otherwise: int = 1) -> int:
    return rows[1].start - rows[0].start if len(rows) > 1 else otherwise


def _joined(rows: list[LogRow]) -> Iterator[Event]:
    """Rows as a block; a few of them each as what it would be in any other reader's hands."""
    import numpy as np

    from tui_gen.log.gathering import FEW
    from tui_gen.log.rows import LogBlock, RowBlock

    if len(rows) < FEW:
        for row in rows:
            columns = ([*column] for column in astuple(row.values))
            yield Metrics(t=row.t, start=row.start, stride=row.stride, values=dict(zip(row.NAMES, columns)))
        return
    block = RowBlock(rows[0])
    for row in rows[1:]:
        block.take(row)
    with np.errstate(over="ignore"):  # what is too large for float32 is a gap in any curve
        values = block.columns()[1].astype(np.float32)
    yield LogBlock(t=rows[-1].t, start=rows[0].start, stride=_gap(rows), names=block.names, values=values)
