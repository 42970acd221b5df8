"""Metrics of a batch that is computed in parts: the numbers of each part, and what is made of their sums."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tui_gen.sharing import Pooled
from tui_gen.train.engine.meter import Row

Answer = tuple[list[str], list[Any]]
"""Names and values of a part's metrics."""


def numbers_of(values: Sequence[Any], share: float = 1.0) -> Tensor:
    """All numbers of some metrics one after the other, float32, times `share`."""
    tensors = [mean for value in values for mean in (value.means if isinstance(value, Pooled) else (value,))]
    if all(tensor.device.type == "cpu" for tensor in tensors):
        numbers: list[float] = []  # for so few, that has less around it than PyTorch's concatenation
        for tensor in tensors:
            if tensor.dim():
                numbers += tensor.detach().flatten().tolist()
            else:
                numbers.append(tensor.item())
        return torch.from_numpy(np.array(numbers, np.float32) * np.float32(share))
    with torch.no_grad():
        tensors = [tensor if tensor.dtype == torch.float32 else tensor.float() for tensor in tensors]
        return torch.hstack([tensor if tensor.dim() < 2 else tensor.reshape(-1) for tensor in tensors]) * share


Form = tuple[Callable[..., Tensor] | None, list[torch.Size]]
"""What makes a metric of tensors of these shapes; where nothing does, it is the only one."""


def forms(values: Sequence[Any]) -> list[Form]:
    """How metrics come from their numbers. Keeps nothing of their graph."""
    return [
        (value.of, [mean.shape for mean in value.means]) if isinstance(value, Pooled) else (None, [value.shape])
        for value in values
    ]


def row_of_batch(values: Sequence[Any], numbers: Tensor) -> Row:
    """The metrics (count,) of such numbers of the whole batch, which nobody writes to any more, each a single one or
    pooled; float32. Those that are more than their numbers are made when they are asked for."""
    if numbers.shape[0] == len(values) and not any(isinstance(value, Pooled) for value in values):
        return numbers
    return functools.partial(made, forms(values), numbers)


def made(its_forms: Sequence[Form], numbers: Tensor) -> Tensor:
    """The same metrics as one row (count,)."""
    if numbers.device.type != "cpu":
        return torch.cat(finished(its_forms, numbers))
    row, given, start = np.empty(len(its_forms), np.float32), numbers.numpy(), 0
    for place, (of, shapes) in enumerate(its_forms):
        if of is None:
            row[place] = given[start]
            start += 1
            continue
        means = []
        for shape in shapes:
            means.append(numbers[start : start + shape.numel()].view(shape))
            start += shape.numel()
        row[place] = float(of(*means))
    return torch.from_numpy(row)


def finished(its_forms: Sequence[Form], numbers: Tensor) -> list[Tensor]:
    """The metrics themselves (1,), of such numbers of the whole batch, some of which they may be views of."""
    parts = iter(numbers.split([shape.numel() for _, shapes in its_forms for shape in shapes]))
    return [
        next(parts) if of is None else of(*(next(parts).view(shape) for shape in shapes)).float().reshape(1)
        for of, shapes in its_forms
    ]


def summed(rows: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Numbers of parts, added up, each times its share."""
    total = rows[0] * shares[0]
    for row, share in zip(rows[1:], shares[1:]):
        total.add_(row, alpha=share)
    return total


def united(answers: Sequence[Answer], shares: Sequence[float]) -> tuple[list[str], list[Any], Tensor]:
    """Names, values and numbers of metrics that only some parts of a batch have: means over those."""
    by_name: dict[str, list[tuple[Any, float]]] = {}
    for (names, values), share in zip(answers, shares):
        for name, value in zip(names, values):
            by_name.setdefault(name, []).append((value, share))
    firsts = [some[0][0] for some in by_name.values()]
    numbers = []
    for some in by_name.values():
        whole = sum(share for _, share in some)
        numbers.append(summed([numbers_of([value]) for value, _ in some], [share / whole for _, share in some]))
    return list(by_name), firsts, torch.cat(numbers)
