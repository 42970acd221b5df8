"""Sets of images: the settings that they share, and how whole sets in memory are made ready, once, at loading.

Resizing, colour, limits and splits are the same for every set.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tui_gen import quantities
from tui_gen.model import DataSpec
from tui_gen.params import hyper
from tui_gen.train.data import keyed_random
from tui_gen.train.data.dataset import Dataset
from tui_gen.train.data.sources import (
    Augmentation,
    Data,
    DataError,
    Report,
    Resident,
    Source,
    free_memory,
    from_pixels,
)

Limit = Annotated[int, hyper("Use at most this many examples; 0 is all", ge=0, le=100_000_000)]
Validation = Annotated[float, hyper("Share held out, where the data brings no split of its own", ge=0, le=0.9)]
"""Settings that sets of every kind have."""

SMALLEST = 4
"""The smallest image, in pixels, that is worth asking for."""

CHUNK_BYTES = 64 << 20
"""Roughly how much float32 a resize works on at once."""


def resize(images: Tensor, size: int) -> Tensor:
    """(N, C, H, W) uint8 → (N, C, size, size) uint8, bicubic with antialiasing; centre-cropped to a square first."""
    height, width = images.shape[2:]
    if height != width:
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        images = images[:, :, top : top + short, left : left + short]
    if images.shape[-1] == size:
        return images
    each = max(1, CHUNK_BYTES // (4 * images.shape[1] * max(size, images.shape[-1]) ** 2))
    parts = []
    for part in images.split(each):
        out = functional.interpolate(
            part.float(), (size, size), mode="bicubic", antialias=True, align_corners=False
        )
        parts.append(out.round_().clamp_(0, 255).to(torch.uint8))
    return torch.cat(parts)


def recolour(images: Tensor, channels: str) -> Tensor:
    """uint8 images to `grey` (luma of ITU-R BT.601), `rgb`, or left as they are (`auto`)."""
    if channels == "rgb" and images.shape[1] == 1:
        return images.expand(-1, 3, -1, -1).contiguous()
    if channels == "grey" and images.shape[1] == 3:
        red, green, blue = (images[:, n].to(torch.int32) for n in range(3))
        # whole numbers, so that equal channels give exactly their own value back
        return ((299 * red + 587 * green + 114 * blue + 500) // 1000).to(torch.uint8)[:, None]
    return images


def spread(labels: Tensor | None, count: int, amount: int, purpose: str) -> Tensor:
    """`amount` of `count` positions, sorted: random but the same in every run, each class in proportion.

    The classes are laid end to end, each shuffled, and picked from at even distances.
    """
    order = torch.randperm(count, generator=keyed_random.generator(purpose, count))
    if labels is not None:
        order = order[torch.argsort(labels.cpu()[order], stable=True)]
    picks = ((torch.arange(amount, dtype=torch.float64) + 0.5) * (count / max(amount, 1))).long()
    return order[picks].sort().values


def limited(labels: Tensor | None, count: int, limit: int) -> Tensor:
    """The positions that `dataset.limit` keeps; all of them where it is 0 or not reached."""
    if not limit or limit >= count:
        return torch.arange(count)
    return spread(labels, count, limit, "limit")


def split(labels: Tensor | None, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Positions to train on and to validate with, disjoint and sorted, the same in every run whatever its seed.

    At least one example is held out when `share` is above 0 and there are two or more; at least one is trained on, and
    one of each class as long as another class can be held out in its place.
    """
    validation_count = min(max(round(count * share), 1), count - 1) if share > 0 else 0
    validation = spread(labels, count, validation_count, "validation")
    in_training = np.ones(count, dtype=bool)
    in_training[validation.numpy()] = False
    if labels is not None:
        _train_on_each(labels.cpu().numpy(), in_training)
    return torch.from_numpy(np.flatnonzero(in_training)), torch.from_numpy(np.flatnonzero(~in_training))


def _train_on_each(labels: np.ndarray, in_training: np.ndarray) -> None:
    """Swap examples where a class would be held out whole: one comes back for another of the most trained class."""
    for missing in np.setdiff1d(labels, labels[in_training]):
        names, counts = np.unique(labels[in_training], return_counts=True)
        if not len(counts) or counts.max() < 2:
            return
        most = names[counts.argmax()]
        in_training[np.flatnonzero((labels == most) & in_training)[0]] = False
        in_training[np.flatnonzero(labels == missing)[0]] = True


Part = tuple[Tensor, Tensor | None]
"""Images (N, C, H, W) uint8 with 1 or 3 channels, and labels (N,) int64 or None."""


