"""Batches: the seeded, resumable training stream, the fixed order of validation, and the range of pixels."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice, repeat
from typing import Any

import torch
from torch import Tensor

from tui_gen.train.cutting import awaited
from tui_gen.train.data import keyed_random
from tui_gen.train.data.augment import Augment
from tui_gen.train.data.sources import Augmentation, Mapped, Source

ENDLESS_BATCHES = 4096
"""Examples that `batches` takes from a source without end."""

BLOCK_POINTS = 1 << 15
"""Endless points are made this many at a time (or a batch, if that is more): one takes nearly as long as a thousand."""

BLOCK_BYTES, BLOCK_BATCHES = 1 << 20, 16
"""Batches are taken from a finite source up to this many at a time: for a small one, starting each operation takes
longer than doing it."""

AHEAD = 4
"""Batches read ahead from a memory-mapped source."""


def normalise(raw: Tensor, value_range: str) -> Tensor:
    """uint8 → float32 in [0, 1] (`unit`) or [-1, 1] (`signed`); points (float) and text (int64) stay as they are."""
    if raw.dtype != torch.uint8:
        return raw
    if value_range == "signed":
        return raw.float().div_(127.5).sub_(1)
    return raw.float().div_(255)


def denormalise(x: Tensor, value_range: str) -> Tensor:
    """The inverse of `normalise` for images: float in [0, 1] or [-1, 1] → uint8, rounded; NaN becomes 0."""
    x = x.float()
    out = x.add(1).mul_(127.5) if value_range == "signed" else x.mul(255)
    return out.nan_to_num_(0.0, 255.0, 0.0).round_().clamp_(0, 255).to(torch.uint8)


class Stream:
    """The training batches, without end: shuffled anew every epoch, augmented, normalised, on the device.

    The order of an epoch, endless examples and augmentation are functions of (seed, epoch or step), so the state is
    two numbers and continuing from it is exact. An epoch drops its last incomplete batch; a batch larger than the data
    repeats examples; for endless data an epoch is as many examples as the
    source says, `ENDLESS_EPOCH` for what is made up.

    Several processes go through the same batches; each takes `rows` of every one, and reads no others.
    """

    def __init__(
        self,
        source: Source,
        augmentation: Augmentation,
        *,
        batch_size: int,
        seed: int,
        value_range: str,
        device: torch.device,
        rows: range | None = None,
    ) -> None:
        self.source, self.batch_size, self.seed, self.value_range = source, batch_size, seed, value_range
        self.rows = range(batch_size) if rows is None else rows
        self.device = torch.device(device)
        count = source.epoch if source.count is None else source.count
        self.steps_per_epoch = max(1, count // batch_size)
        self.epoch = 0
        self.cursor = 0
        self._order: Tensor | None = None
        self._block: deque[tuple[Tensor, Tensor | None]] = deque()
        example, _ = source.take(torch.zeros(1, dtype=torch.int64))
        if source.count is not None:
            self._block_batches = min(BLOCK_BATCHES, max(1, BLOCK_BYTES // (batch_size * example.nbytes)))
        else:
            self._block_batches = max(1, BLOCK_POINTS // batch_size) if example.is_floating_point() else 1
        self._augment = Augment(
            augmentation, seed=seed, batch_size=batch_size, device=self.device, first=self.rows.start
        )
        self._augmented = example.dtype == torch.uint8 and self._augment.active
        self._reader = ThreadPoolExecutor(1, "read-ahead") if source.slow else None
        self._ahead: deque[Future[Any]] = deque()

    def next(self) -> tuple[Tensor, Tensor | None]:
        """x (N, *shape) float32 in the `value_range` (text: int64), labels (N,) int64 or None; one step further.

        N is the length of `rows`.
        """
        if self.cursor >= self.steps_per_epoch:
            self.epoch, self.cursor, self._order = self.epoch + 1, 0, None
            self._ahead.clear()
        step = self.epoch * self.steps_per_epoch + self.cursor
        if self._reader is not None:
            x, labels = self._read_ahead()
        else:
            if not self._block:
                self._block.extend(self._endless(step) if self.source.count is None else self._finite())
            x, labels = self._block.popleft()
        self.cursor += 1
        if self._augmented:
            x = self._augment(x, step)
        return normalise(x, self.value_range), labels

    @property
    def position(self) -> int:
        """How many batches came before the next one, since the first epoch."""
        return self.epoch * self.steps_per_epoch + self.cursor

    def at(self, position: int) -> tuple[Tensor, Tensor | None, Tensor]:
        """The batch at a position, as `next` gives it there, but all of its rows, and the places (N,) int64 of its
        examples in the data (in what is made without end: their numbers). The stream stays where it is."""
        if self.source.count is None:
            start = position * self.batch_size
            places = torch.arange(start, start + self.batch_size)
        else:
            epoch, cursor = divmod(position, self.steps_per_epoch)
            places = self._shuffled(epoch)[cursor * self.batch_size : (cursor + 1) * self.batch_size]
        x, labels = self.source.take(places.to(self.source.device))
        if self._augmented:
            x = self._augment(x, position, 0)
        return normalise(x, self.value_range), labels, places

    def _shuffled(self, epoch: int) -> Tensor:
        count = self.source.count or 0
        order = torch.randperm(count, generator=keyed_random.generator(self.seed, "order", epoch))
        return order.repeat(-(-self.batch_size // count)) if count < self.batch_size else order

    def state_dict(self) -> dict[str, Tensor | int]:
        """What `load_state_dict` needs to go on with the very next batch."""
        return {"epoch": self.epoch, "cursor": self.cursor}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Go on where a stream of the same source, augmentation, batch size and seed stood."""
        self.epoch, self.cursor = int(state["epoch"]), int(state["cursor"])
        self._order = None
        self._block.clear()
        self._ahead.clear()

    def skip(self, batch_size: int) -> None:
        """Go on behind the examples of this epoch that a stream with batches of another size had given."""
        if batch_size != self.batch_size:
            self.cursor = -(-self.cursor * batch_size // self.batch_size)

    def _indices(self, cursor: int, batches: int = 1) -> Tensor:
        if self._order is None:
            order = self._shuffled(self.epoch)
            # an epoch's order crosses to the device in one go, so that no step has to wait for one
            self._order = order if self._reader is not None else order.to(self.device)
        return self._own(self._order[cursor * self.batch_size : (cursor + batches) * self.batch_size])

    def _own(self, places: Tensor) -> Tensor:
        """Of the places of whole batches, one batch's after the other's, those of `rows`."""
        if len(self.rows) == self.batch_size:
            return places
        return places.view(-1, self.batch_size)[:, self.rows.start : self.rows.stop].reshape(-1)

    def _finite(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The next batches of this epoch, normalised already where nothing is to be done with them before."""
        count = min(self._block_batches, self.steps_per_epoch - self.cursor)
        x, labels = self.source.take(self._indices(self.cursor, count))
        return self._parted(x if self._augmented else normalise(x, self.value_range), labels)

    def _endless(self, step: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The batches from a step on to the end of its block.

        Blocks start at fixed steps: the same numbers come out when a resume begins in the middle of one.
        """
        block, place = divmod(step, self._block_batches)
        size = self._block_batches * self.batch_size
        positions = torch.arange(block * size, (block + 1) * size, device=self.device)
        return islice(self._parted(*self.source.take(self._own(positions))), place, None)

    def _parted(self, x: Tensor, labels: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
        size = len(self.rows)
        return zip(x.split(size), repeat(None) if labels is None else labels.split(size))

    def _read_ahead(self) -> tuple[Tensor, Tensor | None]:
        assert isinstance(self.source, Mapped) and self._reader is not None
        while len(self._ahead) < AHEAD and self.cursor + len(self._ahead) < self.steps_per_epoch:
            self._ahead.append(self._reader.submit(self.source.read, self._indices(self.cursor + len(self._ahead))))
        try:
            return self.source.to_device(*awaited(self._ahead.popleft(), self.source.check))
        except BaseException:
            self._ahead.clear()  # whoever asks again is given this batch, not the one after it
            raise


def drawn(source: Source, *, count: int, seed: int, value_range: str) -> tuple[Tensor, Tensor | None]:
    """`count` examples drawn at random without repetition (or all there are), without augmentation, with labels."""
    if source.count is None:
        places = torch.arange(count)
    else:
        places = torch.randperm(source.count, generator=keyed_random.generator(seed, "drawn", 0))[:count]
    raw, labels = source.take(places.to(source.device))
    return normalise(raw, value_range), labels


def fixed_batches(
    source: Source, *, batch_size: int, value_range: str, limit: int | None = None, spread: bool = False
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Every example once, in a fixed order, without augmentation; the last batch may be smaller.

    `limit` is the most examples to take: the first ones or, with `spread`, some at even distances over all of them, as
    what is read from folders is sorted by class. Of a source without end, the first `limit` (or `ENDLESS_BATCHES`) are
    taken.
    """
    count = source.count
    if count is None:
        count = limit or ENDLESS_BATCHES
    elif limit is not None:
        count = min(count, limit)
    for start in range(0, count, batch_size):
        places = torch.arange(start, min(start + batch_size, count), device=source.device)
        if spread and source.count is not None:
            places = places * source.count // count
        raw, labels = source.take(places)
        yield normalise(raw, value_range), labels
