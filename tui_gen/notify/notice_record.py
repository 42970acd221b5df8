"""What a run's hook was told, and how that went: `notices.jsonl` in the run, a line for each.

Whoever tells a run's hook holds the file's lock, so that each thing is told once, whoever else may be about.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui_gen import presence
from tui_gen.bounds import Name
from tui_gen.files import read_regular

FILE = "notices.jsonl"
MOST = 1 << 20
"""Bytes of it that are read."""
LOOK = 0.5
"""Seconds between two tries to have the lock."""


class Line(msgspec.Struct):
    """A thing that was told: when, its event and key, and why the command failed, if it did."""

    t: float
    event: Name
    key: Name
    failure: str = ""


def lines(run: Path) -> list[Line]:
    """Everything that a run's hook was told; lines that make no sense are passed over."""
    try:
        data = read_regular(run / FILE, MOST)
    except OSError:
        return []
    found = []
    for raw in data.splitlines():
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            found.append(msgspec.json.decode(raw, type=Line))
    return found


def begun(run: Path) -> bool:
    """Whether somebody tells, or told, this run's hook."""
    return os.path.exists(run / FILE)


def failure(run: Path, since: float) -> str:
    """Why the command failed that a run told something to after a moment; the first time, in words."""
    failures = (line for line in lines(run) if line.failure and line.t >= since)
    first = next(failures, None)
    return "" if first is None else f"the command of notify.command failed ({first.event}): {first.failure}"


class NoticeRecord:
    """The file, held by the one that tells. Raises OSError where it cannot be had, and TimeoutError where `wanted` says
    no before it is."""

    def __init__(self, run: Path, wanted: Callable[[], bool]) -> None:
        self._run = run
        # Not filelock's: the file that is locked is the record itself, and filelock 3 empties what it locks.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(run / FILE, flags, 0o600)
        try:
            while not presence.attempt(self._file, fcntl.LOCK_EX):
                if not wanted():
                    raise TimeoutError
                time.sleep(LOOK)
        except BaseException:
            os.close(self._file)
            raise

    def close(self) -> None:
        """Let others have it."""
        os.close(self._file)

    def told_since(self, moment: float) -> set[str]:
        """The keys of what was told after a moment, and of what a run reaches but once."""
        return {line.key for line in lines(self._run) if line.t >= moment or line.key == "reached"}

    def add(self, event: str, key: str, failed: str) -> None:
        """Another thing was told."""
        with contextlib.suppress(OSError):
            os.write(self._file, msgspec.json.encode(Line(time.time(), event, key[:200], failed)) + b"\n")
