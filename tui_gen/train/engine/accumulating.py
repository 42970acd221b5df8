"""A batch in parts: losses and gradients of micro-batches, summed to those of the whole, in the memory of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from tui_gen.model import Batch

Computed = tuple[tuple[str, ...], Tensor, Sequence[Tensor | None]]
"""Names of metrics, the loss first; their values (count,); and a gradient for each parameter of the phase."""
Compute = Callable[[Batch], Computed]


def split(batch: Batch, parts: int) -> list[Batch]:
    """A batch of N examples as `parts` micro-batches whose sizes differ by one at most, each with a `shared` of its
    own."""
    labels = [None] * parts if batch.labels is None else batch.labels.tensor_split(parts)
    micro_batches, place = [], batch.place
    for x, its_labels in zip(batch.x.tensor_split(parts), labels, strict=True):
        micro_batches.append(Batch(x, its_labels, batch.step, place=place, whole=batch.total))
        place += len(x)
    return micro_batches


def summed(compute: Compute, micro_batches: Sequence[Batch]) -> Computed:
    """What `compute` gives for the whole batch, where its loss and metrics are means over examples.

    A metric that only some of the micro-batches have is the mean over those.
    """
    whole = sum(len(micro.x) for micro in micro_batches)
    gradients: list[Tensor | None] = []
    rows: dict[tuple[str, ...], list[tuple[int, Tensor]]] = {}
    for micro in micro_batches:
        names, row, its_gradients = compute(micro)
        rows.setdefault(names, []).append((len(micro.x), row))
        gradients = gradients or [None] * len(its_gradients)
        _add(gradients, its_gradients, len(micro.x) / whole)
    if len(rows) == 1:
        (names, weighted), *_ = rows.items()
        return names, _mean(weighted), gradients
    by_name: dict[str, list[tuple[int, Tensor]]] = {}
    for names, weighted in rows.items():
        for size, row in weighted:
            for name, value in zip(names, row):
                by_name.setdefault(name, []).append((size, value))
    return tuple(by_name), torch.stack([_mean(values) for values in by_name.values()]), gradients


def joined(batch: Batch, micro_batches: Sequence[Batch]) -> Batch:
    """The whole batch with what the losses left in `shared`: tensors with a row for each example one after the other,
    of anything else the last micro-batch's."""
    shared: dict[str, Any] = {}
    for key, last in micro_batches[-1].shared.items():
        values = [micro.shared.get(key) for micro in micro_batches]
        by_example = all(
            isinstance(value, Tensor) and value.dim() and len(value) == len(micro.x)
            for value, micro in zip(values, micro_batches)
        )
        shared[key] = torch.cat([value for value in values if value is not None]) if by_example else last
    return Batch(batch.x, batch.labels, batch.step, shared)


def _add(sums: list[Tensor | None], gradients: Sequence[Tensor | None], share: float) -> None:
    first, more, added = [], [], []
    for place, gradient in enumerate(gradients):
        if gradient is None:
            continue
        total = sums[place]
        if total is None:
            first.append(place)
        else:
            more.append(total)
            added.append(gradient)
    if more:
        torch._foreach_add_(more, added, alpha=share)
    if first:
        present = [gradient for place in first if (gradient := gradients[place]) is not None]
        for place, product in zip(first, torch._foreach_mul(present, share)):
            sums[place] = product


def _mean(weighted: Sequence[tuple[int, Tensor]]) -> Tensor:
    whole = sum(size for size, _ in weighted)
    total = weighted[0][1] * (weighted[0][0] / whole)
    for size, value in weighted[1:]:
        total = total.add(value, alpha=size / whole)
    return total
