"""Adam by its fused kernel, with next to nothing around it; for the CPU."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import nn


class FusedAdam(torch.optim.Adam):
    """Adam by its fused kernel, with next to nothing around it; for the CPU.

    PyTorch gathers the tensors anew at every step, which takes as long as the update of a small net. Steps at which a
    parameter has no gradient are left to PyTorch.
    """

    _moments: tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]] | None = None
    _counts: np.ndarray

    def step(self, closure: None = None) -> None:
        """One update from the parameters' `.grad`."""
        group = self.param_groups[0]
        parameters = group["params"]
        gradients = [parameter.grad for parameter in parameters]
        if len(self.state) < len(parameters) or any(gradient is None for gradient in gradients):
            super().step(closure)
            return
        if self._moments is None:
            self._gather(parameters)
        self._counts += 1
        beta1, beta2 = group["betas"]
        torch._fused_adam_(
            parameters,
            gradients,
            self._moments[0],
            self._moments[1],
            [],
            self._moments[2],
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    step.hooked = True  # type: ignore[attr-defined]  # PyTorch wraps no profiler around it

    def _gather(self, parameters: list[nn.Parameter]) -> None:
        """Line the state up; the counts of steps become views of one array, so that one addition serves all.

        A NumPy array: its additions have less around them than PyTorch's.
        """
        states = [self.state[parameter] for parameter in parameters]
        self._counts = torch.stack([state["step"] for state in states]).numpy()
        for state, count in zip(states, torch.from_numpy(self._counts).unbind(), strict=True):
            state["step"] = count
        self._moments = tuple([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq", "step"))

    def load_state_dict(self, state_dict: dict) -> None:
        """As PyTorch's."""
        super().load_state_dict(state_dict)
        self._moments = None


@functools.cache
def works() -> bool:
    """Whether it gives the bits of PyTorch's own here, tried once on a few numbers: what it calls is private, and
    another version of PyTorch may have changed it. Draws no random numbers."""
    try:
        return all(map(torch.equal, _tried(FusedAdam), _tried(torch.optim.Adam)))
    except Exception:  # whatever a changed signature leads to
        return False


def _tried(kind: type[torch.optim.Adam]) -> list[torch.Tensor]:
    """Two parameters and their state after some steps with their own values as gradients."""
    parameters = [nn.Parameter(torch.linspace(-1, 2, count)) for count in (5, 19)]
    optimizer = kind(parameters, 0.1, betas=(0.5, 0.99), weight_decay=0.01, fused=True)
    for step in range(3):
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        for parameter in parameters:
            parameter.grad = parameter.detach().clone()
        optimizer.step()
    kept = [optimizer.state[parameter] for parameter in parameters]
    return [*parameters, *(state[key] for state in kept for key in ("exp_avg", "exp_avg_sq", "step"))]
