"""The public image sets that torchvision knows, in the layout in which torchvision keeps them.

The files are read straight into uint8 tensors. torchvision itself, slow to import, is needed only to download: its
classes know the addresses and digests.
"""

from __future__ import annotations

import gzip
import os
import pickle
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tui_gen.catalog import cache_dir
from tui_gen.datasets import CELEBA, CIFAR, DATASETS, FILES, IDX, SVHN, downloaded, missing
from tui_gen.events import Note, Progress
from tui_gen.train.data import locks
from tui_gen.train.data.download import fetch
from tui_gen.train.data.sources import DataError, Report

Part = tuple[Tensor, Tensor]
"""Images (N, C, H, W) uint8 and labels (N,) int64."""


@dataclass(frozen=True)
class Origin:
    """How a dataset's files are fetched into a folder, and what to do where that fails."""

    download: Callable[[Path, Report], None]
    hint: str = ""


def locate(name: str, root: str, report: Report) -> Path:
    """The folder with the files of a dataset, downloaded into the cache folder where `root` is empty.

    Raises DataError that says which files are missing where, or why they could not be fetched, and what to do.
    """
    layout, title, hint = FILES[name], DATASETS[name].title, ORIGINS[name].hint
    expected = os.path.join(layout.places[0], layout.files[0])
    if root:
        found = layout.find(Path(os.path.expanduser(root)))
        if found is None:
            why, remedy = missing(name, root)
            raise DataError(f"{title}: dataset.root = {root} {why}; {remedy}")
        return found
    base = downloaded()
    found = layout.find(base)
    if found is not None:
        return found
    place = base / layout.places[0]
    try:
        base.mkdir(parents=True, exist_ok=True)
        with locks.only_one(base / f".{name}.lock", f"downloading {title}", report):
            if layout.find(base) is None:
                _download(name, base, place, report)
    except DataError as error:
        raise DataError(
            f"{title} could not be downloaded:\n  " + str(error).replace("\n", "\n  ") + "\n"
            f"Check the network and start again{hint}; or copy its files into {place} "
            f"({', '.join(layout.files)}); or set dataset.root to a folder that has {expected}."
        ) from None
    except OSError as error:
        raise DataError(
            f"{title} could not be downloaded: {error.filename or base}: {error.strerror or error}. Make room or make "
            f"it writable, set XDG_CACHE_HOME to another disk, or set dataset.root to a folder that has {expected}."
        ) from None
    found = layout.find(base)
    if found is None:
        raise DataError(f"{title}: {place} still lacks files after the download; delete it and start again")
    return found


def broken(name: str, path: Path, why: str) -> DataError:
    """The error for a file that is there but cannot be right."""
    again = "delete it and start again" if path.is_relative_to(cache_dir()) else "replace it with a good copy"
    return DataError(f"{DATASETS[name].title}: {path} is damaged ({why}); {again}")


def _download(name: str, base: Path, place: Path, report: Report) -> None:
    """Fetch into a folder aside, whose finished files a later attempt uses, and move what is complete into place."""
    title = DATASETS[name].title
    report(Note(text=f"{title} is not in {place} yet: downloading it"))
    aside = base / f".{name}.partial"
    aside.mkdir(exist_ok=True)
    for left in aside.glob("*.part-*"):  # by a download that was killed
        left.unlink(missing_ok=True)
    ORIGINS[name].download(aside, report)
    place.mkdir(parents=True, exist_ok=True)
    for file in FILES[name].files:
        if (place / file).is_dir():
            shutil.rmtree(place / file)
        os.replace(aside / file, place / file)
    shutil.rmtree(aside, ignore_errors=True)
    report(Note(text=f"{title} is in {place}"))


# MNIST and its kin: big-endian idx files


def read_idx(name: str, folder: Path) -> tuple[Part, Part]:
    """Train and test part of MNIST, Fashion-MNIST or KMNIST."""
    images, labels, test_images, test_labels = (_idx(name, folder / file) for file in IDX)
    return _idx_part(name, folder, images, labels), _idx_part(name, folder, test_images, test_labels)


