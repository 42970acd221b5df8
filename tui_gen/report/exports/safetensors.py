"""safetensors: the weights of a checkpoint, and a snippet beside them that runs the model without tui-gen."""

from __future__ import annotations

from pathlib import Path

from tui_gen.exporting import WeightFile as Options
from tui_gen.report.exports import Order
from tui_gen.report.exports.offline import make

__all__ = ["Options", "check", "write"]


def write(order: Order, target: Path) -> None:
    """Two files (see `tui_gen.train.offline.exports.safetensors`)."""
    make("safetensors", order, target)


def check(order: Order, target: Path) -> None:
    """Was done by the process that wrote it: every tensor, and the snippet's functions against the model's."""
