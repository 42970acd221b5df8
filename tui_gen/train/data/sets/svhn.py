"""Street View House Numbers: Matlab matrices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tui_gen.datasets import Files
from tui_gen.train.data.download import fetch
from tui_gen.train.data.images import Part
from tui_gen.train.data.public import PublicSet
from tui_gen.train.data.sources import Report

SVHN = ("train_32x32.mat", "test_32x32.mat")


class StreetViewNumbers(PublicSet):
    """SVHN: 73,257 colour images of 32×32 to train on, 26,032 to validate with; what it calls 10 is the digit 0."""

    name = "svhn"
    title = "Street View House Numbers"
    summary = (
        "99,289 colour photographs of house numbers, cropped to one digit, with bits of the neighbouring digits in "
        "view. Between MNIST and CIFAR-10 in difficulty. 250 MB to download."
    )
    reference = (
        "Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, NIPS workshop 2011"
    )
    default_size = 32
    channels = 3
    classes = tuple(str(digit) for digit in range(10))
    count = 73_257
    files = Files(("svhn", "SVHN", ""), SVHN)
    rank = 110

    def parts(self, folder: Path) -> list[Part]:
        return [self._part(folder / file) for file in SVHN]

    def _part(self, path: Path) -> Part:
        from scipy.io import loadmat

        try:
            table = loadmat(path)
            images = np.ascontiguousarray(np.asarray(table["X"], dtype=np.uint8).transpose(3, 2, 0, 1))
            labels = np.asarray(table["y"]).reshape(-1).astype(np.int64) % 10
            if images.shape[1:] != (3, 32, 32) or len(images) != len(labels):
                raise ValueError(f"{images.shape} images and {len(labels)} labels")
        except Exception as error:  # a damaged file may raise anything
            raise self.broken(path, str(error) or type(error).__name__) from None
        return torch.from_numpy(images), torch.from_numpy(labels)

    def download(self, aside: Path, report: Report) -> None:
        from torchvision.datasets import SVHN as TorchvisionSVHN

        for number, part in enumerate(("train", "test"), 1):
            url, file, md5 = TorchvisionSVHN.split_list[part]
            if not (aside / file).exists():
                fetch([url], aside / file, md5, report, f"Downloading {file} ({number} of 2)")
