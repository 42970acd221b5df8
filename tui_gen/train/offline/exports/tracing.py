"""A function of a model as a graph of PyTorch's operators, for any size of batch: what leaves for elsewhere is made of
these, and knows nothing of the classes that the model was written with.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from tui_gen.model import Function, Input, Model
from tui_gen.train.offline.exports.words import ExportError

MOST = 1 << 16
"""The largest batch that a graph is made for."""


class _Alone(nn.Module):
    """A function with the weights that it uses; its inputs by position."""

    def __init__(self, model: Model, function: Function) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        out = self.function.call(*inputs)
        return (out,) if isinstance(out, Tensor) else tuple(out)


def chosen(model: Model, name: str) -> Function:
    """The function of that name, or the first there is. Raises ExportError."""
    functions = model.functions()
    if not functions:
        raise ExportError(f"{model.name} offers nothing to export: its class has no `functions` (see tui_gen/model.py)")
    for function in functions:
        if name in ("", function.name):
            return function
    raise ExportError(f"{model.name} has no function {name!r}; it has {', '.join(each.name for each in functions)}")


def examples(function: Function, count: int, seed: int = 0) -> list[Tensor]:
    """Inputs of a batch: standard normal numbers, and whole ones of the range that they may be of."""
    generator = torch.Generator().manual_seed(seed)

    def example(like: Input) -> Tensor:
        shape = (count, *like.shape)
        if like.below:
            return torch.randint(like.below, shape, generator=generator)
        return torch.randn(shape, generator=generator)

    return [example(like) for like in function.inputs.values()]


@torch.no_grad()
def results(model: Model, function: Function, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """What PyTorch makes of inputs, as a tuple even of one."""
    outputs: tuple[Tensor, ...] = _Alone(model, function)(*inputs)
    return outputs


def traced(model: Model, function: Function) -> ExportedProgram:
    """The graph of a function. Raises ExportError where it draws at random, or is no graph of any batch."""
    inputs = examples(function, 2)
    outputs = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        outputs.append(results(model, function, inputs))
    if any(not torch.equal(first, second) for first, second in zip(*outputs)):
        words = "draws at random by itself, which elsewhere would be another draw each time: let it take its noise"
        raise ExportError(f"{function.name} of {model.name} {words}")
    if len(outputs[0]) != len(function.outputs):
        words = f"names {len(function.outputs)} outputs, not {len(outputs[0])}"
        raise ExportError(f"{function.name} of {model.name} {words}")
    batch = Dim("batch", min=1, max=MOST)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    try:
        with torch.no_grad():
            return torch.export.export(
                _Alone(model, function), tuple(inputs), dynamic_shapes=(tuple({0: batch} for _ in inputs),), strict=True
            )
    except Exception as error:  # of many kinds, of code that may be anybody's
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ExportError(f"{function.name} of {model.name} is no graph for any size of batch: {reason}") from error
