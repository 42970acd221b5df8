"""ONNX: one function of a run's model (a decoder, a denoising step), to be run without PyTorch."""

from __future__ import annotations

from pathlib import Path

from tui_gen.exporting import OnnxGraph as Options
from tui_gen.report.exports import Order
from tui_gen.report.exports.offline import make

__all__ = ["Options", "check", "write"]


def write(order: Order, target: Path) -> None:
    """One file (see `tui_gen.train.offline.exports.onnx`)."""
    make("onnx", order, target)


def check(order: Order, target: Path) -> None:
    """Was done by the process that wrote it: ONNX Runtime was held against PyTorch."""
