"""Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) for networks that are told the label.

In training some labels are replaced by one more, which means "none", so one network learns both predictions, with the
label and without. When sampling, the prediction is pushed along the difference that the label makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tui_gen.model import DataSpec, Problem


def label_count(config: Any, data: DataSpec) -> int:
    """Labels that the network has codes for: 0 without labels, one more than the classes where labels are dropped."""
    return len(data.classes) + (config.label_dropout > 0) if config.conditional else 0


def drop_labels(labels: Tensor | None, rate: float, none: int) -> Tensor | None:
    """Labels (N,), each replaced by `none` with probability `rate`; drawn from PyTorch's seeded global generator."""
    if labels is None or not rate:
        return labels
    dropped = torch.rand(len(labels), device=labels.device) < rate
    return torch.where(dropped, none, labels)


def guided(network: nn.Module, x: Tensor, time: Tensor, labels: Tensor | None, scale: float, none: int) -> Tensor:
    """Equation 6 of the paper with scale = 1 + w: without + scale · (with − without), both in one batch.

    `scale` 1 is the conditional prediction, 0 the unconditional. As x₀, ε, v and the velocity of a flow are linear in
    each other at a given x and time, guiding one of them guides all.
    """
    if labels is None or scale == 1:
        return network(x, time, labels)
    both = torch.cat([labels, torch.full_like(labels, none)])
    told, untold = network(torch.cat([x, x]), torch.cat([time, time]), both).chunk(2)
    return untold + scale * (told - untold)


def refuse_guidance(config: Any) -> Iterator[Problem]:
    """A problem if labels are to be dropped where there are none, or guidance was not trained for."""
    if config.label_dropout and not config.conditional:
        yield Problem(
            "model.label_dropout",
            config.label_dropout,
            "drops labels, but the network is told none",
            "set model.conditional = true, or model.label_dropout = 0",
        )
    elif config.guidance != 1 and not config.label_dropout:
        yield Problem(
            "model.guidance",
            config.guidance,
            "needs a network that also learns to do without the label",
            "set model.label_dropout = 0.1, or model.guidance = 1",
        )
