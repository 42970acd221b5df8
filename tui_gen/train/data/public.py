"""Public image sets that torchvision knows, in the layout in which torchvision keeps them.

The files are read straight into uint8 tensors. torchvision itself, slow to import, is needed only to download: its
classes know the addresses and digests.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, ClassVar

from tui_gen.datasets import Files, downloaded, not_there
from tui_gen.events import Note
from tui_gen.params import hyper
from tui_gen.places import cache_dir
from tui_gen.train.data import locks
from tui_gen.train.data.images import ImageConfig, ImageSet, Part
from tui_gen.train.data.sources import DataError, Report


class PublicSet(ImageSet):
    """A set whose `files` are found below `root`, or downloaded into the cache folder where nobody names one."""

    files: ClassVar[Files]
    advice: ClassVar[str] = ""
    """What to do where the download fails, beside what is said of every set."""

    class Config(ImageConfig):
        """The settings of every set of images, and where the files are."""

        root: Annotated[str, hyper("Folder of an existing copy of the dataset; empty is to download it")] = ""

    def download(self, aside: Path, report: Report) -> None:
        """Fetch the files into a folder, where those that an earlier attempt finished may be. Raises DataError."""
        raise TypeError(f"{type(self).__name__} must define download()")

    def parts(self, folder: Path) -> list[Part]:
        """The part to train on and the part to validate with, of the files in a folder. Raises DataError."""
        raise TypeError(f"{type(self).__name__} must define parts()")

    def read(self, report: Report) -> list[Part]:
        folder = self.locate(report)
        parts = self.parts(folder)
        for _, labels in parts if self.config.validation else parts[:1]:
            assert labels is not None
            if int(labels.min()) < 0 or int(labels.max()) >= len(self.classes):
                raise self.broken(folder, f"it has labels other than 0 to {len(self.classes) - 1}")
        return parts

    def locate(self, report: Report) -> Path:
        """The folder with the files of a dataset, downloaded into the cache folder where `root` is empty.

        Raises DataError that says which files are missing where, or why they could not be fetched, and what to do.
        """
        layout, title, root = self.files, self.title, self.config.root
        first_file = os.path.join(layout.places[0], layout.files[0])
        if root:
            folder = layout.find(Path(os.path.expanduser(root)))
            if folder is None:
                why, remedy = not_there(title, layout, root)
                raise DataError(f"{title}: dataset.root = {root} {why}; {remedy}")
            return folder
        base = downloaded()
        folder = layout.find(base)
        if folder is not None:
            return folder
        place = base / layout.places[0]
        try:
            base.mkdir(parents=True, exist_ok=True)
            with locks.only_one(base / f".{self.name}.lock", f"downloading {title}", report):
                if layout.find(base) is None:
                    self._fetch(base, place, report)
        except DataError as error:
            raise DataError(
                f"{title} could not be downloaded:\n  " + str(error).replace("\n", "\n  ") + "\n"
                f"Check the network and start again{self.advice}; or copy its files into {place} "
                f"({', '.join(layout.files)}); or set dataset.root to a folder that has {first_file}."
            ) from None
        except OSError as error:
            raise DataError(
                f"{title} could not be downloaded: {error.filename or base}: {error.strerror or error}. Make room or "
                "make it writable, set XDG_CACHE_HOME to another disk, or set dataset.root to a folder that has "
                f"{first_file}."
            ) from None
        folder = layout.find(base)
        if folder is None:
            raise DataError(f"{title}: {place} still lacks files after the download; delete it and start again")
        return folder

    def broken(self, path: Path, why: str) -> DataError:
        """The error for a file that is there but cannot be right."""
        again = "delete it and start again" if path.is_relative_to(cache_dir()) else "replace it with a good copy"
        return DataError(f"{self.title}: {path} is damaged ({why}); {again}")

    def _fetch(self, base: Path, place: Path, report: Report) -> None:
        """Fetch into a folder aside, whose finished files a later attempt uses; move what is complete into place."""
        report(Note(text=f"{self.title} is not in {place} yet: downloading it"))
        aside = base / f".{self.name}.partial"
        aside.mkdir(exist_ok=True)
        for leftover in aside.glob("*.part-*"):  # by a download that was killed
            leftover.unlink(missing_ok=True)
        self.download(aside, report)
        place.mkdir(parents=True, exist_ok=True)
        for file in self.files.files:
            if (place / file).is_dir():
                shutil.rmtree(place / file)
            os.replace(aside / file, place / file)
        shutil.rmtree(aside, ignore_errors=True)
        report(Note(text=f"{self.title} is in {place}"))
