"""Wide linear layers whose weights' gradients are no sum over processes of one machine: rows are handed over instead.

A gradient of such weights is a product of what the layer was given and of the gradients of what it put out. Of a small
batch both have fewer numbers than the gradient. So each process writes its examples' rows where all can read them, and
computes the gradient of its own part of the weights, of all examples at once: as much work, and nothing to add up.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WORTH = 0.5
"""Rows are handed over where they are at most so many times as many numbers as the weights."""


class Rows:
    """Of one layer's weights (M, K), memory that all share: `inputs` (N, K) and `gradients` (N, M) of the whole batch's
    N examples, of which `own` are this process's."""

    def __init__(self, inputs: Tensor, gradients: Tensor, own: slice) -> None:
        self.inputs, self.gradients, self.own = inputs, gradients, own
        self._ours = inputs[own], gradients[own]
        self._left: dict[tuple[int, int], Tensor] = {}
        self.count = len(self._ours[0])
        self.users = 0
        """How often the weights were used in the losses that are computed now; what is used twice is added up."""
        self.full = False
        """Whether the own rows were written."""
        self.off = False
        """Whether it is left alone from now on, as weights that were used twice."""

    def write(self, inputs: Tensor, gradients: Tensor) -> None:
        """Hand over the own rows."""
        self._ours[0].copy_(inputs)
        self._ours[1].copy_(gradients)
        self.full = True

    def part(self, start: int, stop: int) -> Tensor:
        """Of the weights' gradient those rows that are its numbers `start` to `stop`, of all processes' examples."""
        if (left := self._left.get((start, stop))) is None:
            width = self.inputs.shape[1]
            left = self._left[start, stop] = self.gradients[:, start // width : stop // width].t()
        return left @ self.inputs

    def of_own(self) -> Tensor:
        """The gradient (M, K), of the own examples."""
        return self._ours[1].t() @ self._ours[0]

    def end(self) -> None:
        """Losses are computed."""
        self.off = self.off or self.users > 1


_now: Mapping[int, Rows] = {}
_handing = False


class noted:
    """The losses whose gradients are to be handed over so are computed inside; `rows` by the id of their weights."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Mapping[int, Rows]) -> None:
        self._rows = rows

    def __enter__(self) -> None:
        global _now
        _now = self._rows
        for some in _now.values():
            some.users, some.full = 0, False

    def __exit__(self, *error: object) -> None:
        global _now
        for some in _now.values():
            some.end()
        _now = {}


class handing:
    """The gradients of those losses are computed inside, and rows written."""

    __slots__ = ()

    def __enter__(self) -> None:
        global _handing
        _handing = True

    def __exit__(self, *error: object) -> None:
        global _handing
        _handing = False


class _Handed(torch.autograd.Function):
    """input (N, K), weight (M, K), bias (M,) or None → (N, M), as F.linear; where rows are handed over, weights get no
    gradient. May be differentiated any number of times."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, rows: Rows) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.rows = rows
        return F.linear(input, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (gradient,), (input, weight), rows = gradients, ctx.saved_tensors, ctx.rows
        of_input, of_weight, of_bias, _ = ctx.needs_input_grad
        weights = None
        if of_weight:
            if _handing and rows.users == 1 and not rows.full and not torch.is_grad_enabled():
                rows.write(input, gradient)
            else:
                weights = gradient.t() @ input
        return gradient @ weight if of_input else None, weights, gradient.sum(0) if of_bias else None, None


class HandedLinear(nn.Linear):
    """A linear layer that hands rows over where it is `noted`, and is nn.Linear elsewhere."""

    def forward(self, input: Tensor) -> Tensor:
        """(…, in_features) → (…, out_features)."""
        rows = _now.get(id(self.weight))
        if (
            rows is None
            or rows.off
            or not torch.is_grad_enabled()
            or input.dim() != 2
            or input.shape[0] != rows.count
            or input.dtype is not torch.float32
            or torch.is_autocast_enabled("cpu")
            or torch._C._are_functorch_transforms_active()
        ):
            return super().forward(input)
        rows.users += 1
        output: Tensor = _Handed.apply(input, self.weight, self.bias, rows)
        return output

    def _get_name(self) -> str:
        return "Linear"


def layers(model: nn.Module, examples: int, least: int) -> list[nn.Linear]:
    """Plain linear layers of a model for which it is worth it, at so many `examples` a batch: of `least` weights or
    more."""
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return [
        layer
        for layer in found
        if type(layer) in (nn.Linear, HandedLinear)
        and layer.weight.is_contiguous()
        and layer.weight.numel() >= least
        and examples * (layer.in_features + layer.out_features) <= WORTH * layer.weight.numel()
    ]


def use(some: Sequence[nn.Linear]) -> None:
    """Have layers hand rows over from now on."""
    for layer in some:
        layer.__class__ = HandedLinear


@functools.cache
def works() -> bool:
    """Whether such a layer does what nn.Linear does, tried once on a few numbers."""
    try:
        return _tried()
    except Exception:  # whatever a changed PyTorch leads to
        return False


def _tried() -> bool:
    with torch.random.fork_rng([]):
        plain, handed = nn.Linear(7, 5), HandedLinear(7, 5)
    x = torch.linspace(-1, 1, 28).view(4, 7)
    with torch.no_grad():
        for layer in (plain, handed):
            layer.weight.copy_(torch.linspace(-2, 1, 35).view(5, 7))
            layer.bias.copy_(torch.linspace(0, 1, 5))
    rows = Rows(torch.zeros(4, 7), torch.zeros(4, 5), slice(0, 4))

    def gradients(layer: nn.Linear) -> tuple[Tensor, ...]:
        return torch.autograd.grad(layer(x).square().sum(), [layer.weight, layer.bias], allow_unused=True)

    expected = gradients(plain)
    with noted({id(handed.weight): rows}):
        alike = all(map(torch.equal, expected, gradients(handed)))
    with noted({id(handed.weight): rows}), handing():
        weights, bias = gradients(handed)
    return alike and weights is None and torch.equal(bias, expected[1]) and torch.equal(rows.of_own(), expected[0])
