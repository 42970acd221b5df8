"""Which batch fits into the memory, by real steps: what is tried, and what follows, as plain data.

Tried by a process with PyTorch (`tui_gen.train.offline.fit`), told by one without.
"""

from __future__ import annotations

import msgspec

from tui_gen.bounds import Count, Name
from tui_gen.verdicts.network import SAFE


class Try(msgspec.Struct, frozen=True):
    """Steps with so many examples at once: the most memory that the process, or the GPU, had in bytes; 0 where it did
    not fit."""

    size: Count
    peak: Count


class FitRequest(msgspec.Struct, frozen=True):
    """A settled config as nested tables."""

    tables: dict[str, object]


class FitReply(msgspec.Struct, frozen=True):
    """What came of it: tries of rising size, the bytes that there are on `device`, or why there is nothing to tell."""

    tries: list[Try] = []
    room: Count = 0
    device: Name = ""
    words: str = ""


def expected(tries: list[Try], size: int) -> float:
    """The peak of a size that was not tried: along the line through the two largest that fitted."""
    fitted = [attempt for attempt in tries if attempt.peak]
    if not fitted:
        return float("inf")
    last = fitted[-1]
    if len(fitted) < 2 or size <= last.size:
        return last.peak * max(1.0, size / last.size)
    before = fitted[-2]
    slope = max(0.0, (last.peak - before.peak) / (last.size - before.size))
    return last.peak + slope * (size - last.size)


def largest(reply: FitReply) -> int:
    """The most examples at once that were tried, and left room for others; 0 where even one takes too much."""
    safe = [attempt.size for attempt in reply.tries if attempt.peak and attempt.peak <= SAFE * reply.room]
    return max(safe, default=0)


def parts(reply: FitReply, batch: int) -> int:
    """The fewest micro-batches, a power of two or one for each example, that keep a batch within it; 0 for none."""
    most = largest(reply)
    if not most:
        return 0
    powers = [1 << power for power in range(batch.bit_length())]
    return next((count for count in [*powers, batch] if count <= batch and -(-batch // count) <= most), 0)
