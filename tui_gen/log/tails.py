"""What a log said last: read backwards from its end, as little of it as tells, whatever lies there."""

from __future__ import annotations

import os
import stat
import threading

import msgspec

from tui_gen import events
from tui_gen.files import FLAGS

BLOCK = 1 << 12
"""The first look at a log's end takes so many bytes; the next ones more."""
LARGEST_BLOCK = 1 << 20
HEAD = 64
"""So many bytes of its beginning tell a log from another that took its place."""
FAR = 16 << 20
"""So far back from the end is looked. Where no change of state came since then, steps did: the run was running."""


class Tail(msgspec.Struct):
    """What a log said up to an offset, remembered between two looks: a long run's log is large and looked at often."""

    inode: int
    beginning: bytes
    offset: int
    last: events.State | None
    step: int | None


MOST_TAILS = 10_000
"""So many logs are remembered, those looked at last: about 4 MB. Of the others the ends are read anew."""
tail_cache: dict[str, Tail] = {}
_tail_lock = threading.Lock()
"""Lists of runs are read in threads."""


def tail_of(path: str, block: int = BLOCK) -> tuple[events.State | None, int]:
    """The last State event and the last step in a log; (None, 0) where there is none or it cannot be read."""
    try:
        descriptor = os.open(path, FLAGS)
    except (OSError, ValueError):
        return None, 0
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None, 0
        return _look(descriptor, path, status, block)
    except OSError:
        return None, 0
    finally:
        os.close(descriptor)


def _look(descriptor: int, path: str, status: os.stat_result, block: int) -> tuple[events.State | None, int]:
    tail = tail_cache.get(path)
    if tail is not None:
        same = tail.inode == status.st_ino and tail.offset <= status.st_size
        if not same or not os.pread(descriptor, HEAD, 0).startswith(tail.beginning):
            tail = None
    floor = tail.offset if tail else 0
    back = _Backwards(descriptor, status.st_size, floor, block)
    back.run()
    last, step = back.last, back.step
    if last is None and back.position > floor:  # it goes on and on about something else
        last = events.State(t=0.0, state="running", step=step or 0)
    elif tail is not None:
        last, step = last or tail.last, tail.step if step is None else step
    end = back.complete
    beginning = b"" if end < HEAD else tail.beginning if tail and tail.beginning else back.head()
    with _tail_lock:
        tail_cache.pop(path, None)
        tail_cache[path] = Tail(status.st_ino, beginning, end, last, step)
        while len(tail_cache) > MOST_TAILS:
            del tail_cache[next(iter(tail_cache))]
    return last, step or 0


class _Backwards:
    """Reads lines from the end of a file until the last state and step are known, or FAR back."""

    def __init__(self, descriptor: int, size: int, floor: int, block: int) -> None:
        self.descriptor, self.floor, self.block = descriptor, floor, block
        self.position = size
        self.stop = max(floor, size - FAR)
        self.complete = floor
        """The end of the last complete line."""
        self.last: events.State | None = None
        self.step: int | None = None
        self.chunk = b""
        """What was read last."""

    def run(self) -> None:
        rest, endless = b"", True  # a last line without its end is still to be written: no reader takes it yet
        while self.position > self.stop and (self.last is None or self.step is None):
            start = max(self.stop, self.position - self.block)
            data = self.chunk = os.pread(self.descriptor, self.position - start, start)
            if self.complete == self.floor and b"\n" in data:
                self.complete = start + data.rfind(b"\n") + 1
            lines = (data + rest).split(b"\n")
            if endless:  # what the last of them ends with is not there, or was too long to keep
                lines.pop()
            rest = lines.pop(0) if lines and start > self.floor else b""
            endless = (endless and b"\n" not in data) or len(rest) > LARGEST_BLOCK
            if endless:
                rest = b""
            for line in reversed(lines):
                if self.last is not None and self.step is not None:
                    break
                self._take(line)
            self.position, self.block = start, min(self.block * 4, LARGEST_BLOCK)

    def head(self) -> bytes:
        """The first bytes of the log."""
        return self.chunk[:HEAD] if self.position == 0 else os.pread(self.descriptor, HEAD, 0)

    def _take(self, line: bytes) -> None:
        event = events.decode(line) if self.step is None or b'"state"' in line else None
        if self.last is None and isinstance(event, events.State):
            self.last = event
        if self.step is None:
            self.step = step_after(event)


def step_after(event: events.Event | None) -> int | None:
    """How many steps were made when an event was written, where it tells."""
    match event:
        case events.Metrics():
            return event.end
        case events.State(state="starting"):
            return None  # nothing is loaded yet, so its step is always 0
        case events.State() | events.System():
            return event.step
        case events.Resume() | events.Rollback():
            return event.start
    return None
