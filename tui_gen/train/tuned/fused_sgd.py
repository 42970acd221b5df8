"""Gradient descent: PyTorch's with what its fused form needs, and its fused kernel with next to nothing around it."""

from __future__ import annotations

import functools

import torch
from torch import nn


class SGD(torch.optim.SGD):
    """PyTorch's, whose fused form (of 2.15) fails, with momentum, where a parameter gets its first gradient later than
    others: here all momenta begin as zeros, from which the first gradient becomes what PyTorch sets them to.
    """

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # nobody here has a closure
        """One update from the parameters' `.grad`."""
        self._momenta([parameter for parameter in self.param_groups[0]["params"] if parameter.grad is not None])
        super().step(closure)

    def _momenta(self, parameters: list[nn.Parameter]) -> list[torch.Tensor]:
        """Of these, made where there are none; none at all where there is no momentum."""
        if not self.param_groups[0]["momentum"]:
            return []
        for parameter in parameters:
            if self.state[parameter].get("momentum_buffer") is None:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        return [self.state[parameter]["momentum_buffer"] for parameter in parameters]


class FusedSGD(SGD):
    """The same by its fused kernel, with next to nothing around it; for the CPU.

    PyTorch gathers and sorts the tensors anew at every step, which takes as long as the update of a small net.
    """

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # nobody here has a closure
        """One update from the parameters' `.grad`; those that have none stay as they are, and their momenta."""
        group = self.param_groups[0]
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        torch._fused_sgd_(
            parameters,
            [parameter.grad for parameter in parameters],
            self._momenta(parameters),
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            is_first_step=False,
        )

    # PyTorch then puts neither a range for its profiler nor optimiser hooks around it, which nothing here uses.
    step.hooked = True  # type: ignore[attr-defined]


@functools.cache
def works() -> bool:
    """Whether it gives the bits of PyTorch's own here, tried once on a few numbers: what it calls is private, and
    another version of PyTorch may have changed it. Draws no random numbers."""
    try:
        return all(
            all(map(torch.equal, _tried(FusedSGD, momentum), _tried(SGD, momentum)))
            for momentum in (0.0, 0.9)
        )
    except Exception:  # whatever a changed signature leads to
        return False


def _tried(optimizer_class: type[torch.optim.SGD], momentum: float) -> list[torch.Tensor]:
    """Two parameters and their momenta after some steps with their own values as gradients."""
    parameters = [nn.Parameter(torch.linspace(-1, 2, count)) for count in (5, 19)]
    optimizer = optimizer_class(parameters, 0.1, momentum=momentum, weight_decay=0.01, fused=True)
    for step in range(3):
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        for parameter in parameters:
            parameter.grad = parameter.detach().clone()
        optimizer.step()
    momenta = [optimizer.state[parameter].get("momentum_buffer") for parameter in parameters]
    return [*parameters, *(tensor for tensor in momenta if tensor is not None)]
