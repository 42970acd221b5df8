"""A step's batch that is computed in parts, by several processes at once: what its parts know of the whole.

Losses that are means over examples, with draws that have a row for each example, need nothing of this: the trainer sees
to them. It is for what concerns the batch as a whole. Where a batch is not divided, a mean is a mean and a draw a draw.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class BatchPart:
    """The part of a step's batch that is computed now: `count` examples, `place` of the `total` ones before them.

    All processes have `together` examples in their hands at this moment, `before` of them in those of lower rank; `add`
    sums a tensor over the processes, differentiably.
    """

    place: int
    count: int
    total: int
    before: int
    together: int
    add: Callable[[Tensor], Tensor]
    leads: bool = True
    """Whether it is the first that its process computes of this batch."""


@dataclass(frozen=True)
class Pooled:
    """A metric that is no mean over examples, but a function of some: see `pooled`."""

    of: Callable[..., Tensor]
    means: tuple[Tensor, ...]


_now: BatchPart | None = None


def part() -> BatchPart | None:
    """The part that is computed now; None where it is the whole batch."""
    return _now


class computing:
    """What happens inside is the computation of this part. (A class: a generator costs a small step some time.)"""

    __slots__ = ("_before", "_part")

    def __init__(self, now: BatchPart | None) -> None:
        self._part = now

    def __enter__(self) -> None:
        global _now
        self._before, _now = _now, self._part

    def __exit__(self, *error: object) -> None:
        global _now
        _now = self._before


def alike() -> AbstractContextManager[None]:
    """What happens inside, every process does alike, as if for the whole batch: no draw is divided there."""
    return computing(None)


def batch_mean(x: Tensor) -> Tensor:
    """The mean (…) over the examples of the whole batch, of which x (N, …) has a row for each of this part.

    Differentiable; every process must ask for it, and gets the same bits.
    """
    return x.mean(0) if _now is None else _now.add(x.sum(0)) / _now.together


def batch_rows(x: Tensor) -> Tensor:
    """The rows of the whole batch, in its order, of which x (N, …) are those of this part; for what must compare
    examples with each other. As `batch_mean`; of some dozens of numbers a row, as all of them cross to every process.
    """
    if _now is None:
        return x
    after = _now.together - _now.before - len(x)
    return _now.add(F.pad(x, [0, 0] * (x.dim() - 1) + [_now.before, after]))


def own_rows(x: Tensor) -> Tensor:
    """Of something with a row for each example of the whole batch, in its order, the rows of this part."""
    return x if _now is None else x[_now.before : _now.before + _now.count]


def batch_size(count: int) -> int:
    """How many examples the batch has of which `count` are computed here."""
    return count if _now is None else _now.together


def drawn(draw: Callable[[int], Tensor], count: int, dim: int = 0) -> Tensor:
    """`draw(count)` for the `count` examples of this part: drawn for all of the batch, and theirs taken along `dim`.

    Needed only where the dimension of the examples is not the first that is as long as they are many: such draws are
    recognised by themselves.
    """
    if _now is None:
        return draw(count)
    now = _now
    with alike():
        return draw(now.total).narrow(dim, now.place, count)


def pooled(of: Callable[..., Tensor], *means: Tensor) -> Any:
    """A metric `of(*means)` of the whole batch, where `means` are means over the examples of this part, of any shape.

    Parts are averaged before they are given to `of`, which returns a scalar: how many units are active, say, of the
    means of activations and of their squares.
    """
    return of(*means) if _now is None else Pooled(of, tuple(mean.detach() for mean in means))


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes. Its gradient is that of every process, summed; and so on."""

    @staticmethod
    def forward(x: Tensor, add_: Callable[[Tensor], None]) -> Tensor:
        total = x.detach().clone(memory_format=torch.contiguous_format)
        add_(total)
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Callable[[Tensor], None]], output: Tensor) -> None:
        ctx.add_ = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return summed(gradient, ctx.add_), None


def summed(x: Tensor, add_: Callable[[Tensor], None]) -> Tensor:
    """x summed over all processes by `add_`, which does so in place; may be differentiated any number of times."""
    total: Tensor = _Sum.apply(x, add_)
    return total
