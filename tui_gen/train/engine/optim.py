"""Optimisers and learning-rate schedules from their declarations."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import torch
from torch import nn

from tui_gen import tuned
from tui_gen.config import Optim
from tui_gen.forking import state_fits
from tui_gen.train.tuned import fused_adam, fused_sgd, late_compiler, lean_foreach


def build(optim: Optim, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """The PyTorch optimiser, in its fastest form: fused where there is one, else foreach.

    Raises ValueError where there is nothing to train.
    """
    if not parameters:
        raise ValueError("this phase has no parameters to train")
    late_compiler.keep_out()
    device_type = parameters[0].device.type
    fast = device_type in ("cpu", "cuda", "xpu")
    by_hand = device_type == "cpu" and tuned.on()
    lean = by_hand and optim.optimizer in ("nadam", "rmsprop") and lean_foreach.works()
    rate, decay, betas = optim.lr, optim.weight_decay, (optim.beta1, optim.beta2)
    match optim.optimizer:
        case "adam":
            adam = fused_adam.FusedAdam if by_hand and fused_adam.works() else torch.optim.Adam
            return adam(parameters, rate, betas=betas, weight_decay=decay, fused=fast or None)
        case "adamw":
            return torch.optim.AdamW(parameters, rate, betas=betas, weight_decay=decay, fused=fast or None)
        case "sgd":
            sgd = fused_sgd.FusedSGD if by_hand and fused_sgd.works() else fused_sgd.SGD
            return sgd(parameters, rate, momentum=optim.beta1, weight_decay=decay, fused=fast or None)
        case "nadam":
            nadam = lean_foreach.LeanNAdam if lean else torch.optim.NAdam
            return nadam(parameters, rate, betas=betas, weight_decay=decay, foreach=True)
        case "rmsprop":
            rmsprop = lean_foreach.LeanRMSprop if lean else torch.optim.RMSprop
            alpha, momentum = optim.beta2, optim.beta1
            return rmsprop(parameters, rate, alpha=alpha, momentum=momentum, weight_decay=decay, foreach=True)
    raise ValueError(f"no optimiser {optim.optimizer!r}")


def go_on(optimizer: torch.optim.Optimizer, optim: Optim, then: dict[str, Any], state: dict[str, Any]) -> bool:
    """Let an optimiser go on with the state of one that was declared as `then`, as far as it is declared so itself.

    What it remembers is taken over where it fits; False where it begins anew.
    """
    before = msgspec.convert(then, Optim)
    if (before.optimizer, before.beta1, before.beta2) == (optim.optimizer, optim.beta1, optim.beta2):
        optimizer.load_state_dict(state)
        return True
    fits = state_fits(before, optim)
    if fits:
        optimizer.load_state_dict({"state": state["state"], "param_groups": optimizer.state_dict()["param_groups"]})
    optimizer.param_groups[0]["weight_decay"] = before.weight_decay  # which may have been edited since it began
    return fits


def rate(optim: Optim, step: int, fraction: float) -> float:
    """The learning rate before step `step`, when `fraction` [0, 1] of the run is done."""
    fraction = min(1.0, max(0.0, fraction))
    match optim.schedule:
        case "linear":
            factor = 1.0 - fraction
        case "cosine":
            factor = 0.5 * (1.0 + math.cos(math.pi * fraction))
        case "exponential":
            factor = 0.01**fraction
        case _:
            factor = 1.0
    if optim.warmup and step < optim.warmup:
        factor *= (step + 1) / optim.warmup
    return optim.lr * factor
