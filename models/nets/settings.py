"""Hyperparameters that several models have, so that they are called and bounded alike."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from tui_gen.model import hyper


def widths(text: str, *, ge: int = 1, min_items: int = 0, unit: str = "units") -> Any:
    """A hyperparameter that lists the widths of fully connected layers: `min_items` to 8 of them, each `ge` to 8192."""
    return hyper(text, ge=ge, le=8192, unit=unit, min_items=min_items, max_items=8)


def maps(text: str) -> Any:
    """A hyperparameter that lists the channels of convolutions."""
    return hyper(text, ge=1, le=1024, min_items=1, max_items=6)


def step_count(text: str) -> Any:
    """A hyperparameter that is a number of steps, which may change while training."""
    return hyper(text, ge=0, le=10**9, unit="steps", live=True)


Network = Annotated[Literal["mlp", "conv"], hyper("Fully connected, or convolutional")]
Hidden = Annotated[list[int], widths("Layer widths of the mlp encoder, mirrored by its decoder")]
Channels = Annotated[list[int], maps("Channels of the conv encoder; each entry halves the image")]
BY_NETWORK = {"hidden": "network=mlp", "channels": "network=conv"}
"""Which network the two are of."""
Latent = Annotated[int, hyper("Size of the code z", ge=1, le=1024, unit="dimensions")]


def listed(*values: int) -> Any:
    """The default of a hyperparameter that is a list: a fresh one for each config."""
    return msgspec.field(default_factory=lambda: list(values))