def _idx_part(name: str, folder: Path, images: np.ndarray, labels: np.ndarray) -> Part:
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or not len(images):
        raise broken(name, folder, f"{images.shape} images do not fit {labels.shape} labels")
    return torch.from_numpy(images)[:, None], torch.from_numpy(labels.astype(np.int64))


def _idx(name: str, path: Path) -> np.ndarray:
    try:
        if path.exists():
            data = np.fromfile(path, dtype=np.uint8)
        else:
            path = path.with_name(f"{path.name}.gz")
            with gzip.open(path, "rb") as file:
                data = np.frombuffer(bytearray(file.read()), dtype=np.uint8)
    except (OSError, EOFError, zlib.error) as error:
        raise broken(name, path, str(error)) from None
    if len(data) < 4 or data[0] or data[1] or data[2] != 8 or not 1 <= data[3] <= 3 or len(data) < 4 + 4 * data[3]:
        raise broken(name, path, "it is not an idx file of bytes")
    start = 4 + 4 * int(data[3])
    shape = [int(length) for length in np.frombuffer(data[4:start].tobytes(), dtype=">u4")]
    if len(data) - start != int(np.prod(shape)):
        raise broken(name, path, f"it should hold {int(np.prod(shape)):,} values and holds {len(data) - start:,}")
    return data[start:].reshape(shape)


def _download_idx(class_name: str) -> Callable[[Path, Report], None]:
    def download(aside: Path, report: Report) -> None:
        from torchvision import datasets

        known = getattr(datasets, class_name)
        for number, (file, md5) in enumerate(known.resources, 1):
            unpacked = aside / file.removesuffix(".gz")
            if unpacked.exists():
                continue
            archive = aside / file
            if not archive.exists():
                what = f"Downloading {file} ({number} of {len(known.resources)})"
                fetch([mirror + file for mirror in known.mirrors], archive, md5, report, what)
            partial = unpacked.with_name(f"{unpacked.name}.part-{os.getpid()}")
            with gzip.open(archive, "rb") as packed, open(partial, "wb") as out:
                shutil.copyfileobj(packed, out)
            os.replace(partial, unpacked)
            archive.unlink(missing_ok=True)

    return download


# CIFAR-10: pickled dictionaries


