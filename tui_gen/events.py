"""The typed events of a run, their writer and their follower.

`events.jsonl` holds one JSON object a line, only ever appended to. Every event has a `type` and `t`, the wall-clock
time in seconds since the epoch. A torn last line is left for later; a line that is not a known event is counted and
passed over, so a newer writer or a disk fault never blinds a reader.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from tui_gen.quality import Report

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The errors that mean: no room now, perhaps later."""


class Event(msgspec.Struct, tag_field="type", kw_only=True):
    """What every event has: `t`, seconds since the epoch."""

    t: float = msgspec.field(default_factory=time.time)


class Metrics(Event, tag="metrics", kw_only=True):
    """Some steps' values, columnar: metric → one value a step; steps are `start, start + stride, …`.

    A value that was NaN or infinite is `null`. Names are `phase/metric` (`vae/elbo`), with `val/` in front when
    they come from the validation split.
    """

    start: int
    stride: int = 1
    values: dict[str, list[float | None]]


class State(Event, tag="state"):
    """The run went over to `state`: starting, running, paused, stopping, finished, stopped or failed."""

    state: str
    step: int
    reason: str = ""


class Resume(Event, tag="resume"):
    """Training goes on from `step` (a checkpoint's): whatever the log says of later steps was lost and is redone."""

    step: int


class Plan(Event, tag="plan"):
    """What is going to happen: the length in steps (or None with a time limit), and the sizes readers need.

    `threads` is how many CPU threads compute; 0 where a GPU does, or where it was not written down.
    """

    steps: int | None
    steps_per_epoch: int
    batch_size: int
    minutes: float | None = None
    device: str = ""
    parameters: int = 0
    phases: list[str] = []
    compiled: bool = False
    threads: int = 0


class Sample(Event, tag="sample"):
    """A preview was written: `path` is relative to the run directory; a PNG grid, or lines of text (`.txt`).

    `kind` is what it shows (`samples`, `reconstructions`, `trajectory`, …); `columns` × `rows` tiles of
    `tile` = (height, width) pixels, `gap` pixels between them. `step` counts the training steps the weights have seen.
    """

    step: int
    path: str
    kind: str = "samples"
    columns: int = 1
    rows: int = 1
    tile: tuple[int, int] = (1, 1)
    gap: int = 0


class Checkpoint(Event, tag="checkpoint"):
    """A checkpoint was completed: `path` is relative to the run directory; `reason` says why it was made."""

    step: int
    path: str
    reason: str = ""


class Edit(Event, tag="edit"):
    """A setting was changed while training; it took effect before step `step` was made."""

    step: int
    key: str
    old: Any
    new: Any


class Uses(Event, tag="uses"):
    """The run needs another: hyperparameter `key` asked for it with `asked`, `run` is its folder.

    `step` is that of the checkpoint taken; None while the other run is yet to be trained.
    """

    key: str
    run: str
    asked: str = ""
    step: int | None = None


class Alert(Event, tag="alert"):
    """Something a person should look at: what happened, where, and what to try."""

    step: int
    level: str
    what: str
    where: str = ""
    advice: str = ""


class Note(Event, tag="note"):
    """A line for the log pane."""

    text: str
    level: str = "info"


class Progress(Event, tag="progress"):
    """A long preparation (download, image cache): `done` of `total` units; the last one has done == total."""

    what: str
    done: int
    total: int
    unit: str = ""


class System(Event, tag="system"):
    """How fast it goes and what it takes, every second or so: steps/s, images/s, bytes of memory."""

    step: int
    steps_per_second: float
    images_per_second: float
    memory: int = 0
    device_memory: int = 0
    seconds: float = 0.0
    """Time spent training so far, pauses left out, earlier sessions counted in."""


class Quality(Event, tag="quality"):
    """Samples were measured: their figures beside those of real data, of the weights after `report.step` steps."""

    report: Report


AnyEvent = (
    Metrics | State | Resume | Plan | Sample | Checkpoint | Edit | Uses | Alert | Note | Progress | System | Quality
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(AnyEvent)


def encode(event: Event) -> bytes:
    """One line, newline included. NaN and infinities become `null`; text that is not Unicode (the name of a file,
    say) is written with `?` in the places that are not.
    """
    try:
        return _encoder.encode(event) + b"\n"
    except UnicodeEncodeError:
        return _encoder.encode(_unicode(msgspec.to_builtins(event))) + b"\n"


def _unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_unicode(key): _unicode(one) for key, one in value.items()}
    return [_unicode(one) for one in value] if isinstance(value, list) else value


def decode(line: bytes) -> Event | None:
    """The event on a line, or None where the line holds no event this version knows."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class EventWriter:
    """Appends events to a file; one `write` a flush. Not thread-safe: the worker's training thread owns it.

    When the disk is full the lines stay in memory (`backlog`), `trouble` says why, and every later `flush` tries
    again, so nothing is lost while the process lives.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        self._pending: list[bytes] = []
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            self._pending.append(b"\n")

    @property
    def backlog(self) -> int:
        """How many chunks wait for room on the disk."""
        return len(self._pending)

    def write(self, *events: Event) -> bool:
        """Append events and flush. False while they could not reach the disk."""
        self._pending.extend(encode(event) for event in events)
        return self.flush()

    def flush(self) -> bool:
        """Try to write what is pending. False (and `trouble` set) when there is no room."""
        if not self._pending:
            return True
        data = b"".join(self._pending)
        try:
            done = os.write(self._file, data)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._pending = [data]
            self.trouble = f"cannot write {self.path}: {error.strerror}"
            return False
        self._pending = [data[done:]] if done < len(data) else []
        self.trouble = f"cannot write all of {self.path}" if self._pending else ""
        return not self._pending

    def close(self) -> None:
        """Flush what can be flushed and close the file."""
        try:
            self.flush()
        finally:
            os.close(self._file)


class Follower:
    """Reads a run's events from the start and keeps up with its growth; cheap to poll.

    `poll` returns the events that are complete since the last call. A file that shrank or was replaced is read
    anew, with `restarted` true for that poll. `garbage` counts lines that held no event; `trouble` says why the file
    cannot be read, if it cannot.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.garbage = 0
        self.restarted = False
        self.trouble = ""
        self._offset = 0
        self._inode = 0
        self._beginning = b""

    def poll(self, limit: int = 16 << 20) -> list[Event]:
        """Events that became complete; reads at most `limit` bytes a call. An absent file gives none."""
        self.restarted = False
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
        if end == 0 and len(data) == limit:
            end = limit  # one endless line: it can only be garbage
        self._offset += end
        events = []
        for line in data[:end].split(b"\n"):
            if not line.strip():
                continue
            event = decode(line)
            if event is None:
                self.garbage += 1
            else:
                events.append(event)
        return events

    def _read(self, limit: int) -> bytes:
        """What follows the part that was read, or the beginning where this is no longer the file that it was.

        A new file may have the old one's inode: its beginning, where the first event has its time, tells.
        """
        with open(self.path, "rb") as file:
            status = os.fstat(file.fileno())
            replaced = status.st_ino != self._inode or status.st_size < self._offset
            if replaced or file.read(len(self._beginning)) != self._beginning:
                self.restarted = self._offset > 0
                self._inode, self._offset, self.garbage, self._beginning = status.st_ino, 0, 0, b""
            file.seek(self._offset)
            data = file.read(min(limit, status.st_size - self._offset))
        if self._offset == 0:
            self._beginning = data[: data.find(b"\n") + 1][:256]
        return data
