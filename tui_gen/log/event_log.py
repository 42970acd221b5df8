"""The log of a run: its writer, and the follower by which everybody reads it.

`events.jsonl` holds one JSON object a line, only ever appended to. A torn last line is left for later; a line that is
not a known event is counted and passed over, so a newer writer or a disk fault never blinds a reader.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tui_gen.events import Event, decode, encode
from tui_gen.files import open_log, open_regular, written_aside

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The errors that mean: no room now, perhaps later."""
CHUNK = 1 << 20
"""How much of a log is read at a time."""
LONGEST = 16 << 20
"""The longest line that is read, in bytes."""
Decode = Callable[[bytes], Event | None]
Place = tuple[int, int, bytes, bool, int]
"""How far a log was read: bytes, the file's inode and beginning, whether within a line without end, lines of garbage.
"""


def read(path: Path, *kinds: type[Event]) -> Iterator[Event]:
    """All events of these kinds in a log, in order; however long it is, a small part of it at a time is in memory.

    A log that is absent or cannot be read has none.
    """
    follower = Follower(path, kinds)
    while True:
        yield from follower.poll()
        if not follower.behind:
            return


class EventWriter:
    """Appends events to a file; one `write` a flush. Not thread-safe: the worker's training thread owns it.

    What cannot be written stays in memory, `trouble` says why (`error` is what the system said), and every
    later `flush` tries again, so nothing is lost while the process lives. Opening it may raise OSError, writing never.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        self.error: OSError | None = None
        self._pending: list[bytes] = []
        self._file = open_log(path)
        status = os.fstat(self._file)
        self._counts_links = status.st_nlink > 0  # some file systems count no links
        if status.st_size and os.pread(self._file, 1, status.st_size - 1) != b"\n":
            self._pending.append(b"\n")

    @property
    def removed(self) -> bool:
        """Whether the file was deleted: nobody would read what is still written to it."""
        try:
            return self._counts_links and os.fstat(self._file).st_nlink == 0
        except OSError:
            return False

    def write(self, *events: Event) -> bool:
        """Append events and flush. False while they could not reach the disk."""
        self._pending.extend(encode(event) for event in events)
        return self.flush()

    def flush(self) -> bool:
        """Try to write what is pending. False (and `trouble` and `error` set) when that cannot be."""
        if not self._pending:
            return True
        data = b"".join(self._pending)
        self._pending = [data]
        try:
            if self.removed:
                raise FileNotFoundError(errno.ENOENT, "it was deleted", str(self.path))
            size = self._put(data)
        except OSError as error:
            self.error, self.trouble = error, f"cannot write {self.path}: {error.strerror or error}"
            return False
        self._pending = [data[size:]] if size < len(data) else []
        self.trouble = f"cannot write all of {self.path}" if self._pending else ""
        self.error = OSError(errno.ENOSPC, "no room for all of it", str(self.path)) if self._pending else None
        return not self._pending

    def _put(self, data: bytes) -> int:
        try:
            return os.write(self._file, data)
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
        stale, self._file = self._file, open_log(self.path)  # a server that was set up anew knows it by its name only
        with contextlib.suppress(OSError):
            os.close(stale)
        return os.write(self._file, data)

    def restore(self) -> None:
        """Write a file that was deleted again, with all that it held: the process still has that. Raises OSError."""
        old_file, offset = self._file, 0
        with written_aside(self.path) as aside, open(aside, "wb") as file:
            while part := os.pread(old_file, 1 << 20, offset):
                offset += len(part)
                file.write(part)
        self._file = open_log(self.path)
        os.close(old_file)

    def close(self) -> None:
        """Write what can be written and close the file."""
        self.flush()
        with contextlib.suppress(OSError):
            os.close(self._file)


class Follower:
    """Reads a run's events from the start and keeps up with its growth; cheap to poll.

    `poll` returns the next events that are complete; `behind` says that there are more already. A file that shrank or
    was replaced is read anew, with `restarted` true for that poll. `garbage` counts lines that held no event; `trouble`
    says why the file cannot be read, if it cannot. With `kinds`, lines that cannot be of these are not looked at, nor
    are packed metrics. `decode` makes the events.
    """

    def __init__(self, path: Path, kinds: tuple[type[Event], ...] = (), decode: Decode = decode) -> None:
        self.path = Path(path)
        self.garbage = 0
        self.restarted = False
        self.behind = False
        self.trouble = ""
        self._kinds, self._decode = kinds, decode
        self._marks = tuple(f'"{kind.__struct_config__.tag}"'.encode() for kind in kinds)
        self._offset = 0
        self._inode = 0
        self._beginning = b""
        self._endless = False  # within a line that is too long to be an event

    def poll(self, limit: int = CHUNK) -> list[Event]:
        """Events that became complete, from about `limit` bytes or one line; an absent file gives none."""
        self.restarted = self.behind = False
        try:
            status = os.stat(self.path)
            if (status.st_ino, status.st_size) == (self._inode, self._offset):
                self.trouble = ""
                return []
            data = self._read(limit)
        except FileNotFoundError:
            self.trouble = ""
            return []
        except OSError as error:
            self.trouble = f"cannot read {self.path}: {error.strerror or error}"
            return []
        self.trouble = ""
        end = data.rfind(b"\n") + 1
        start = 0
        if self._endless:
            start = data.find(b"\n") + 1 or len(data)
            self._endless = end == 0
            end = max(start, end)
        elif end == 0 and len(data) >= max(limit, LONGEST):
            end = start = len(data)
            self._endless = True
            self.garbage += 1
        self._offset += end
        return self._events(data[start:end])

    def _events(self, data: bytes) -> list[Event]:
        if self._kinds and not any(mark in data for mark in self._marks):
            return []
        events = []
        for line in data.split(b"\n"):
            if not line or line.isspace() or (self._kinds and not any(mark in line for mark in self._marks)):
                continue
            event = self._decode(line)
            if event is None:
                self.garbage += 1
            elif not self._kinds or isinstance(event, self._kinds):
                events.append(event)
        return events

    def _read(self, limit: int) -> bytes:
        """What follows the part that was read, or the beginning where this is no longer the file that it was.

        A new file may have the old one's inode: its beginning, where the first event has its time, tells.
        """
        with open_regular(self.path) as file:
            status = os.fstat(file.fileno())
            replaced = status.st_ino != self._inode or status.st_size < self._offset
            if replaced or file.read(len(self._beginning)) != self._beginning:
                self.restarted = self._offset > 0
                self._inode, self._offset, self.garbage, self._beginning = status.st_ino, 0, 0, b""
                self._endless = False
            file.seek(self._offset)
            parts = [file.read(limit)]
            have = len(parts[0])
            # A line may be longer than that: read on to its end, within reason.
            while have >= limit and have < LONGEST and not self._endless and b"\n" not in parts[-1]:
                parts.append(file.read(limit))
                if not parts[-1]:
                    break
                have += len(parts[-1])
            data = b"".join(parts)
            self.behind = self._offset + len(data) < status.st_size
        if self._offset == 0:
            self._beginning = data[: data.find(b"\n") + 1][:256]
        return data

    @property
    def offset(self) -> int:
        """How many bytes of the file were read."""
        return self._offset

    @property
    def place(self) -> Place:
        """Where it is in the log: another follower of it may `go_to` there."""
        return self._offset, self._inode, self._beginning, self._endless, self.garbage

    def go_to(self, place: Place) -> None:
        """Go on from where another follower of this log was."""
        self._offset, self._inode, self._beginning, self._endless, self.garbage = place
