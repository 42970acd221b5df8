"""CIFAR-10: pickled dictionaries."""

from __future__ import annotations

import os
import pickle
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tui_gen.datasets import Files
from tui_gen.train.data.download import fetch
from tui_gen.train.data.images import Part
from tui_gen.train.data.public import PublicSet
from tui_gen.train.data.sources import Report

CIFAR = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


class _ArraysOnly(pickle.Unpickler):
    """A pickle may name any function to call: allow what arrays are made of."""

    def find_class(self, module: str, name: str) -> Any:
        array = module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        if (array and name in ("_reconstruct", "ndarray", "dtype")) or (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it wants to call {module}.{name}")


class Cifar10(PublicSet):
    """CIFAR-10: 50,000 colour images of 32×32 to train on, 10,000 to validate with."""

    name = "cifar10"
    title = "CIFAR-10"
    summary = (
        "60,000 small colour photographs of ten kinds of things, 50,000 to train on and 10,000 to validate with. The "
        "usual yardstick for image generators; expect hours on a GPU for good samples. 170 MB to download."
    )
    reference = "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009"
    default_size = 32
    channels = 3
    classes = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    count = 50_000
    files = Files(("cifar-10-batches-py", ""), CIFAR)
    rank = 100

    def parts(self, folder: Path) -> list[Part]:
        batches = [self._batch(folder / file) for file in CIFAR]
        images, labels = zip(*batches[:-1])
        return [(torch.cat(images), torch.cat(labels)), batches[-1]]

    def _batch(self, path: Path) -> tuple[Tensor, Tensor]:
        try:
            with open(path, "rb") as file:
                table = _ArraysOnly(file, encoding="latin1").load()
            images = np.asarray(table["data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
            labels = np.asarray(table["labels"], dtype=np.int64).reshape(-1)
        except Exception as error:  # a damaged pickle may raise anything
            raise self.broken(path, str(error) or type(error).__name__) from None
        if len(images) != len(labels):
            raise self.broken(path, f"{len(images)} images do not fit {len(labels)} labels")
        return torch.from_numpy(images.copy()), torch.from_numpy(labels.copy())

    def download(self, aside: Path, report: Report) -> None:
        from torchvision.datasets import CIFAR10

        archive = aside / CIFAR10.filename
        if not archive.exists():
            fetch([CIFAR10.url], archive, CIFAR10.tgz_md5, report, f"Downloading {CIFAR10.filename}")
        with tarfile.open(archive) as tar:
            for member in tar:
                # by name, never by the path inside the archive
                file = os.path.basename(member.name)
                source = tar.extractfile(member) if file in CIFAR else None
                if source is not None:
                    with source, open(aside / file, "wb") as out:
                        shutil.copyfileobj(source, out)
