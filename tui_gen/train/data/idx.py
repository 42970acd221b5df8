"""MNIST and its kin: big-endian idx files."""

from __future__ import annotations

import gzip
import os
import shutil
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from tui_gen.datasets import Files
from tui_gen.train.data.download import fetch
from tui_gen.train.data.images import Part
from tui_gen.train.data.public import PublicSet
from tui_gen.train.data.sources import Report

IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx_files(folder: str) -> Files:
    """The files of a set that torchvision keeps in a folder of this name."""
    return Files((f"{folder}/raw", ""), IDX)


class IdxSet(PublicSet):
    """A set in the format of MNIST: 60,000 grey images of 28×28 to train on, 10,000 to validate with."""

    torchvision_name: ClassVar[str]
    """torchvision's class of it."""
    default_size = 28
    channels = 1
    count = 60_000
    black_ground = True

    def parts(self, folder: Path) -> list[Part]:
        images, labels, test_images, test_labels = (self._idx(folder / file) for file in IDX)
        return [self._part(folder, images, labels), self._part(folder, test_images, test_labels)]

    def _part(self, folder: Path, images: np.ndarray, labels: np.ndarray) -> Part:
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or not len(images):
            raise self.broken(folder, f"{images.shape} images do not fit {labels.shape} labels")
        return torch.from_numpy(images)[:, None], torch.from_numpy(labels.astype(np.int64))

    def _idx(self, path: Path) -> np.ndarray:
        try:
            if path.exists():
                data = np.fromfile(path, dtype=np.uint8)
            else:
                path = path.with_name(f"{path.name}.gz")
                with gzip.open(path, "rb") as file:
                    data = np.frombuffer(bytearray(file.read()), dtype=np.uint8)
        except (OSError, EOFError, zlib.error) as error:
            raise self.broken(path, str(error)) from None
        if len(data) < 4 or data[0] or data[1] or data[2] != 8 or not 1 <= data[3] <= 3 or len(data) < 4 + 4 * data[3]:
            raise self.broken(path, "it is not an idx file of bytes")
        start = 4 + 4 * int(data[3])
        shape = [int(length) for length in np.frombuffer(data[4:start].tobytes(), dtype=">u4")]
        if len(data) - start != int(np.prod(shape)):
            raise self.broken(path, f"it should hold {int(np.prod(shape)):,} values and holds {len(data) - start:,}")
        return data[start:].reshape(shape)

    def download(self, aside: Path, report: Report) -> None:
        from torchvision import datasets

        dataset_class = getattr(datasets, self.torchvision_name)
        for number, (file, md5) in enumerate(dataset_class.resources, 1):
            target = aside / file.removesuffix(".gz")
            if target.exists():
                continue
            archive = aside / file
            if not archive.exists():
                what = f"Downloading {file} ({number} of {len(dataset_class.resources)})"
                fetch([mirror + file for mirror in dataset_class.mirrors], archive, md5, report, what)
            partial = target.with_name(f"{target.name}.part-{os.getpid()}")
            with gzip.open(archive, "rb") as source, open(partial, "wb") as out:
                shutil.copyfileobj(source, out)
            os.replace(partial, target)
            archive.unlink(missing_ok=True)
