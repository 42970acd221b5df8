"""Where examples come from: resident on the device, memory-mapped, or made on demand."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tui_gen.events import Event
from tui_gen.model import DataSpec
from tui_gen.train.cutting import Check, awaited, never

Report = Callable[[Event], None]
"""Receives Progress and Note events; an exception raised in it abandons the loading, leaving no half-written files."""


ENDLESS_EPOCH = 60_000
"""Examples that count as one epoch where data is made without end (the size of MNIST)."""


class DataError(Exception):
    """A dataset that cannot be used: one clear message, with what to do."""


class Source:
    """Examples by position. `count` is how many there are, None when they never end.

    `take` gives raw examples (uint8 (N, C, H, W), float32 points (N, 2), or int64 text (N, length + 1)) and int64
    labels (N,), or None where there are none, on `device`.
    """

    count: int | None
    device: torch.device
    epoch: int = ENDLESS_EPOCH
    """Examples that count as one epoch where `count` is None."""
    slow = False
    """Whether taking examples may wait for a disk, so that it is worth doing ahead in a thread."""
    check: Check = staticmethod(never)
    """Called now and then while a disk is waited for; what it raises ends the waiting."""

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """The examples at int64 positions (N,), 0 ≤ position (< count)."""
        raise TypeError(f"{type(self).__name__} must define take()")


class Resident(Source):
    """Everything on the device: `examples` (N, …) and `labels` (N,) int64 or None."""

    def __init__(self, examples: Tensor, labels: Tensor | None, device: torch.device) -> None:
        self.device = device
        self.examples = examples.to(device).contiguous()
        self.labels = None if labels is None else labels.to(device, torch.int64)
        self.count = len(examples)
        self._words: Tensor | None = None
        if self.examples.dtype == torch.uint8 and examples[:1].numel() % 8 == 0:
            self._words = self.examples.flatten(1).view(torch.int64)  # eight pixels are gathered as fast as one

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """An index-select; `indices` should already be on the device."""
        indices = indices.to(self.device)
        labels = None if self.labels is None else self.labels.index_select(0, indices)
        if self._words is None:
            return self.examples.index_select(0, indices), labels
        rows = self._words.index_select(0, indices).view(torch.uint8)
        return rows.view(len(rows), *self.examples.shape[1:]), labels


class Mapped(Source):
    """Rows of a uint8 array on disk (N, C, H, W), read when they are needed; `rows` (count,) int64 picks them."""

    slow = True

    def __init__(self, pixels: np.ndarray, rows: Tensor, labels: Tensor | None, device: torch.device) -> None:
        self.device = device
        with warnings.catch_warnings():
            # a read-only map is what we want: a private writable one of more than the memory may be refused
            warnings.filterwarnings("ignore", message=".*not writable.*")
            self.pixels = torch.from_numpy(pixels)
        self.rows = rows
        self.labels = labels
        self.count = len(rows)
        self._reader: ThreadPoolExecutor | None = None

    def read(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Like `take`, but in host memory, pinned where GPUs take it from there faster; safe to call from a thread."""
        rows = self.rows.index_select(0, indices)
        raw = self.pixels.index_select(0, rows)
        labels = None if self.labels is None else self.labels.index_select(0, rows)
        if self.device.type in ("cuda", "xpu"):
            with contextlib.suppress(RuntimeError):  # no more may be locked: the copy only waits then
                return raw.pin_memory(), None if labels is None else labels.pin_memory()
        return raw, labels

    def to_device(self, raw: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Send what `read` gave to the device, without waiting for the copy."""
        raw = raw.to(self.device, non_blocking=True)
        return raw, None if labels is None else labels.to(self.device, non_blocking=True)

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Read rows from the map, in a thread that may wait for the disk for ever, and send them to the device."""
        if self._reader is None:
            self._reader = ThreadPoolExecutor(1, "read")
        return self.to_device(*awaited(self._reader.submit(self.read, indices.cpu()), self.check))


class Procedural(Source):
    """Examples computed from their position, so that they need no storage; `count` None is without end."""

    def __init__(
        self,
        make: Callable[[Tensor], tuple[Tensor, Tensor | None]],
        device: torch.device,
        count: int | None = None,
    ) -> None:
        self.make, self.device, self.count = make, device, count

    def take(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute the examples at these positions."""
        return self.make(indices.to(self.device))


@dataclass(frozen=True)
class Augmentation:
    """How training images are changed at random: mirrored, moved by up to `shift` pixels, turned by `rotate` degrees.

    What moves in from outside is black on a `black` ground, else mirrored at the edge.
    """

    flip: bool = False
    shift: int = 0
    rotate: float = 0.0
    black: bool = False


AS_THEY_ARE = Augmentation()
"""Images that are not changed."""


@dataclass
class Data:
    """A dataset ready for training; `validation` is None when nothing is held out.

    Of data made without end, `anew` gives the training examples of another seed. `augmentation` is the dataset's.
    """

    spec: DataSpec
    train: Source
    validation: Source | None
    anew: Callable[[int], Source] | None = None
    augmentation: Augmentation = AS_THEY_ARE


def from_pixels(
    pixels: np.ndarray, rows: Tensor, labels: Tensor | None, device: torch.device
) -> Resident | Mapped:
    """Some rows of a stored uint8 array: resident where that takes at most a quarter of the device's free memory.

    `labels` (len(pixels),) int64 or None belongs to the whole array.
    """
    if len(rows) * int(np.prod(pixels.shape[1:])) > free_memory(device) // 4:
        return Mapped(pixels, rows, labels, device)
    examples = torch.from_numpy(pixels[rows.numpy()])
    return Resident(examples, None if labels is None else labels[rows], device)


def free_memory(device: torch.device) -> int:
    """Bytes that can still be allocated on a device, as its system reports it."""
    if device.type in ("cuda", "xpu"):
        return torch.accelerator.get_memory_info(device)[0]
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    # macOS has no such figure in the standard library: count on half of what is installed
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
