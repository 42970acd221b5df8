"""The 1,797 handwritten 8×8 digits that scikit-learn carries, read without importing scikit-learn (a second)."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import torch

from tui_gen.train.data.images import ImageSet, Part
from tui_gen.train.data.sources import DataError, Report


class Digits(ImageSet):
    """Images (1797, 1, 8, 8), the sixteenths of the original as 0 … 255."""

    name = "digits"
    title = "Digits"
    summary = (
        "1,797 real handwritten digits of 8×8 pixels from 43 people. They come with scikit-learn, so nothing is "
        "downloaded, and they are small enough to train on within a minute. Sizes of 16 and 32 px are enlarged "
        "smoothly."
    )
    reference = (
        "Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998"
    )
    default_size = 8
    channels = 1
    classes = tuple(str(digit) for digit in range(10))
    count = 1797
    black_ground = True
    rank = 10

    def read(self, report: Report) -> list[Part]:
        table = _table()
        pixels = np.rint(table[:, :64] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
        return [(torch.from_numpy(pixels), torch.from_numpy(table[:, 64].astype(np.int64)))]


def _table() -> np.ndarray:
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise DataError("digits comes with scikit-learn, which is not installed: pip install scikit-learn")
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    try:
        with gzip.open(path, "rt") as file:
            return np.loadtxt(file, delimiter=",")
    except (OSError, EOFError, ValueError):
        # another scikit-learn may keep the file elsewhere: let it find its own
        from sklearn.datasets import load_digits

        digits = load_digits()
        return np.column_stack([digits.data, digits.target])
