"""What a model makes of rows of noise, for previews: of all of them, or of a part as it is in the whole."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from tui_gen import sharing
from tui_gen.model import Model
from tui_gen.sharing import BatchPart
from tui_gen.train.engine import drawing

ALONG = {"sample": 0, "trajectory": 1}
"""The dimension of the rows in what these methods of a model return."""


class Rows:
    """Makes them in this process. Others have other processes help."""

    @property
    def wanted(self) -> bool:
        """Whether others would help, where they could now."""
        return False

    def made(self, model: Model, method: str, noise: Tensor, labels: Tensor | None, *more: Any) -> Tensor:
        """`method` of the model for noise (N, *noise_shape) and labels (N,), or None; and PyTorch's random state as it
        leaves that."""
        out: Tensor = getattr(model, method)(noise, labels, *more)
        return out


def part(model: Model, method: str, rows: slice, noise: Tensor, labels: Tensor | None, *more: Any) -> Tensor:
    """What `Rows.made` has for some rows, computed for these alone: it draws what is drawn for all."""
    start, stop, total = rows.start, rows.stop, len(noise)
    with sharing.computing(BatchPart(start, stop - start, total, start, total, _apart)), drawing.of_model(model):
        out: Tensor = getattr(model, method)(noise[rows], None if labels is None else labels[rows], *more)
    return out


def _apart(x: Tensor) -> Tensor:
    raise RuntimeError("what depends on all rows is not made of some")