class _ArraysOnly(pickle.Unpickler):
    """A pickle may name any function to call: allow what arrays are made of."""

    def find_class(self, module: str, name: str) -> Any:
        array = module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        if (array and name in ("_reconstruct", "ndarray", "dtype")) or (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it wants to call {module}.{name}")


def read_cifar(name: str, folder: Path) -> tuple[Part, Part]:
    """Train and test part of CIFAR-10."""
    parts = [_cifar(name, folder / file) for file in CIFAR]
    train = torch.cat([images for images, _ in parts[:-1]]), torch.cat([labels for _, labels in parts[:-1]])
    return train, parts[-1]


def _cifar(name: str, path: Path) -> Part:
    try:
        with open(path, "rb") as file:
            table = _ArraysOnly(file, encoding="latin1").load()
        images = np.asarray(table["data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(table["labels"], dtype=np.int64).reshape(-1)
    except Exception as error:  # a damaged pickle may raise anything
        raise broken(name, path, str(error) or type(error).__name__) from None
    if len(images) != len(labels):
        raise broken(name, path, f"{len(images)} images do not fit {len(labels)} labels")
    return torch.from_numpy(images.copy()), torch.from_numpy(labels.copy())


def _download_cifar(aside: Path, report: Report) -> None:
    from torchvision.datasets import CIFAR10

    archive = aside / CIFAR10.filename
    if not archive.exists():
        fetch([CIFAR10.url], archive, CIFAR10.tgz_md5, report, f"Downloading {CIFAR10.filename}")
    with tarfile.open(archive) as tar:
        for member in tar:
            # by name, never by the path inside the archive
            file = os.path.basename(member.name)
            packed = tar.extractfile(member) if file in CIFAR else None
            if packed is not None:
                with packed, open(aside / file, "wb") as out:
                    shutil.copyfileobj(packed, out)


# SVHN: Matlab matrices


def read_svhn(name: str, folder: Path) -> tuple[Part, Part]:
    """Train and test part of SVHN; the class that it calls 10 is the digit 0."""
    return _svhn(name, folder / SVHN[0]), _svhn(name, folder / SVHN[1])


def _svhn(name: str, path: Path) -> Part:
    from scipy.io import loadmat

    try:
        table = loadmat(path)
        images = np.ascontiguousarray(np.asarray(table["X"], dtype=np.uint8).transpose(3, 2, 0, 1))
        labels = np.asarray(table["y"]).reshape(-1).astype(np.int64) % 10
        if images.shape[1:] != (3, 32, 32) or len(images) != len(labels):
            raise ValueError(f"{images.shape} images and {len(labels)} labels")
    except Exception as error:  # a damaged file may raise anything
        raise broken(name, path, str(error) or type(error).__name__) from None
    return torch.from_numpy(images), torch.from_numpy(labels)


def _download_svhn(aside: Path, report: Report) -> None:
    from torchvision.datasets import SVHN as known

    for number, part in enumerate(("train", "test"), 1):
        url, file, md5 = known.split_list[part]
        if not (aside / file).exists():
            fetch([url], aside / file, md5, report, f"Downloading {file} ({number} of 2)")


# CelebA: a folder of JPEGs, and tables


DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="


def read_celeba(name: str, folder: Path) -> list[tuple[str, int, bool]]:
    """Of CelebA's own training and validation split, every image's file name, whether it smiles, and whether it is
    for validation."""
    path = folder / CELEBA[1]
    try:
        part = dict(line.split() for line in path.read_text().splitlines() if line.strip())
        path = folder / CELEBA[2]
        lines = path.read_text().splitlines()
        column = lines[1].split().index("Smiling") + 1
        smiles = {row[0]: int(row[column]) > 0 for row in map(str.split, lines[2:]) if row}
        return [(file, int(smiles[file]), number == "1") for file, number in part.items() if number in ("0", "1")]
    except (OSError, ValueError, IndexError) as error:
        raise broken(name, path, str(error)) from None
    except KeyError as error:
        raise broken(name, path, f"it has no line for {error}") from None


def _download_celeba(aside: Path, report: Report) -> None:
    from torchvision.datasets import CelebA

    wanted = [(drive, md5, file) for drive, md5, file in CelebA.file_list if file in (f"{CELEBA[0]}.zip", *CELEBA[1:])]
    for number, (drive, md5, file) in enumerate(wanted, 1):
        if not (aside / file).exists():
            fetch([DRIVE + drive], aside / file, md5, report, f"Downloading {file} ({number} of {len(wanted)})")
    archive, what = aside / f"{CELEBA[0]}.zip", f"Unpacking {CELEBA[0]}.zip"
    folder = aside / CELEBA[0]
    folder.mkdir(exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [member for member in packed.infolist() if not member.is_dir()]
            for done, member in enumerate(members):
                if done % 2000 == 0:
                    report(Progress(what=what, done=done, total=len(members), unit="images"))
                with packed.open(member) as image, open(folder / os.path.basename(member.filename), "wb") as out:
                    shutil.copyfileobj(image, out)
            report(Progress(what=what, done=len(members), total=len(members), unit="images"))
    except zipfile.BadZipFile as error:
        archive.unlink(missing_ok=True)
        raise DataError(f"{archive.name}: {error}") from None


ORIGINS: dict[str, Origin] = {
    "mnist": Origin(_download_idx("MNIST")),
    "fashion-mnist": Origin(_download_idx("FashionMNIST")),
    "kmnist": Origin(_download_idx("KMNIST")),
    "cifar10": Origin(_download_cifar),
    "svhn": Origin(_download_svhn),
    "celeba": Origin(
        _download_celeba,
        " (Google Drive, where it is kept, refuses downloads after too many in a day: try again tomorrow)",
    ),
}
READERS: dict[str, Callable[[str, Path], tuple[Part, Part]]] = {
    "mnist": read_idx,
    "fashion-mnist": read_idx,
    "kmnist": read_idx,
    "cifar10": read_cifar,
    "svhn": read_svhn,
}
"""Readers of the sets that are small enough to be read whole: (dataset name, folder) → (train, test)."""
