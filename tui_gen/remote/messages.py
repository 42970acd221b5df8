"""What the two sides of a mirror say to each other, and how it travels: msgpack in frames, in one zlib stream a way.

The side that has the runs is not trusted by the one that shows them: whatever comes is decoded into these types, with
their bounds, or ends the connection.
"""

from __future__ import annotations

import hashlib
import os
import select
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tui_gen.bounds import Count, Name, Step, When, is_folder
from tui_gen.history.run_summary import RunSummary

PROTOCOL = 1
"""Changes where an older side would not understand a newer one."""
MAGIC = b"\x1etui-gen-mirror "
"""Begins the line after which the stream begins; a login shell may print what it likes before."""
LARGEST = 48 << 20
"""Bytes of a frame."""
PART = 1 << 16
MOST_UNPACKED = 1 << 20
"""Bytes that are unpacked at a time, whatever they were packed into."""
PING = 15.0
"""Seconds after which the side that watches says that it is there."""
SILENT = 40.0
"""Seconds without a word after which it takes the link for dead; the other side waits longer."""

Folder = Annotated[str, Meta(min_length=1, max_length=255)]
File = Annotated[str, Meta(min_length=1, max_length=400)]
Small = Annotated[bytes, Meta(max_length=1 << 20)]
Bytes = Annotated[bytes, Meta(max_length=LARGEST)]
Words = Annotated[str, Meta(max_length=10_000)]


class FarMessage(msgspec.Struct, array_like=True, tag_field="type"):
    """What either side may say."""


class Begin(FarMessage, tag="begin"):
    """Tell which runs there are, and from then on what changes: the first message.

    `known` has, for the folders of runs that are mirrored already, the times of their config and of their remarks, and
    that of the log that their summary was made from; 0 where there is none. What is the same is not sent again.
    """

    known: Annotated[dict[Folder, tuple[float, float, float]], Meta(max_length=100_000)] = {}


class LookAt(FarMessage, tag="look"):
    """Send the log of a run from byte `have` on, and what comes to it; `check` is the `fingerprint` of what is there.
    """

    run: Folder
    have: Count = 0
    check: str = ""


class LookAway(FarMessage, tag="away"):
    """Send no more of a run's log."""

    run: Folder


class FetchFile(FarMessage, tag="fetch"):
    """Send a preview, or the end of the worker's output."""

    run: Folder
    path: File


class AskThere(FarMessage, tag="ask"):
    """A request to the worker of a run, as `control` has them; the answer has its `number`."""

    number: Count
    run: Folder
    data: dict[str, Any]
    blob: Bytes = b""


class DoThere(FarMessage, tag="do"):
    """Something else to be done with a run: see `serving.DEEDS`; the answer has its `number`."""

    number: Count
    run: Folder
    what: Name
    words: list[Any] = []


class Ping(FarMessage, tag="ping"):
    """Somebody watches; answered by a `Pong`."""


class FarRun(FarMessage, tag="run"):
    """A row of the list of runs. `config` and `remarks` are those files, None where they are what they were.

    `noted` is when the remarks were written, `size` is that of the log. `pid` and so on are of the worker, empty where
    none is known.
    """

    folder: Folder
    created: When
    updated: When
    state: Name
    step: Step
    reason: Words
    live: bool
    size: Count
    config: Small | None = None
    remarks: Small | None = None
    noted: When = 0.0
    summary: RunSummary | None = None
    host: Name = ""
    pid: Count = 0
    started: Name = ""
    since: When = 0.0
    worker: Name = ""


class GoneRuns(FarMessage, tag="gone"):
    """Runs that are not there any more."""

    folders: list[Folder]


class AllListed(FarMessage, tag="listed"):
    """Every run there is was told of once; from here on come changes."""

    count: Count


class LogPart(FarMessage, tag="log"):
    """Bytes of a log at an `offset`; `fresh` ones are the beginning of another log than the one before.

    `total` is how long it is by now.
    """

    run: Folder
    offset: Count
    data: Bytes
    total: Count
    fresh: bool = False


class FarFile(FarMessage, tag="file"):
    """A file of a run, whole; where it cannot be had, `problem` says why."""

    run: Folder
    path: File
    data: Bytes = b""
    problem: Words = ""


class Answered(FarMessage, tag="answer"):
    """What a worker answered, or what came of a deed."""

    number: Count
    data: dict[str, Any]
    blob: Bytes = b""


class Pong(FarMessage, tag="pong"):
    """The answer to a `Ping`."""


