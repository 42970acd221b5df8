"""A model's network as plain data: its layers, and the memory that training it takes, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tui_gen.bounds import Count, Name
from tui_gen.quantities import count, several, size

SAFE, TIGHT = 0.7, 0.95
"""The shares of the memory up to which a run fits without trouble, and at all."""
LARGEST_BATCH = 65536


class Layer(msgspec.Struct, frozen=True):
    """A layer with numbers of its own: `shape` is that of one example's output (empty where it is not called as a
    layer), `parameters` counts those that are trained and those that are not."""

    name: Name
    kind: Name
    shape: list[int]
    parameters: Count


class Network(msgspec.Struct, frozen=True):
    """What a config trains, and what it takes. Memory in bytes.

    `fixed` is taken whatever the batch is: the process or the GPU's context, weights, gradients, the optimiser's
    state, averaged weights, data; `weights` of it is the model alone. `each` more is taken for every example that is
    computed at once, a micro-batch's; `row` for every one of the batch; `sums` for gradients that are added up, where
    there are several micro-batches. `room` is what there is on `device`, 0 where nobody tells. `examples` are in an
    epoch, None where that is not known before the data are read.
    """

    layers: list[Layer]
    parameters: Count
    trained: Count
    weights: Count
    fixed: Count
    each: Count
    device: Name
    room: Count
    examples: Count | None = None
    row: Count = 0
    sums: Count = 0

    def need(self, batch: int, parts: int = 1) -> int:
        """Bytes that training takes with batches of this size, each computed in so many micro-batches."""
        return self.fixed + batch * self.row + -(-batch // parts) * self.each + (self.sums if parts > 1 else 0)

    def fits(self, batch: int, parts: int = 1) -> str:
        """`SAFE`, `TIGHT` or `TOO BIG`; empty where nobody knows."""
        if not self.room:
            return ""
        share = self.need(batch, parts) / self.room
        return "SAFE" if share <= SAFE else "TIGHT" if share <= TIGHT else "TOO BIG"

    def best_batch(self) -> int:
        """The largest power of two that is safe, at most an eighth of an epoch; 0 where none is, or nobody knows."""
        per_example = self.each + self.row
        if not self.room or not per_example:
            return 0
        most = min(int((SAFE * self.room - self.fixed) / per_example), LARGEST_BATCH)
        if self.examples is not None:
            most = min(most, max(1, self.examples // 8))
        return 1 << (most.bit_length() - 1) if most >= 1 else 0

    def best_parts(self, batch: int) -> int:
        """The fewest micro-batches, a power of two of them or one for each example, with which a batch is safe; 0 where
        it never is, or nobody knows."""
        powers = (1 << power for power in range(batch.bit_length()))
        sizes = [*powers, batch] if self.room else []
        return next((parts for parts in sizes if self.fits(batch, parts) == "SAFE"), 0)


def memory_words(network: Network, batch: int, parts: int = 1) -> str:
    """`1.2 GB of 22 GB with batches of 64 in 4 parts: 640 MB whatever the batch, 9.1 MB an example of a part`."""
    room = f" of {size(network.room)}" if network.room else ""
    split, of_part = (f" in {count(parts)} parts", " of a part") if parts > 1 else ("", "")
    need = f"{size(network.need(batch, parts))}{room} ({network.device}) with batches of {count(batch)}{split}"
    return f"{need}: {size(network.fixed)} whatever the batch, {size(network.each)} an example{of_part}"


def length_words(train: Mapping[str, Any], steps_per_epoch: int | None) -> str:
    """What a run's length means in the other unit: `2,000 steps are about 19.7 epochs of 101 steps`."""
    if not steps_per_epoch:
        return ""
    steps, epochs = train.get("steps") or 0, train.get("epochs") or 0
    if steps:
        passes = steps / steps_per_epoch
        about = count(round(passes)) if passes >= 100 else f"{passes:.3g}"
        epochs_words = "1 epoch" if about == "1" else f"{about} epochs"
        verb = "is" if steps == 1 else "are"
        return f"{several(steps, 'step')} {verb} about {epochs_words} of {several(steps_per_epoch, 'step')}"
    if epochs:
        begin = "1 epoch is" if epochs == 1 else f"{epochs:g} epochs are"
        return f"{begin} about {several(round(epochs * steps_per_epoch), 'step')}"
    return f"an epoch is about {several(steps_per_epoch, 'step')}"
