"""A directory of images of one's own."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import torch

from tui_gen.events import Note
from tui_gen.model import DataSpec
from tui_gen.params import hyper
from tui_gen.train.data.images import ImageConfig, ImageSet, limited, split
from tui_gen.train.data.sources import Data, DataError, Report


class Folder(ImageSet):
    """Every picture in a folder, decoded once into the cache; its sub-folders are the classes, or the split."""

    name = "folder"
    title = "Folder of images"
    summary = (
        "Your own images: every picture in the folder `dataset.root`, or one sub-folder per class; sub-folders called "
        "train and val (or test) are used as the split. Colour profiles are converted to sRGB; pixels of more than 8 "
        "bits get one range for the whole set, which is said. Images are resized by the shorter side, cropped to the "
        "centre and kept in the cache folder, so only the first start takes long."
    )
    default_size = 64
    channels = 3
    reads = "folder"
    labelling = "give it a sub-folder for each class"
    rank = 130

    class Config(ImageConfig):
        """The settings of every set of images, and where these are."""

        root: Annotated[str, hyper("Folder of images")] = ""

    def expected(self) -> DataSpec:
        # its classes are known only once it is read: assume there are some
        return msgspec.structs.replace(super().expected(), classes=("a", "b"))

    def load(self, device: torch.device, *, seed: int, report: Report) -> Data:
        from tui_gen.train.data import cache, folders

        root = Path(os.path.expanduser(self.config.root))
        tree = folders.scan(root, report)
        classes = tree.classes
        files = []
        apart = tree.validation if self.config.validation and tree.validation else []
        for place, of_part in enumerate((tree.train, apart)):
            labels = torch.tensor([file.label for file in of_part]) if classes else None
            rows = limited(labels, len(of_part), self.config.limit).tolist()
            files += [replace(of_part[row], label=2 * max(of_part[row].label, 0) + place) for row in rows]
        images = cache.decoded(root, files, self.size, self.config.channels, report)
        codes = torch.from_numpy(images.labels)
        own, is_held = codes // 2, codes % 2 == 1
        if is_held.all():
            raise DataError(f"dataset.root = {root}: none of the images to train on can be read")
        labels = None
        if classes:
            # a class of which nothing can be trained on is no class
            present = own[~is_held].unique()
            usable = torch.isin(own, present)
            if missing := [name for index, name in enumerate(classes) if index not in present]:
                words = f"{root}: nothing to train on of {', '.join(missing[: folders.MOST_NAMES])}"
                more = f" and {len(missing) - folders.MOST_NAMES} more" if len(missing) > folders.MOST_NAMES else ""
                report(Note(level="warning", text=f"{words}{more}: left out"))
            classes, labels = [classes[index] for index in present], torch.searchsorted(present, own)
            labels[~usable] = -1
        else:
            usable = torch.ones_like(is_held)
        if tree.validation is None:
            training, validation = split(labels, len(codes), self.config.validation)
        else:
            training, validation = (~is_held).nonzero().flatten(), (is_held & usable).nonzero().flatten()
        return self.stored(images.pixels, labels, training, validation, device, classes)
