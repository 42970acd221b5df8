"""Adam by its fused kernel, with next to nothing around it; for the CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

FADED = 1e-33
"""An average below this is as good as 0: against `eps` its root is less than a rounding, and as an update it is less
than a rounding of any weight above 1e-17."""
EVERY = 50
"""Steps between two looks for such averages. With decay rates from 0.85 on none gets so small between them that float32
holds it with fewer digits (below 1.2e-38), which processors are slow to compute with."""

Moments = tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]
"""The averages of the gradients and of their squares, and the counts of steps, a tensor each for every parameter."""


class Portion(NamedTuple):
    """What of the parameters one of several processes updates: pieces of them and of their moments, in lists that
    belong together. `places` are the parameters' in the optimiser, `cuts` take the piece out of a parameter's gradient.
    """

    places: list[int]
    weights: list[torch.Tensor]
    first: list[torch.Tensor]
    second: list[torch.Tensor]
    cuts: list[Callable[[torch.Tensor], torch.Tensor] | None]

    def of(self, gradients: Sequence[torch.Tensor | None]) -> list[torch.Tensor | None]:
        """Of all parameters' gradients, these pieces: flat, or as the gradient is where it is whole."""
        mine = zip((gradients[place] for place in self.places), self.cuts)
        return [gradient if gradient is None or cut is None else cut(gradient) for gradient, cut in mine]


class FusedAdam(torch.optim.Adam):
    """Adam by its fused kernel, with next to nothing around it; for the CPU.

    PyTorch gathers the tensors anew at every step, which takes as long as the update of a small net. Steps at which a
    parameter has no gradient are left to PyTorch.
    """

    _moments: Moments | None = None
    _counts: np.ndarray
    _steps: list[torch.Tensor] | None = None
    """The counts of the pieces of `part`."""
    flushes = False
    """Whether averages that have faded away are set to 0, every so often. They belong to weights that have a gradient
    but rarely, as those of the pixels at an image's edge, and would take most of an update's time."""
    part: Portion | None = None
    """What this process updates, where others update the rest in memory that all share."""

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # nobody here has a closure
        """One update from the parameters' `.grad`."""
        parameters = self.param_groups[0]["params"]
        gradients = [parameter.grad for parameter in parameters]
        if self.part is not None:
            self.step_part(self.part.of(gradients), [gradient is not None for gradient in gradients])
            return
        if len(self.state) < len(parameters) or any(gradient is None for gradient in gradients):
            super().step(closure)
            return
        moments = self._moments or self._gather(parameters)
        self._counts += 1
        self._update(parameters, gradients, *moments)

    # PyTorch then puts neither a range for its profiler nor optimiser hooks around it, which nothing here uses.
    step.hooked = True  # type: ignore[attr-defined]

    def step_part(self, gradients: Sequence[torch.Tensor | None], there: Sequence[bool]) -> None:
        """One update of this process's part from the gradients of its pieces, but of those that are None. `there` tells
        which parameters have one at all: the others are left as they are, as PyTorch does."""
        assert self.part is not None
        moments = self._moments or self._gather(self.param_groups[0]["params"])
        part = self.part
        steps = self._steps = self._steps or [moments[2][place] for place in part.places]
        if False in there:
            self._counts[list(there)] += 1
        else:
            self._counts += 1
        if any(gradient is None for gradient in gradients):
            rows = zip(part.weights, gradients, part.first, part.second, steps)
            some = [row for row in rows if row[1] is not None]
            if some:
                self._update(*map(list, zip(*some)))
        elif steps:
            self._update(part.weights, gradients, part.first, part.second, steps)

    def update_some(
        self,
        places: Sequence[int],
        weights: list[torch.Tensor],
        gradients: list[torch.Tensor],
        first: list[torch.Tensor],
        second: list[torch.Tensor],
    ) -> None:
        """Update pieces of parameters, besides those of `part`, in the same step: after `step_part`."""
        moments = self._moments or self._gather(self.param_groups[0]["params"])
        self._update(weights, gradients, first, second, [moments[2][place] for place in places])

    def _update(self, weights: Any, gradients: Any, first: Any, second: Any, steps: Any) -> None:
        group = self.param_groups[0]
        beta1, beta2 = group["betas"]
        torch._fused_adam_(
            weights,
            gradients,
            first,
            second,
            [],
            steps,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )
        if self.flushes and self._counts[0] % EVERY == 0:
            for moment in (*first, *second):
                moment.copy_(nn.functional.hardshrink(moment, FADED))

    def _gather(self, parameters: list[nn.Parameter]) -> Moments:
        """Line the state up; the counts of steps become views of one array, so that one addition serves all.

        A NumPy array: its additions have less around them than PyTorch's.
        """
        states = [self.state[parameter] for parameter in parameters]
        self._counts = torch.stack([state["step"] for state in states]).numpy()
        for state, count in zip(states, torch.from_numpy(self._counts).unbind(), strict=True):
            state["step"] = count
        first, second, steps = ([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq", "step"))
        self._moments = first, second, steps
        return self._moments

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._moments = self._steps = self.part = None

    def forget(self) -> None:
        """Line the state up anew at the next step, as it will be in other memory; that of NumPy's counts is let go."""
        if self._moments is not None:
            for state in self.state.values():
                state["step"] = state["step"].clone()
            del self._counts
        self._moments = self._steps = self.part = None


@functools.cache
def works() -> bool:
    """Whether it gives the bits of PyTorch's own here, tried once on a few numbers: what it calls is private, and
    another version of PyTorch may have changed it. Draws no random numbers."""
    try:
        return all(map(torch.equal, _tried(FusedAdam), _tried(torch.optim.Adam)))
    except Exception:  # whatever a changed signature leads to
        return False


def _tried(optimizer_class: type[torch.optim.Adam]) -> list[torch.Tensor]:
    """Two parameters and their state after some steps with their own values as gradients."""
    parameters = [nn.Parameter(torch.linspace(-1, 2, count)) for count in (5, 19)]
    optimizer = optimizer_class(parameters, 0.1, betas=(0.5, 0.99), weight_decay=0.01, fused=True)
    for step in range(3):
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        for parameter in parameters:
            parameter.grad = parameter.detach().clone()
        optimizer.step()
    states = [optimizer.state[parameter] for parameter in parameters]
    return [*parameters, *(state[key] for state in states for key in ("exp_avg", "exp_avg_sq", "step"))]
