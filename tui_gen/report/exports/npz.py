"""NumPy's npz: samples from a checkpoint, as arrays."""

from __future__ import annotations

from pathlib import Path

from tui_gen.exporting import SampleArrays as Options
from tui_gen.report.exports import Order
from tui_gen.report.exports.offline import make

__all__ = ["Options", "check", "write"]


def write(order: Order, target: Path) -> None:
    """`samples`, and `labels` where the model is told them (see `tui_gen.train.offline.exports.npz`)."""
    make("npz", order, target)


def check(order: Order, target: Path) -> None:
    """Was done by the process that wrote it."""
