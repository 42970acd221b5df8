"""Gradients of a loss that counts for a share of a batch, by PyTorch's engine itself.

To multiply the loss by its share puts a node more into the graph; given to `torch.autograd.grad`, the share has PyTorch
import its symbolic shapes first, for seconds.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

Gradients = tuple[Tensor | None, ...]


def gradients(loss: Tensor, share: float, parameters: Sequence[Tensor]) -> Gradients:
    """Those of `share` · loss (a single number), None where it does not depend on a parameter."""
    if loss.dtype == torch.float32 and loss.device.type == "cpu" and not loss.dim() and works():
        return _by_engine(loss, share, parameters)
    return torch.autograd.grad(loss * share, parameters, allow_unused=True)


@functools.lru_cache(64)
def _seed(share: float) -> Tensor:
    return torch.tensor(share)


def _by_engine(loss: Tensor, share: float, parameters: Sequence[Tensor]) -> Gradients:
    from torch.autograd.graph import _engine_run_backward

    found: Gradients = _engine_run_backward(
        (loss,), (_seed(share),), False, False, tuple(parameters), allow_unreachable=True, accumulate_grad=False
    )
    return found


@functools.cache
def works() -> bool:
    """Whether it gives the bits of `torch.autograd.grad` here, tried once: what it calls is private."""
    try:
        used, unused = (nn.Parameter(torch.linspace(-1, end, 7)) for end in (2, 3))
        loss = (used * used.exp()).sum()
        expected = torch.autograd.grad(loss * 0.3, [used], retain_graph=True)
        found = _by_engine(loss, 0.3, [used, unused])
        return torch.equal(found[0], expected[0]) and found[1] is None  # type: ignore[arg-type]
    except Exception:  # whatever a changed signature leads to
        return False
