"""RMSprop and NAdam as PyTorch's form for many tensors computes them, with next to nothing around it; for the CPU.

PyTorch sorts the tensors anew at every step, and counts the steps of each by itself, which takes as long as the update
of a small net. Steps at which a parameter has no gradient are left to PyTorch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class _Lean(torch.optim.Optimizer):
    """What both share: their state in lists, line by line of `AVERAGES`, and what is counted in arrays."""

    AVERAGES: Sequence[str] = ()
    """What is kept of every parameter's gradients."""
    COUNTED: Sequence[str] = ()
    """What is kept of every parameter in a single number, the same of all while all have gradients."""
    _averages: list[list[Tensor]] | None = None
    _counted: list[np.ndarray]
    _update: Callable[..., None]
    """Of weights by their gradients, and by what `AVERAGES` names."""

    def step(self, closure: None = None) -> None:  # type: ignore[override]  # nobody here has a closure
        """One update from the parameters' `.grad`."""
        group = self.param_groups[0]
        parameters = group["params"]
        gradients = [parameter.grad for parameter in parameters]
        with torch.no_grad():
            if len(self.state) == len(parameters) and all(gradient is not None for gradient in gradients):
                averages = self._averages or self._gather(parameters)
                if (self._counted[0] == self._counted[0][0]).all():
                    if group["weight_decay"]:
                        gradients = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
                    self._update(parameters, gradients, *averages)
                    return
        super().step(closure)

    # PyTorch then puts neither a range for its profiler nor optimiser hooks around it, which nothing here uses.
    step.hooked = True  # type: ignore[attr-defined]

    def _gather(self, parameters: list[nn.Parameter]) -> list[list[Tensor]]:
        """Line the state up; what is counted becomes views of one array each, so that one operation serves all."""
        states = [self.state[parameter] for parameter in parameters]
        self._counted = [torch.stack([state[key] for state in states]).numpy() for key in self.COUNTED]
        for key, counts in zip(self.COUNTED, self._counted, strict=True):
            for state, count in zip(states, torch.from_numpy(counts).unbind(), strict=True):
                state[key] = count
        self._averages = [[state[key] for state in states] for key in self.AVERAGES if key in states[0]]
        return self._averages

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._averages = None


class LeanRMSprop(_Lean, torch.optim.RMSprop):
    """RMSprop; `square_avg` is the average of the gradients' squares."""

    AVERAGES = ("square_avg", "momentum_buffer")
    COUNTED = ("step",)

    def _update(self, weights: Any, gradients: Any, squares: Any, momenta: Any = ()) -> None:
        group = self.param_groups[0]
        self._counted[0] += 1
        torch._foreach_mul_(squares, group["alpha"])
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - group["alpha"])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, group["eps"])
        if momenta:
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_addcdiv_(momenta, gradients, roots)
            torch._foreach_add_(weights, momenta, alpha=-group["lr"])
        else:
            torch._foreach_addcdiv_(weights, gradients, roots, value=-group["lr"])


class LeanNAdam(_Lean, torch.optim.NAdam):
    """NAdam: Adam with Nesterov's momentum (Dozat 2016); the momentum's weight mu grows towards `beta1`."""

    AVERAGES = ("exp_avg", "exp_avg_sq")
    COUNTED = ("step", "mu_product")

    def _update(self, weights: Any, gradients: Any, means: Any, squares: Any) -> None:
        group = self.param_groups[0]
        (beta1, beta2), rate, decay = group["betas"], group["lr"], group["momentum_decay"]
        steps, products = self._counted
        steps += 1
        step = float(steps[0])
        mu, mu_next = (beta1 * (1.0 - 0.5 * 0.96 ** (count * decay)) for count in (step, step + 1))
        products *= np.float32(mu)
        product = float(products[0])
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, (1 - beta2**step) ** 0.5)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(weights, gradients, roots, -(rate * (1.0 - mu) / (1.0 - product)))
        torch._foreach_addcdiv_(weights, means, roots, -(rate * mu_next / (1.0 - product * mu_next)))


@functools.cache
def works() -> bool:
    """Whether they give the bits of PyTorch's own here, tried once on a few numbers: what they call is private, and
    another version of PyTorch may have changed it. Draws no random numbers."""
    cases: list[tuple[type[torch.optim.Optimizer], type[torch.optim.Optimizer], dict[str, Any]]] = [
        (LeanRMSprop, torch.optim.RMSprop, {"momentum": 0.0}),
        (LeanRMSprop, torch.optim.RMSprop, {"momentum": 0.9}),
        (LeanNAdam, torch.optim.NAdam, {}),
    ]
    try:
        return all(all(map(torch.equal, _tried(ours, own), _tried(plain, own))) for ours, plain, own in cases)
    except Exception:  # whatever a changed signature leads to
        return False


def _tried(optimizer_class: type[Any], own: dict[str, Any]) -> list[Tensor]:
    """Two parameters and their state after some steps with their own values as gradients."""
    parameters = [nn.Parameter(torch.linspace(-1, 2, count)) for count in (5, 19)]
    optimizer = optimizer_class(parameters, 0.1, weight_decay=0.01, foreach=True, **own)
    for step in range(3):
        optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        for parameter in parameters:
            parameter.grad = parameter.detach().clone()
        optimizer.step()
    state = [value for parameter in parameters for _, value in sorted(optimizer.state[parameter].items())]
    return [*parameters, *state]
