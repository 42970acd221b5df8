"""A log that is sent over a link as it grows."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO

from tui_gen.files import open_regular
from tui_gen.remote.messages import LogPart, fingerprint

CHUNK = 1 << 18
"""Bytes of a log that are sent at a time."""


class SentLog:
    """A log that is sent as it grows: whole lines from where the other side is."""

    def __init__(self, path: Path, have: int, check: str) -> None:
        self.path = path
        self.level = False
        """Whether all that there was had been sent: what comes now is new."""
        self._offset, self._inode, self._beginning = 0, 0, b""
        self._told = False
        with contextlib.suppress(OSError), open_regular(path) as file:
            status = os.fstat(file.fileno())
            if 0 < have <= status.st_size and fingerprint(file.fileno(), have) == check:
                self._offset, self._inode = have, status.st_ino
                self._beginning = file.read(256).partition(b"\n")[0]

    def part(self, run: str) -> LogPart | None:
        """The next bytes, if any; the first time also where there are none."""
        try:
            status = os.stat(self.path)
            if (status.st_ino, status.st_size) == (self._inode, self._offset) and self._told:
                self.level = True
                return None
            with open_regular(self.path) as file:
                return self._read(file, run)
        except OSError:  # not there yet, or for now
            if self._told:
                return None
            self._told = self.level = True
            return LogPart(run, 0, b"", 0, fresh=True)

    def _read(self, file: BinaryIO, run: str) -> LogPart | None:
        status = os.fstat(file.fileno())
        beginning = file.read(256).partition(b"\n")[0]
        same = status.st_ino == self._inode and status.st_size >= self._offset
        fresh = not (same and beginning.startswith(self._beginning))
        if fresh:
            self._offset, self._inode = 0, status.st_ino
        self._beginning = beginning
        data = os.pread(file.fileno(), CHUNK, self._offset)
        # A line that is still being written waits, unless it is too long to wait for.
        end = data.rfind(b"\n") + 1 or (len(data) if len(data) == CHUNK else 0)
        total = self._offset + end if end < len(data) < CHUNK else status.st_size
        if not end and not fresh and self._told:
            self.level = True
            return None
        part = LogPart(run, self._offset, data[:end], max(total, self._offset + end), fresh)
        self._offset += end
        self._told = True
        return part
