"""From a `[dataset]` table to `Data`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tui_gen.config import DatasetConfig
from tui_gen.datasets import DATASETS, DatasetEntry
from tui_gen.events import Event, Note
from tui_gen.model import DataSpec
from tui_gen.params import nearest
from tui_gen.train.data import draws
from tui_gen.train.data import text as texts
from tui_gen.train.data.images import limited, recolour, resize, split
from tui_gen.train.data.sources import Data, DataError, Procedural, Report, Resident, Source, free_memory, from_pixels

SMALLEST = 4
"""The smallest image, in pixels, that is worth asking for."""

VALIDATION_IMAGES, VALIDATION_POINTS, VALIDATION_BYTES = 1024, 8192, 64 << 20
"""How many endless examples make the fixed validation split: fewer, but 64 at least, where images are large."""


def _silent(event: Event) -> None:
    """Where nobody wants to hear of progress."""


def load(config: DatasetConfig, device: torch.device, *, seed: int, report: Report = _silent) -> Data:
    """The dataset that a config asks for, ready on `device`.

    `seed` decides what endless datasets make; which examples `limit` and the validation split take is the same for
    every seed, so that runs can be compared. Downloads and decodes where needed, with `Progress` and `Note` events to
    `report`. `limit` counts for each part of a dataset that brings its own split. `validation = 0` leaves
    `Data.validation` None even there.
    Raises DataError, with what to do, when the data cannot be used.
    """
    device = torch.device(device)
    entry = DATASETS.get(config.name)
    if entry is None:
        hint = nearest(config.name, DATASETS) or f"known: {', '.join(DATASETS)}"
        raise DataError(f"dataset.name = {config.name}: no such dataset ({hint})")
    _check(config, entry, report)
    if entry.kind == "text":
        data = texts.load(config, device, seed)
    elif entry.kind == "points":
        data = _points(config, entry, device, seed)
    elif config.name == "shapes":
        data = _shapes(config, entry, device, seed)
    elif config.name == "digits":
        data = _digits(config, entry, device)
    elif config.name == "folder":
        data = _folder(config, device, report)
    elif config.name == "celeba":
        data = _celeba(config, entry, device, report)
    else:
        data = _standard(config, entry, device, report)
    report(Note(text=_words(data)))
    return data


def _check(config: DatasetConfig, entry: DatasetEntry, report: Report) -> None:
    size = config.size or entry.default_size
    if config.root and not (entry.needs_root or entry.downloads):
        report(Note(level="warning", text=f"{entry.name} reads no files: dataset.root does nothing"))
    if entry.kind != "image":
        given = [key for key in ("size", "flip", "shift", "rotate") if getattr(config, key)]
        given += ["channels"] if config.channels != "auto" else []
        if given:
            keys = ", ".join(f"dataset.{key}" for key in given)
            words = f"{entry.name} is made of {entry.kind}, not images: {keys} does nothing"
            report(Note(level="warning", text=words))
        if entry.kind == "text" and entry.needs_root and not config.root:
            raise DataError(f"dataset.root is missing: {entry.name} reads a text file; set it to that file's path")
        return
    if size < SMALLEST:
        raise DataError(f"dataset.size = {config.size}: the smallest image is {SMALLEST} px (0 is the data's own size)")
    if config.shift >= size:
        raise DataError(f"dataset.shift = {config.shift}: must be less than the images' {size} px")
    if entry.needs_root and not config.root:
        raise DataError(f"dataset.root is missing: {entry.name} reads a folder; set it to that folder's path")


def _words(data: Data) -> str:
    spec = data.spec
    if spec.kind == "points":
        what = "2-D points"
    elif spec.kind == "text":
        held = "nothing" if data.validation is None else f"{data.validation.count:,} windows"
        return (
            f"{spec.name}: text of about {(spec.count or 0) * (spec.shape[0] - 1):,} characters, "
            f"{len(spec.classes)} different ones, in windows of {spec.shape[0] - 1}; {held} to validate"
        )
    else:
        what = f"{'grey' if spec.channels == 1 else 'RGB'} images of {spec.size}×{spec.size}"
    count = "endless" if data.train.count is None else f"{data.train.count:,}"
    held = "nothing held out" if data.validation is None else f"{data.validation.count:,} to validate"
    labels = f", {len(spec.classes)} classes" if spec.classes else ""
    where = ", read from the disk as needed" if data.train.slow else ""
    return f"{spec.name}: {count} {what}{labels}; {held}{where}"


def _spec(name: str, train: Source, shape: tuple[int, ...], classes: list[str], kind: str = "image") -> DataSpec:
    return DataSpec(name=name, kind=kind, shape=shape, classes=tuple(classes), count=train.count)


Maker = Callable[[int], Callable[[Tensor], tuple[Tensor, Tensor | None]]]


def _endless(
    config: DatasetConfig, make: Maker, held: int, device: torch.device, seed: int
) -> tuple[Source, Source | None]:
    train = Procedural(make(draws.key(config.name, seed, "train")), device, config.limit or None)
    if not config.validation:
        return train, None
    fixed = Procedural(make(draws.key(config.name, "validation")), device, held)
    examples, labels = fixed.take(torch.arange(held, device=device))
    return train, Resident(examples, labels, device)


def _points(config: DatasetConfig, entry: DatasetEntry, device: torch.device, seed: int) -> Data:
    from tui_gen.train.data.points import Points

    def make(key: int) -> Points:
        return Points(config.name, config.noise, key, device)

    train, validation = _endless(config, make, VALIDATION_POINTS, device, seed)
    return Data(_spec(config.name, train, (2,), entry.classes, "points"), train, validation)


def _shapes(config: DatasetConfig, entry: DatasetEntry, device: torch.device, seed: int) -> Data:
    from tui_gen.train.data.shapes import Shapes

    size, channels = config.size or entry.default_size, 1 if config.channels == "grey" else 3

    def make(key: int) -> Shapes:
        return Shapes(size, channels, key, device)

    held = min(VALIDATION_IMAGES, max(64, VALIDATION_BYTES // (channels * size * size)))
    train, validation = _endless(config, make, held, device, seed)
    return Data(_spec(config.name, train, (channels, size, size), entry.classes), train, validation)


def _prepare(images: Tensor, config: DatasetConfig, device: torch.device) -> Tensor:
    size = config.size or min(images.shape[2:])
    depth = {"grey": 1, "rgb": 3}.get(config.channels, images.shape[1])
    needed, free = len(images) * depth * size * size, free_memory(device)
    if 2 * needed > free:
        raise DataError(
            f"{config.name} at dataset.size = {size} would take {needed / 1e9:.1f} GB of the {free / 1e9:.1f} GB free "
            "on the device; choose a smaller dataset.size, or fewer examples with dataset.limit"
        )
    return resize(recolour(images.to(device), config.channels), size)


def _digits(config: DatasetConfig, entry: DatasetEntry, device: torch.device) -> Data:
    from tui_gen.train.data import digits

    images, labels = digits.read()
    rows = limited(labels, len(images), config.limit)
    images, labels = _prepare(images[rows], config, device), labels[rows]
    kept, held = split(labels, len(rows), config.validation)
    train = Resident(images[kept.to(device)], labels[kept], device)
    validation = Resident(images[held.to(device)], labels[held], device) if len(held) else None
    return Data(_spec(config.name, train, tuple(images.shape[1:]), entry.classes), train, validation)


def _standard(config: DatasetConfig, entry: DatasetEntry, device: torch.device, report: Report) -> Data:
    from tui_gen.train.data import standard

    folder = standard.locate(config.name, config.root, report)
    parts = standard.READERS[config.name](config.name, folder)
    sources = []
    for images, labels in parts if config.validation else parts[:1]:
        if int(labels.min()) < 0 or int(labels.max()) >= len(entry.classes):
            raise standard.broken(config.name, folder, f"it has labels other than 0 to {len(entry.classes) - 1}")
        rows = limited(labels, len(images), config.limit)
        images, labels = (images, labels) if len(rows) == len(images) else (images[rows], labels[rows])
        sources.append(Resident(_prepare(images, config, device), labels, device))
    train = sources[0]
    spec = _spec(config.name, train, tuple(train.examples.shape[1:]), entry.classes)
    return Data(spec, train, sources[1] if len(sources) > 1 else None)


def _folder(config: DatasetConfig, device: torch.device, report: Report) -> Data:
    from tui_gen.train.data import cache, folder

    root = Path(os.path.expanduser(config.root))
    listed = folder.scan(root, report)
    classes = listed.classes
    files = []
    for is_held, of_part in enumerate((listed.train, listed.held if config.validation and listed.held else [])):
        labels = torch.tensor([file.label for file in of_part]) if classes else None
        rows = limited(labels, len(of_part), config.limit).tolist()
        files += [replace(of_part[row], label=2 * max(of_part[row].label, 0) + is_held) for row in rows]
    found = cache.decoded(root, files, config.size or DATASETS["folder"].default_size, config.channels, report)
    codes = torch.from_numpy(found.labels)
    own, is_held = codes // 2, codes % 2 == 1
    if is_held.all():
        raise DataError(f"dataset.root = {root}: none of the images to train on can be read")
    labels = None
    if classes:
        # a class of which nothing can be trained on is no class
        present = own[~is_held].unique()
        usable = torch.isin(own, present)
        if gone := [name for index, name in enumerate(classes) if index not in present]:
            words = f"{root}: nothing to train on of {', '.join(gone[: folder.NAMED])}"
            more = f" and {len(gone) - folder.NAMED} more" if len(gone) > folder.NAMED else ""
            report(Note(level="warning", text=f"{words}{more}: left out"))
        classes, labels = [classes[index] for index in present], torch.searchsorted(present, own)
        labels[~usable] = -1
    else:
        usable = torch.ones_like(is_held)
    if listed.held is None:
        kept, held = split(labels, len(codes), config.validation)
    else:
        kept, held = (~is_held).nonzero().flatten(), (is_held & usable).nonzero().flatten()
    return _stored("folder", found.pixels, labels, kept, held, classes, device)


def _celeba(config: DatasetConfig, entry: DatasetEntry, device: torch.device, report: Report) -> Data:
    from tui_gen.train.data import cache, standard

    place = standard.locate(config.name, config.root, report)
    listed = standard.read_celeba(config.name, place)
    root = place / standard.CELEBA[0]
    parts = []
    for wanted in (False, True) if config.validation else (False,):
        of_part = [(name, smiles) for name, smiles, is_held in listed if is_held == wanted]
        rows = limited(torch.tensor([smiles for _, smiles in of_part]), len(of_part), config.limit).tolist()
        parts += [(of_part[row][0], 2 * of_part[row][1] + wanted) for row in rows]
    files = []
    for name, label in parts:
        try:
            status = (root / name).stat()
            files.append(cache.ImageFile(name, status.st_size, status.st_mtime_ns, label))
        except OSError:  # reading it will say so, by name
            files.append(cache.ImageFile(name, -1, 0, label))
    if not files:
        raise standard.broken(config.name, place / standard.CELEBA[1], "it lists no images to train on")
    found = cache.decoded(root, files, config.size or entry.default_size, config.channels, report)
    codes = torch.from_numpy(found.labels)
    kept, held = ((codes % 2 == part).nonzero().flatten() for part in (0, 1))
    return _stored(config.name, found.pixels, codes // 2, kept, held, entry.classes, device)


def _stored(
    name: str,
    pixels: np.ndarray,
    labels: Tensor | None,
    kept: Tensor,
    held: Tensor,
    classes: list[str],
    device: torch.device,
) -> Data:
    train = from_pixels(pixels, kept, labels, device)
    validation = from_pixels(pixels, held, labels, device) if len(held) else None
    return Data(_spec(name, train, tuple(pixels.shape[1:]), classes), train, validation)
