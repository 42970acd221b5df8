"""The 1,797 handwritten 8×8 digits that scikit-learn carries, read without importing scikit-learn (a second)."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tui_gen.train.data.sources import DataError


def read() -> tuple[Tensor, Tensor]:
    """Images (1797, 1, 8, 8) uint8, the sixteenths of the original as 0 … 255, and labels (1797,) int64."""
    table = _table()
    pixels = np.rint(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return torch.from_numpy(pixels), torch.from_numpy(table[:, 64].astype(np.int64))


def _table() -> np.ndarray:
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise DataError("digits comes with scikit-learn, which is not installed: pip install scikit-learn")
    path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(path, "rt") as file:
            return np.loadtxt(file, delimiter=",")
    except (OSError, EOFError, ValueError):
        # another scikit-learn may keep the file elsewhere: let it find its own
        from sklearn.datasets import load_digits

        digits = load_digits()
        return np.column_stack([digits.data, digits.target])
