"""Where processes of one machine meet: what each is at stands in memory that all read.

A small step has two meetings, and each word on a socket is a call of the kernel for who sends it, and one or more for
who reads it. So each process writes the number of its exchange where the others look; a socket from each to each wakes
up who has waited so long that it sleeps, and tells who is gone.

Processors of the x86 family show others what one writes in the order in which it is written. Others may not: there
everything that is said goes through the sockets, as well.
"""

from __future__ import annotations

import functools
import mmap
import os
import platform
import select
import socket
import sys
import threading
import time
import zlib
from typing import BinaryIO

from tui_gen.quantities import span
from tui_gen.train.order import WORDS, Apart

SPIN = 0.002
"""Seconds that one waits awake for the others: a core that sleeps a virtual machine may not get back for as long."""
PAUSE, LONGEST = 16, 1024
"""How often one does not wait awake after that was in vain beside others who want the core; and at most, as each time
doubles it."""
CROWDED = 0.05
"""The part of the time for which a process wanted a core and had none, from which on others are there."""
NAP = 500
"""Milliseconds after which who sleeps looks by itself."""
IN_ORDER = platform.machine() in ("x86_64", "AMD64")
LINE = 8
"""Numbers that a processor fetches together: what different processes write is not among the same."""
WAKE = b"w"
_SAID, _EARLY, _PARTS, _CODES, _SLEEPS, _NUMBERS = 0, 1, 2, 3, LINE, 2 * LINE


def room(count: int) -> int:
    """Bytes that `count` processes need for it, a multiple of 64."""
    return count * (8 * _NUMBERS + 2 * WORDS)


@functools.lru_cache(256)
def _code(what: str) -> int:
    return zlib.crc32(what.encode()[:WORDS])


