"""What a model file may get wrong that PyTorch tells in riddles, in words: which phase, and what is wanted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from tui_gen.model import Batch, Model, Phase
from tui_gen.train.engine.building import TrainingError

WANTED = "it returns (loss, metrics), a number to minimise and a dict of named numbers"


def phases_of(model: Model) -> list[Phase]:
    """The phases of a model. Raises TrainingError where they cannot be trained."""
    phases: Any = model.phases()
    name = f"the model {model.name!r}"
    if not (isinstance(phases, Sequence) and phases and all(isinstance(phase, Phase) for phase in phases)):
        raise TrainingError(f"{name}: phases() must return a list of Phase(name, loss, parameters), one at least")
    names = [phase.name for phase in phases]
    declared = ", ".join(model.optimizers)
    for phase in phases:
        if names.count(phase.name) > 1:
            raise TrainingError(f"{name}: two phases are called {phase.name!r}; give each a name of its own")
        if phase.name not in model.optimizers:
            words = f"`optimizers` has none for its phase {phase.name!r}, only for {declared}"
            raise TrainingError(f"{name}: {words}; give both the same names")
    return list(phases)


def check_parameters(parameters: Mapping[str, Sequence[Tensor]]) -> None:
    """Raise TrainingError where a phase has none to train."""
    for name, tensors in parameters.items():
        if not tensors:
            raise TrainingError(f"the phase {name!r} has no parameters to train (are all of them frozen?)")


def broken(phase: Phase, batch: Batch) -> str:
    """What a phase's loss gets wrong in what it returns; empty where that is as it should be, or there is nothing.

    Computes the loss once more: for a run that has failed.
    """
    try:
        returned: Any = phase.loss(batch)
    except Exception:  # that is what the run failed of, and its own words are the best
        return ""
    name = f"the loss of phase {phase.name!r}"
    if not (isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping)):
        return f"{name} returned {_kind(returned)}: {WANTED}"
    loss, metrics = returned
    if not (isinstance(loss, Tensor) and loss.numel() == 1):
        return f"{name} returned a loss that is {_kind(loss)}: it must be one number (take its mean, say)"
    if not loss.requires_grad:
        return f"{name} returned a loss that depends on no parameter (detached, or made without gradients?)"
    for metric, value in metrics.items():
        if not (isinstance(metric, str) and isinstance(value, Tensor | float | int)) or (
            isinstance(value, Tensor) and value.numel() != 1
        ):
            return f"{name} returned the metric {metric!r} as {_kind(value)}: it must be one number"
    return ""


def check_made(model: Model, method: str, out: Any, shape: tuple[int, ...], what: str = "") -> None:
    """Raise TrainingError where a method of the model returned anything but a tensor of this shape, below as many
    `what` (frames, say) as it likes, where that is given.
    """
    if not isinstance(out, Tensor) or tuple(out.shape[-len(shape) :]) != shape or out.dim() != len(shape) + bool(what):
        wanted = ", ".join([*([what] if what else []), *map(str, shape)])
        flat = isinstance(out, Tensor) and out.numel() == math.prod(shape)
        hint = "; .view(-1, *self.data.shape) makes it so" if flat else ""
        words = f"{method}() of the model {model.name!r} returned {_kind(out)}"
        raise TrainingError(f"{words}: it must be a tensor of shape ({wanted}){hint}")


def _kind(value: Any) -> str:
    """What something is, for people."""
    if isinstance(value, Tensor):
        return f"a tensor of shape ({', '.join(map(str, value.shape))})"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)} ({', '.join(type(part).__name__ for part in value)})"
    return "None" if value is None else f"a {type(value).__name__}"
