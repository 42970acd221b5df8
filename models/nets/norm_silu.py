"""Group normalisation and SiLU in one, for big maps on CPUs, where memory and not arithmetic is what they cost.

PyTorch's kernels for big maps in channels-last order take longer, forward and backward, and the shift that diffusion
models put between convolution and normalisation is one more pass over memory there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from tui_gen import tuned

WORTH = 1_500_000
"""Numbers in a map from which on this is faster than PyTorch's own kernels: below, these find everything in caches."""
WORTH_SAMPLING = 400_000
"""The same where nothing is kept for a backward pass."""
CHUNK = 1 << 20
"""Numbers that are worked on at a time, so that several passes over them stay in the caches."""
FAR = 1000.0
"""Multiples of its variance from which on the square of a group's mean is far from zero: E[h²] − mean² has lost three
digits there, so the variance is taken about the mean. (PyTorch's own kernel for this order loses them all.)"""


def norm_silu(layer: nn.GroupNorm, x: Tensor, shift: Tensor | None = None, spare: bool = False) -> Tensor:
    """SiLU(layer(x + shift)): (N, C, H, W), one shift (N, C) per channel or none → (N, C, H, W).

    `spare` says that nobody needs x afterwards: where samples are drawn its memory may be the result's, which is in the
    caches then.
    """
    drawing = drawing_samples()
    if (
        not torch.compiler.is_compiling()  # first: what depends on the size of a batch would be compiled in
        and x.numel() >= (WORTH_SAMPLING if drawing else WORTH)
        and x.device.type == "cpu"
        and x.dtype is torch.float32
        and x.is_contiguous(memory_format=torch.channels_last)
        and not torch.is_autocast_enabled("cpu")
        and tuned.on()
    ):
        given = x, shift, layer.weight, layer.bias, layer.num_groups, layer.eps
        return _computed(*given, spare)[0] if drawing else NormSiLU.apply(*given)
    return F.silu(layer(x if shift is None else x + shift[:, :, None, None]), inplace=drawing)


def drawing_samples() -> bool:
    """Whether nothing here is kept for a backward pass, nor ever will be."""
    return not torch.compiler.is_compiling() and torch.is_inference_mode_enabled()


class NormSiLU(torch.autograd.Function):
    """What `norm_silu` does, by sums over each channel of each example.

    With h = x + shift, the normalised map is z = scale · x + offset, where scale and offset are (N, C) numbers. Only x
    and such small tables are kept for the backward pass, which computes z again.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor, groups: int, eps: float
    ) -> Tensor:
        out, tables = _computed(x, shift, weight, bias, groups, eps)
        ctx.groups = groups
        ctx.save_for_backward(x, shift, weight, *[torch.cat(column) for column in zip(*tables)])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, shift, weight, *tables = ctx.saved_tensors
        groups = ctx.groups
        rows, out = _rows(x), torch.empty_like(x)
        places, size = rows.shape[1], rows.shape[1] * rows.shape[2] // groups
        weights, step = weight.view(groups, -1), _step(rows)
        of_shift: list[Tensor] = []
        of_weight, of_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        for here, grad_rows, room, part, (scale, offset, mean, rstd, sums) in zip(
            rows.split(step),
            _rows(grad).split(step),
            _rows(out).split(step),
            _parts(shift, rows),
            zip(*[table.split(step) for table in tables]),
        ):
            dz = torch.addcmul(offset[:, None], here, scale[:, None])
            torch.ops.aten.silu_backward.grad_input(grad_rows, dz, grad_input=dz)
            sums_dz = dz.sum(1)
            products = torch.mul(dz, here, out=room).sum(1)
            if part is not None:
                products = products + part * sums_dz
            group_sums = sums_dz.view(len(here), groups, -1)
            weight_sums = (products.view(len(here), groups, -1) - mean * group_sums) * rstd  # Σ dz · (h − mean) · rstd
            of_weight += weight_sums.flatten(1).sum(0)
            of_bias += sums_dz.sum(0)
            # dh = scale · dz + slope · h + level: what changing x does to its group's mean and variance
            slope = -rstd.square() * (weight_sums * weights).sum(2, keepdim=True) / size
            level = -rstd * (group_sums * weights).sum(2, keepdim=True) / size - slope * mean
            slope = slope.expand_as(group_sums).flatten(1)
            level = level.expand_as(group_sums).flatten(1)
            if part is not None:
                level = level + slope * part
                of_shift.append(scale * sums_dz + slope * sums + places * level)
            torch.addcmul(level[:, None], here, slope[:, None], out=room).addcmul_(dz, scale[:, None])
        return out, torch.cat(of_shift) if of_shift else None, of_weight, of_bias, None, None


def _computed(
    x: Tensor, shift: Tensor | None, weight: Tensor, bias: Tensor, groups: int, eps: float, spare: bool = False
) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """The result, in the memory of x where that is `spare`, and a row of small tables for each part of the batch."""
    rows, out = _rows(x), x if spare else torch.empty_like(x)
    places, size = rows.shape[1], rows.shape[1] * rows.shape[2] // groups
    weights, biases = weight.view(groups, -1), bias.view(groups, -1)
    tables: list[tuple[Tensor, ...]] = []
    scratch = torch.empty_like(rows[: _step(rows)]) if spare else None
    for here, room, part in zip(rows.split(_step(rows)), _rows(out).split(_step(rows)), _parts(shift, rows)):
        sums, free = here.sum(1), room if scratch is None else scratch[: len(here)]
        squares = torch.mul(here, here, out=free).sum(1)
        of_h = sums
        if part is not None:
            of_h = sums + places * part
            squares = squares + part * (sums + of_h)
        mean = of_h.view(len(here), groups, -1).sum(2, keepdim=True) / size
        variance = squares.view(len(here), groups, -1).sum(2, keepdim=True) / size - mean.square()
        far = mean.square() > FAR * variance
        if far.any():
            exact = _variance(here, free, part, mean)
            variance = torch.where(far, exact, variance)
        rstd = (variance.clamp_(min=0) + eps).rsqrt_()
        scale = rstd * weights
        offset = (biases - scale * mean).flatten(1)
        scale = scale.flatten(1)
        if part is not None:
            offset = offset + scale * part
        torch.addcmul(offset[:, None], here, scale[:, None], out=room)
        F.silu(room, inplace=True)
        tables.append((scale, offset, mean, rstd, sums))
    return out, tables


def _variance(rows: Tensor, room: Tensor, shift: Tensor | None, mean: Tensor) -> Tensor:
    """The variances (n, groups, 1) of rows (n, H·W, C) + shift about their mean; `room` is as large as the rows."""
    count, groups, _ = mean.shape
    centre = mean.expand(count, groups, rows.shape[2] // groups).flatten(1)
    away = -centre if shift is None else shift - centre
    squares = torch.add(rows, away[:, None], out=room).square_().mean(1)
    return squares.view(count, groups, -1).mean(2, keepdim=True)


def _rows(x: Tensor) -> Tensor:
    """(N, C, H, W) → (N, H·W, C), in channels-last order a view."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1])


def _step(rows: Tensor) -> int:
    return max(1, CHUNK // rows[0].numel())


def _parts(shift: Tensor | None, rows: Tensor) -> tuple[Tensor | None, ...]:
    count = -(-len(rows) // _step(rows))
    return (None,) * count if shift is None else shift.split(_step(rows))
