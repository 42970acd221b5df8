"""Wide linear layers whose weights' gradients are no sum over processes of one machine: rows are handed over instead.

A gradient of such weights is a product of what the layer was given and of the gradients of what it put out. Of a small
batch both have fewer numbers than the gradient. So each process writes its examples' rows where all can read them, and
computes the gradient of its own part of the weights, of all examples at once: as much work, and nothing to add up.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WORTH = 0.5
"""Rows are handed over where they are at most so many times as many numbers as the weights."""


class Rows:
    """Of one layer's weights (M, K), memory that all share: `inputs` (N, K) and `gradients` (N, M) of the whole batch's
    N examples, of which `own` are this process's. `written` is called when those are there.

    The layer computes with `weights`, the same numbers as another leaf of the graph: its gradient is asked for only
    where rows would not do. They do where the layer's bias is one of the parameters whose gradients are asked for,
    `beside` by their ids: else the engine may see no need to go as far as the layer's output.
    """

    def __init__(
        self,
        inputs: Tensor,
        gradients: Tensor,
        own: slice,
        weights: Tensor,
        beside: Collection[int],
        written: Callable[[], None] = lambda: None,
    ) -> None:
        self.inputs, self.gradients, self.own = inputs, gradients, own
        self.weights, self._beside = weights, beside
        self._ours, self._written = (inputs[own], gradients[own]), written
        self._left: dict[tuple[int, int], Tensor] = {}
        self.count = len(self._ours[0])
        self.begin()

    def begin(self) -> None:
        """A loss is about to be computed."""
        self.users = 0
        """How often the weights were used in it; what is used twice is added up."""
        self.lost = False
        """Whether rows would not tell all: there is a gradient in it that is differentiated again, or no bias."""
        self.full = False
        """Whether the own rows were written."""
        self._input: Tensor | None = None

    @property
    def do(self) -> bool:
        """Whether rows tell all of the gradient of `weights`."""
        return self.users == 1 and not self.lost

    def use(self, input: Tensor, bias: Tensor | None) -> Tensor:
        """What the layer makes of the own rows, `input`, which are handed over with their gradients."""
        self.users += 1
        self._input, self.lost = input, self.lost or bias is None or id(bias) not in self._beside
        output = F.linear(input, self.weights, bias)
        output.register_hook(self._hand_over)
        return output

    def _hand_over(self, gradient: Tensor) -> None:
        if torch.is_grad_enabled():
            self.lost = True
        elif _handing and self.do and not self.full and self._input is not None:
            self.write(self._input, gradient)

    def write(self, inputs: Tensor, gradients: Tensor) -> None:
        """Hand over the own rows, where no graph is made."""
        torch._foreach_copy_(self._ours, (inputs, gradients))
        self._input, self.full = None, True
        self._written()

    def part(self, start: int, stop: int) -> Tensor:
        """Of the weights' gradient those rows that are its numbers `start` to `stop`, of all processes' examples."""
        if (left := self._left.get((start, stop))) is None:
            width = self.inputs.shape[1]
            left = self._left[start, stop] = self.gradients[:, start // width : stop // width].t()
        return left @ self.inputs

    def of_own(self) -> Tensor:
        """The gradient (M, K), of the own examples."""
        return self._ours[1].t() @ self._ours[0]


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
            some.begin()

    def __exit__(self, *error: object) -> None:
        global _now
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


class HandedLinear(nn.Linear):
    """A linear layer that hands rows over where it is `noted`, and is nn.Linear elsewhere."""

    def forward(self, input: Tensor) -> Tensor:
        """(…, in_features) → (…, out_features)."""
        rows = _now.get(id(self.weight))
        if (
            rows is None
            or not torch.is_grad_enabled()
            or input.dim() != 2
            or input.shape[0] != rows.count
            or input.dtype is not torch.float32
            or torch.is_autocast_enabled("cpu")
            or torch._C._are_functorch_transforms_active()
        ):
            return super().forward(input)
        return rows.use(input, self.bias)

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
    alike = handed.weight.detach().requires_grad_()
    rows = Rows(torch.zeros(4, 7), torch.zeros(4, 5), slice(0, 4), alike, {id(handed.bias)})

    def gradients(layer: nn.Linear) -> tuple[Tensor, ...]:
        return torch.autograd.grad(layer(x).square().sum(), [layer.weight, layer.bias], allow_unused=True)

    expected = gradients(plain)
    same = all(map(torch.equal, expected, gradients(handed)))
    with noted({id(handed.weight): rows}), handing():
        weights, bias = gradients(handed)
    return same and weights is None and torch.equal(bias, expected[1]) and torch.equal(rows.of_own(), expected[0])
