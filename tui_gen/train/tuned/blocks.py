"""Blocks of wide weights, of which either of two processes takes the next one when it is ready for more.

Cores that seem alike are not: another virtual machine beside them, or their clock, makes one take a third longer than
the other for seconds. Of gradients whose rows are handed over, any process can compute any part, and update the weights
and moments that all share. So they are cut into blocks: one process takes them from the front, the other from the back,
as long as there are any. Who computes a block makes no difference to its numbers.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from tui_gen.train.tuned.fused_adam import FusedAdam
from tui_gen.train.tuned.handed_rows import Rows

PARTS = (0.6, 0.8)
"""Where a process's numbers are cut. Small blocks take longer in all, and large ones leave one process waiting."""
LEAST = 1 << 16
"""Numbers of a process from which on they are cut."""
PROCESSES = 2
"""How many can share blocks: each takes them from an end of its own."""


class Counter:
    """A number that processes share, by a file descriptor of Linux's eventfd: each may take one off, until it is 0."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def take(self) -> bool:
        """Take one off. False where there is none."""
        try:
            os.eventfd_read(self._descriptor)
        except BlockingIOError:
            return False
        return True

    def reset(self, number: int) -> None:
        """Make it this number, while nobody takes any."""
        while self.take():
            pass
        if number:
            os.eventfd_write(self._descriptor, number)

    def __del__(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


def counters(number: int) -> list[int]:
    """Descriptors of so many counters, which are 0. Raises OSError where they cannot be had."""
    if not hasattr(os, "eventfd"):
        raise OSError("there is no eventfd here")
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(number):
            descriptor = os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            stack.callback(os.close, descriptor)
            made.append(descriptor)
        stack.pop_all()
    return made


class Block(NamedTuple):
    """Numbers `start` to `stop` of a parameter, whole rows of it: flat, those of the weights and of Adam's moments."""

    start: int
    stop: int
    weights: Tensor
    first: Tensor
    second: Tensor


def cuts(start: int, stop: int, unit: int, rank: int) -> list[tuple[int, int]]:
    """A process's numbers `start` to `stop` in blocks, cut after multiples of `unit`: the one that it begins with is
    large, and those of which the other may take some are small."""
    size = stop - start
    if size < LEAST:
        return [(start, stop)]
    parts = PARTS if rank == 0 else [1 - part for part in reversed(PARTS)]
    ends = [start, *(int(start + part * size) // unit * unit for part in parts), stop]
    return [(begin, end) for begin, end in itertools.pairwise(ends) if begin < end]


class Shared:
    """The blocks of one parameter, `place` in its optimiser, as they lie in memory."""

    def __init__(self, place: int, rows: Rows, blocks: Sequence[Block], counter: Counter, rank: int) -> None:
        self.place, self.rows, self.counter, self.rank = place, rows, counter, rank
        self.blocks = list(blocks)
        self._order = self.blocks if rank == 0 else self.blocks[::-1]
        """In which this process takes them."""
        self._taken = 0
        self.used = False
        """Whether blocks were taken since they were all there."""
        if rank == 0:
            counter.reset(len(self.blocks))

    def take(self) -> Iterator[tuple[Block, Tensor]]:
        """One after another that nobody has taken, as long as there are any, with its gradient, flat."""
        self.used = True
        while self.counter.take():
            block = self._order[self._taken]
            self._taken += 1
            yield block, self.gradient(block)

    def gradient(self, block: Block) -> Tensor:
        """A block's gradient, flat."""
        return self.rows.part(block.start, block.stop).view(-1)

    def put_back(self) -> None:
        """Have all be there again, while nobody takes any: of both processes."""
        if self.used and self.rank == 0:
            self.counter.reset(len(self.blocks))
        self.used, self._taken = False, 0


class Work:
    """What a process has to do of a phase's shared parameters, in a step."""

    def __init__(self, shared: Sequence[Shared]) -> None:
        self.shared = {its.place: its for its in shared}
        self._ready: list[tuple[int, Block, Tensor]] = []

    def begin(self) -> None:
        """Nothing is done yet."""
        self._ready = []

    def ahead(self, places: Sequence[int]) -> None:
        """Compute gradients of these, while weights may not be written to yet."""
        for place in places:
            for block, gradient in self.shared[place].take():
                self._ready.append((place, block, gradient))

    def finish(self, optimizer: FusedAdam) -> None:
        """Update what `ahead` has computed; compute what is left, and update it, two blocks at once."""
        self._update(optimizer)
        for place, shared in self.shared.items():
            if shared.rows.full:
                for block, gradient in shared.take():
                    self._ready.append((place, block, gradient))
                    if len(self._ready) > 1:
                        self._update(optimizer)
        self._update(optimizer)

    def _update(self, optimizer: FusedAdam) -> None:
        if self._ready:
            places, some, gradients = zip(*self._ready)
            weights, first, second = ([block[field] for block in some] for field in (2, 3, 4))
            self._ready = []
            optimizer.update_some(places, weights, list(gradients), first, second)

    def put_back(self) -> None:
        """Have all blocks be there again, while nobody takes any: of both processes."""
        for shared in self.shared.values():
            shared.put_back()