class ImageConfig(msgspec.Struct):
    """What can be set about every set of images."""

    size: Annotated[int, hyper("Image height and width; 0 is the data's own", ge=0, le=512, unit="px")] = 0
    channels: Annotated[Literal["auto", "grey", "rgb"], hyper("Colour; auto is the data's own")] = "auto"
    limit: Limit = 0
    validation: Validation = 0.1
    flip: Annotated[bool, hyper("Augment: mirror left and right at random")] = False
    shift: Annotated[int, hyper("Augment: move by up to this many pixels", ge=0, le=64, unit="px")] = 0
    rotate: Annotated[float, hyper("Augment: turn by up to this angle", ge=0, le=180, unit="degrees")] = 0.0


class ImageSet(Dataset):
    """A set of images that `read` gives whole; limited, resized, recoloured, split and augmented as the settings say.

    Its `Config` has the fields of ImageConfig, and may have more.
    """

    kind = "image"
    black_ground: ClassVar[bool] = False
    """Whether what augmentation moves in from outside is black; else images are mirrored at their edges."""

    class Config(ImageConfig):
        """The settings of every set of images."""

    @property
    def size(self) -> int:
        """Height and width of the images, in pixels."""
        return self.config.size or self.default_size

    @property
    def augmentation(self) -> Augmentation:
        return Augmentation(self.config.flip, self.config.shift, self.config.rotate, self.black_ground)

    def read(self, report: Report) -> list[Part]:
        """All images: one part, of which some is held out, or two: what is trained on, what validates.

        They may be of any size, but of one; what is not square is cropped to the centre. Raises DataError.
        """
        raise TypeError(f"{type(self).__name__} must define read()")

    def check(self) -> None:
        super().check()
        if self.size < SMALLEST:
            raise DataError(
                f"dataset.size = {self.config.size}: the smallest image is {SMALLEST} px (0 is the data's own size)"
            )
        if self.config.shift >= self.size:
            raise DataError(f"dataset.shift = {self.config.shift}: must be less than the images' {self.size} px")

    def expected(self) -> DataSpec:
        channels = {"grey": 1, "rgb": 3}.get(self.config.channels, self.channels)
        return self.spec((channels, self.size, self.size), self.count, self.classes)

    def load(self, device: torch.device, *, seed: int, report: Report) -> Data:
        parts = self.read(report)
        ready: list[Part] = []
        for images, labels in parts if self.config.validation else parts[:1]:
            rows = limited(labels, len(images), self.config.limit)
            if len(rows) < len(images):
                images, labels = images[rows], None if labels is None else labels[rows]
            ready.append((self._prepared(images, device), labels))
        images, labels = ready[0]
        if len(parts) > 1:
            first, *rest = (Resident(*part, device) for part in ready)
            return self.data(images.shape[1:], first, rest[0] if rest else None)
        training, validation = split(labels, len(images), self.config.validation)
        first, *rest = (
            Resident(images[rows.to(device)], None if labels is None else labels[rows], device)
            for rows in (training, validation)
            if len(rows)
        )
        return self.data(images.shape[1:], first, rest[0] if rest else None)

    def data(
        self,
        shape: tuple[int, ...],
        train: Source,
        validation: Source | None = None,
        classes: list[str] | None = None,
    ) -> Data:
        """The dataset made of these sources of images of a shape, whose labels count `classes`, or the class's own."""
        return Data(self.spec(shape, train.count, self.classes if classes is None else classes), train, validation)

    def stored(
        self,
        pixels: np.ndarray,
        labels: Tensor | None,
        train_rows: Tensor,
        validation_rows: Tensor,
        device: torch.device,
        classes: list[str] | None = None,
    ) -> Data:
        """The dataset made of rows of an array on the disk (N, C, S, S) uint8; `labels` belong to the whole array."""
        validation = from_pixels(pixels, validation_rows, labels, device) if len(validation_rows) else None
        return self.data(pixels.shape[1:], from_pixels(pixels, train_rows, labels, device), validation, classes)

    def _prepared(self, images: Tensor, device: torch.device) -> Tensor:
        size = self.config.size or min(images.shape[2:])
        depth = {"grey": 1, "rgb": 3}.get(self.config.channels, images.shape[1])
        need, free = len(images) * depth * size * size, free_memory(device)
        if 2 * need > free:
            raise DataError(
                f"{self.name} at dataset.size = {size} would take {quantities.size(need)} of the "
                f"{quantities.size(free)} free on the device; choose a smaller dataset.size, or fewer examples with "
                "dataset.limit"
            )
        return resize(recolour(images.to(device), self.config.channels), size)
