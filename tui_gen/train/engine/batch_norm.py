"""Batch normalisation of a batch that several processes share: by the mean and the variance of all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tui_gen.sharing import BatchPart


def of_whole_batch(now: BatchPart, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """What `F.batch_norm` gives for the rows of this part, where that normalises by the batch's own statistics."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    values = dict(zip(names, args)) | kwargs
    if not values.get("training", False) or now.together == now.count:
        return func(*args, **kwargs)
    x, running_mean, running_var, weight, bias = (values.get(name) for name in names[:5])
    settings = values.get("momentum", 0.1), values.get("eps", 1e-5)
    return normalised(now.add, x, running_mean, running_var, weight, bias, *settings)


def normalised(
    add: Callable[[Tensor], Tensor],
    x: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float,
    eps: float,
) -> Tensor:
    """x (n, C, …) normalised by mean and variance of all processes' x, to which the running ones move, the same on all.

    `add` sums over the processes, differentiably; so is this, any number of times. One message there and one back.
    """
    numbers = x.float()
    others = [dim for dim in range(x.dim()) if dim != 1]
    variance, mean = torch.var_mean(numbers, others, correction=0)
    variance, mean = variance.double(), mean.double()  # C of them: what is lost when they are put together is nothing
    count = x.numel() // x.shape[1]
    parts = torch.cat([mean * count, (variance + mean.square()) * count, mean.new_full((1,), count)])
    sums, squares, total = add(parts).split([len(mean), len(mean), 1])
    mean = sums / total
    variance = (squares / total - mean.square()).clamp(min=0)
    with torch.no_grad():
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            unbiased = variance * (total / (total - 1).clamp(min=1))
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
    shape = [1, -1, *[1] * (x.dim() - 2)]
    scale = (variance + eps).rsqrt().float()
    if weight is not None:
        scale = scale * weight.float()
    out = (numbers - mean.float().view(shape)) * scale.view(shape)
    return (out if bias is None else out + bias.float().view(shape)).to(x.dtype)