class Delays:
    """How long a thread, the first that asks, wanted a core and had none: as the kernel tells, within some µs."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._last = 0.0, 0.0

    def part(self) -> float:
        """The part of the time since it was asked before; 1 where nobody tells."""
        try:
            if self._file is None:
                self._file = open("/proc/thread-self/schedstat", "rb", buffering=0)  # noqa: SIM115
            self._file.seek(0)
            waited = int(self._file.read(64).split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 1.0
        now, (then, before) = time.perf_counter(), self._last
        self._last = now, waited
        return (waited - before) / (now - then) if then else 0.0


class Meeting:
    """One process's side of it: `peers` are connected sockets by rank, whose messages of one byte are its own; the
    memory from `start` on, `room(count)` bytes of zeros at first, is shared by all. Whoever says nothing for `timeout`
    seconds is given up.

    All say what they are at, and hear the others, in turn; each exchange has a number.
    """

    def __init__(
        self, rank: int, peers: dict[int, socket.socket], memory: mmap.mmap, start: int, timeout: float
    ) -> None:
        self.rank, self.peers, self.timeout = rank, peers, timeout
        self.number = 0
        count = len(peers) + 1
        board = memoryview(memory)[start : start + room(count)]
        self._numbers = board[: 8 * _NUMBERS * count].cast("q")
        self._words = board[8 * _NUMBERS * count :]
        self._heard = dict.fromkeys(peers, 0)
        """How many bytes came from whom, where memory alone does not tell."""
        self._in_vain = 0 if (os.cpu_count() or 1) > len(peers) else sys.maxsize
        self._pause = PAUSE
        self._delays = Delays()
        self._lock = threading.Lock()
        self._said = ["", ""]
        """What stands in the two places for this process's words."""

    def meet(self, what: str) -> None:
        """Wait until all are here: what each wrote before, all can read. Raises RuntimeError where one is gone, and
        Apart where one is at something else than `what`."""
        self.say(what)
        self.hear()

    def say(self, what: str) -> None:
        """Tell the others that this process is at the next exchange, which is `what`, and go on. Raises RuntimeError
        where one is gone."""
        number = self.number = self.number + 1
        numbers, turn, place = self._numbers, number % 2, _NUMBERS * self.rank
        if self._said[turn] != what:
            self._said[turn] = what
            start = self._slot(self.rank, number)
            self._words[start : start + WORDS] = what.encode()[:WORDS].ljust(WORDS, b"\0")
            numbers[place + _CODES + turn] = _code(what)
        self._settle_stores()
        numbers[place + _SAID] = number
        self._settle_stores()
        for rank, peer in self.peers.items():
            if not IN_ORDER or numbers[_NUMBERS * rank + _SLEEPS] == self.rank + 1:
                try:
                    peer.send(WAKE, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    pass  # it has many to read
                except OSError as error:
                    raise RuntimeError(f"connection to rank {rank} lost: {error}") from error

    def hear(self) -> None:
        """Wait until all others have said the same. Raises RuntimeError and Apart as `meet`."""
        numbers, number, turn = self._numbers, self.number, _CODES + self.number % 2
        code = numbers[_NUMBERS * self.rank + turn]
        for rank in self.peers:
            self._wait(rank, number)
            if numbers[_NUMBERS * rank + turn] != code:
                mine, theirs = (f"exchange {number:,}, {self._words_of(its, number)}" for its in (self.rank, rank))
                raise Apart(f"it is at {mine}, and rank {rank} at {theirs}")

    def early(self, parts: int) -> None:
        """Tell the others that some of what is for the next exchange can be read already: `parts`, not 0. Wakes nobody.
        """
        place = _NUMBERS * self.rank
        self._numbers[place + _PARTS] = parts
        self._numbers[place + _EARLY] = self.number + 1

    def all_early(self) -> int:
        """Of the exchange that was said: wait until all can read some of it, and give these `parts`. 0, at some time,
        where not all told the same. Raises RuntimeError where one is gone."""
        numbers, number = self._numbers, self.number
        mine = _NUMBERS * self.rank
        if not IN_ORDER or numbers[mine + _EARLY] != number:
            return 0
        parts = numbers[mine + _PARTS]
        for rank in self.peers:
            self._wait(rank, number, early=True)
            place = _NUMBERS * rank
            if numbers[place + _EARLY] != number or numbers[place + _PARTS] != parts:
                return 0
        return parts

    def _words_of(self, rank: int, number: int) -> str:
        start = self._slot(rank, number)
        return bytes(self._words[start : start + WORDS]).rstrip(b"\0").decode(errors="replace")

    def _slot(self, rank: int, number: int) -> int:
        """Where a rank's words of an exchange are: two in turn, as it may be at the next while they are read."""
        return WORDS * (2 * rank + number % 2)

    def _settle_stores(self) -> None:
        """Let what was written be seen before anything else is written or read: a lock makes a processor wait."""
        with self._lock:
            pass

    def _wait(self, rank: int, number: int, early: bool = False) -> None:
        if not (self._here(rank, number, early) or self._awake(rank, number, early)):
            self._asleep(rank, number, early)

    def _here(self, rank: int, number: int, early: bool) -> bool:
        if not IN_ORDER:
            return self._heard[rank] >= number
        numbers, place = self._numbers, _NUMBERS * rank
        return numbers[place + _SAID] >= number or (early and numbers[place + _EARLY] >= number)

    def _awake(self, rank: int, number: int, early: bool) -> bool:
        """Whether another comes within a moment, waited for awake. After that was in vain while others want the cores,
        False at once for a while."""
        if self._in_vain:
            self._in_vain -= 1
            return False
        deadline = time.perf_counter() + SPIN
        while time.perf_counter() < deadline:
            if not IN_ORDER:
                self._read(rank)
            if self._here(rank, number, early):
                self._pause = PAUSE
                return True
        if self._delays.part() > CROWDED:
            self._in_vain, self._pause = self._pause, min(LONGEST, 2 * self._pause)
        return False

    def _asleep(self, rank: int, number: int, early: bool) -> None:
        sleeps, peer, end = _NUMBERS * self.rank + _SLEEPS, self.peers[rank], time.monotonic() + self.timeout
        waiting = select.poll()
        waiting.register(peer, select.POLLIN)
        self._numbers[sleeps] = rank + 1
        self._settle_stores()
        try:
            while not self._here(rank, number, early):
                left = end - time.monotonic()
                if left <= 0:
                    raise RuntimeError(f"Timed out: rank {rank} has said nothing for {span(self.timeout)}")
                # What comes when it is here already is not for this: memory that it hands over.
                if waiting.poll(min(NAP, 1000 * left)) and not self._here(rank, number, early):
                    self._read(rank)
        finally:
            self._numbers[sleeps] = 0

    def _read(self, rank: int) -> None:
        """Take a byte of another, if there is one. Raises RuntimeError where it is gone."""
        try:
            word = self.peers[rank].recv(1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            raise RuntimeError(f"connection to rank {rank} lost: {error}") from error
        if not word:
            raise RuntimeError(f"connection to rank {rank} closed: its process has ended")
        self._heard[rank] += 1

    def close(self) -> None:
        """Let the others know that this rank has left."""
        for peer in self.peers.values():
            peer.close()