class FarTrouble(FarMessage, tag="trouble"):
    """Why the folder of runs cannot be looked at; empty where that is over. Before the first row it is the end."""

    words: Words


Asked = Begin | LookAt | LookAway | FetchFile | AskThere | DoThere | Ping
Told = FarRun | GoneRuns | AllListed | LogPart | FarFile | Answered | Pong | FarTrouble


class LinkBroken(Exception):
    """The other side is gone, or says what makes no sense; the text is for people, where there is one."""


def fingerprint(descriptor: int, size: int) -> str:
    """What tells the first `size` bytes of a log from those of another. Raises OSError."""
    digest = hashlib.sha256(os.pread(descriptor, min(size, PART), 0))
    digest.update(os.pread(descriptor, min(size, PART), max(0, size - PART)))
    return digest.hexdigest()[:24]


def is_same_time(one: float, other: float) -> bool:
    """Whether two times of files are one, as far as file systems and floats keep them."""
    return abs(one - other) < 1e-5


def is_preview(path: str) -> bool:
    """Whether this is the name of a preview in the folder of a run."""
    folder, _, name = path.partition("/")
    return folder == "samples" and is_folder(name) and not name.startswith(".") and name.endswith((".png", ".txt"))


class FrameStream:
    """Messages through a pair of descriptors. Any thread may send; one receives."""

    _HEAD = struct.Struct(">I")

    def __init__(self, reading: int, writing: int, kinds: Any, rest: bytes = b"") -> None:
        self._reading, self._writing = reading, writing
        self._decoder = msgspec.msgpack.Decoder(kinds)
        self._packer, self._unpacker = zlib.compressobj(1, zlib.DEFLATED, -15), zlib.decompressobj(-15)
        self._lock = threading.Lock()
        self._waiting, self._buffer = rest, bytearray()
        self._over = False
        self.bytes_read = self.bytes_written = 0
        """Bytes that went over the link."""

    def send(self, *messages: FarMessage) -> None:
        """Send some messages. Raises LinkBroken where nobody listens; waits while the other side does not."""
        with self._lock:
            self._put(messages)

    def send_at_once(self, message: FarMessage) -> None:
        """Send a small message if nobody is to be waited for: else something is on its way that says more."""
        if self._lock.acquire(blocking=False):
            try:
                there = select.poll()
                there.register(self._writing, select.POLLOUT)
                if not self._over and there.poll(0):
                    self._put([message])
            except LinkBroken:  # whoever reads hears of it
                pass
            finally:
                self._lock.release()

    def _put(self, messages: Sequence[FarMessage]) -> None:
        if self._over:
            raise LinkBroken
        out = bytearray()
        for message in messages:
            body = msgspec.msgpack.encode(message)
            out += self._packer.compress(self._HEAD.pack(len(body)) + body)
        out += self._packer.flush(zlib.Z_SYNC_FLUSH)
        self.bytes_written += len(out)
        left = memoryview(out)
        try:
            while left:
                left = left[os.write(self._writing, left) :]
        except OSError:
            raise LinkBroken from None

    def end(self) -> None:
        """Nothing is sent any more: its descriptors are about to be closed, and may soon be those of something else."""
        with self._lock:
            self._over = True

    def receive(self) -> Iterator[Any]:
        """Every message, as it comes, until the other side closes. Raises LinkBroken for what is none."""
        while True:
            data, self._waiting = self._waiting or self._next(), b""
            if not data:
                return
            self.bytes_read += len(data)
            more = True
            while more:
                try:
                    unpacked = self._unpacker.decompress(data, MOST_UNPACKED)
                except zlib.error:
                    raise LinkBroken("what came is not what a mirror sends") from None
                self._buffer += unpacked
                data = self._unpacker.unconsumed_tail
                # Of what was packed very tightly zlib may hold the rest although it has taken all of its input.
                more = bool(data) or len(unpacked) == MOST_UNPACKED
                yield from self._messages()
            if self._unpacker.eof:
                raise LinkBroken("what came is not what a mirror sends")  # which ends with the link, and never before

    def _next(self) -> bytes:
        try:
            return os.read(self._reading, PART)
        except OSError:
            return b""

    def _messages(self) -> Iterator[Any]:
        while len(self._buffer) >= self._HEAD.size:
            (length,) = self._HEAD.unpack_from(self._buffer)
            if length > LARGEST:
                raise LinkBroken("what came is larger than anything a mirror sends")
            end = self._HEAD.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[self._HEAD.size : end])
            del self._buffer[:end]
            try:
                yield self._decoder.decode(body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise LinkBroken(f"what came makes no sense: {error}") from None
