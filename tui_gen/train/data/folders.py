"""A directory of images: finding them, which class each belongs to, and which are held out."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tui_gen.events import Note
from tui_gen.train.data.cache import ImageFile
from tui_gen.train.data.decode import ENDING_ADVICE, EXTENSIONS, PLUGINS, with_plugins
from tui_gen.train.data.sources import DataError, Report

NO_CLASSES = {"@eadir", "lost+found", "__macosx", "#recycle", "#snapshot", "$recycle.bin", "system volume information"}
"""Folders that file systems, storage boxes and archivers leave behind."""

SPLITS = {
    "train": ("train", "training", "trn", "trainset"),
    "validation": ("val", "valid", "validation", "dev", "valset"),
    "test": ("test", "testing", "tst", "testset"),
}
"""The parts of a set, and a word that the names of their folders have: `train`, `images_train`, `train2017`."""
WORDS = re.compile(r"[^\W\d_]+|\d+")

MOST_NAMES = 5
"""Names that a line about many gives."""


@dataclass
class ImageFolder:
    """`train` and, where the folders make a split, `validation` images; `classes` that labels count, empty for none.

    `validation` is None where the folder makes no split of its own.
    """

    train: list[ImageFile]
    validation: list[ImageFile] | None
    classes: list[str]


def scan(root: Path, report: Report) -> ImageFolder:
    """Every image below `root`, sorted.

    One sub-folder per class (with folders inside it, if there are any, belonging to it); images directly in `root`
    have no class, and neither have those in its only sub-folder. A folder that holds nothing but one folder is seen
    through. Sub-folders called train and val (or test), or such within those of all classes, are the set's own split.
    Symbolic links are followed, each folder visited once; hidden files and what file systems leave behind are left
    out. What is done on the strength of names, and image files that are not read, is told. Raises DataError where
    there are no images.
    """
    if not root.exists():
        raise DataError(f"dataset.root = {root}: there is no such folder")
    if not root.is_dir():
        raise DataError(f"dataset.root = {root}: is a file, not a folder of images")
    walk = _Walk(report)
    walk.through(root)
    warning = walk.words()
    if not walk.files:
        kinds = " ".join(sorted(EXTENSIONS))
        more = f"; {warning}" if warning else ""
        words = f"no images in it or its sub-folders (files that count: {kinds}){more}"
        raise DataError(f"dataset.root = {root}: {words}")
    if warning:
        report(Note(level="warning", text=f"{root}: {warning}"))
    return _arranged(root, sorted(walk.files), report)


Entry = tuple[str, int, int]
"""A file's path below the root, its size, and when it was changed."""


def _arranged(root: Path, files: list[Entry], report: Report) -> ImageFolder:
    files, above = _seen_through(root, files, report)
    tops = sorted({_top(name) for name, _, _ in files})
    if parts := _parts(tops):
        return _split(root, above, files, parts, report, lambda name: (_top(name), _top(_below(name))))
    if "" not in tops and (parts := _parts_of_each(files, tops)):
        return _split(root, above, files, parts, report, lambda name: (_top(_below(name)), _top(name)))
    if "" in tops and len(tops) > 1:
        report(Note(level="warning", text=f"{root} has images both in it and in sub-folders: they get no labels"))
    classes = [] if "" in tops or len(tops) == 1 else tops
    numbers = {name: index for index, name in enumerate(classes)}
    return ImageFolder([_image(above, file, numbers.get(_top(file[0]), -1)) for file in files], None, classes)


def _parts(folders: list[str]) -> dict[str, list[str]]:
    """The folders of each part, where some make a split: alike but for a word for the part; empty where none do."""
    alike: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for folder in folders:
        words = WORDS.findall(folder.lower())
        matches = [(place, part) for place, word in enumerate(words) for part, names in SPLITS.items() if word in names]
        if len(matches) == 1:
            place, part = matches[0]
            group = alike.setdefault((*words[:place], *words[place + 1 :]), {part: [] for part in SPLITS})
            group[part].append(folder)
    splits = [group for group in alike.values() if group["train"] and (group["validation"] or group["test"])]
    return {part: [folder for group in splits for folder in group[part]] for part in SPLITS} if splits else {}


def _parts_of_each(files: list[Entry], classes: list[str]) -> dict[str, list[str]]:
    """The same for folders within those of the classes, where every class has its own `train`; else empty."""
    within: dict[str, set[str]] = {one: set() for one in classes}
    for name, _, _ in files:
        within[_top(name)].add(_top(_below(name)))
    parts = _parts(sorted(set().union(*within.values())))
    return parts if parts and all(inner.intersection(parts["train"]) for inner in within.values()) else {}


def _below(name: str) -> str:
    """A relative path without its first folder."""
    return name.split(os.sep, 1)[1]


def _seen_through(root: Path, files: list[Entry], report: Report) -> tuple[list[Entry], str]:
    """The files with their paths below the folder that has more in it than one folder, and that folder's path."""
    above = ""
    while True:
        tops = {_top(name) for name, _, _ in files}
        inner = {_top(name.split(os.sep, 1)[1]) for name, _, _ in files if os.sep in name}
        if len(tops) != 1 or "" in tops or inner == {""}:
            break
        top = tops.pop()
        above = os.path.join(above, top)
        files = [(name.split(os.sep, 1)[1], size, mtime) for name, size, mtime in files]
    if above:
        report(Note(text=f"{root} holds nothing but the folder {above}: what is in that is used"))
    return files, above


def _split(
    root: Path, above: str, files: list[Entry], parts: dict[str, list[str]], report: Report,
    placed: Callable[[str], tuple[str, str]],
) -> ImageFolder:  # fmt: skip
    """The set's own split: trained on `train`, held out `val` (or `test` where there is no other).

    `placed` tells the folder of the part and that of the class in which a file is, by its path.
    """
    validation_part = "validation" if parts["validation"] else "test"
    words = f"{', '.join(parts['train'])} is trained on, {', '.join(parts[validation_part])} validates"
    if validation_part == "validation" and parts["test"]:
        words += f", {', '.join(parts['test'])} is left alone"
    report(Note(text=f"{root} has a split of its own: {words}"))
    split_tops = {top for tops in parts.values() for top in tops}
    places = {placed(name)[0] if os.sep in name else "" for name, _, _ in files}
    if others := sorted(place or "(images beside them)" for place in places - split_tops):
        report(Note(level="warning", text=f"{root}: left out beside that split: {_names(others)}"))

    train, validation = (
        [file for file in files if os.sep in file[0] and placed(file[0])[0] in parts[part]]
        for part in ("train", validation_part)
    )
    tops = sorted({placed(name)[1] for name, _, _ in train})
    classes = [] if "" in tops or len(tops) == 1 else tops
    strange = sorted({placed(name)[1] for name, _, _ in validation} - set(tops)) if classes else []
    if strange:
        words = f"left out of {', '.join(parts[validation_part])}, as train has no such class: {_names(strange)}"
        report(Note(level="warning", text=f"{root}: {words}"))
        validation = [file for file in validation if placed(file[0])[1] not in strange]
    numbers = {name: index for index, name in enumerate(classes)}
    train_images, validation_images = (
        [_image(above, file, numbers.get(placed(file[0])[1], -1)) for file in some] for some in (train, validation)
    )
    return ImageFolder(train_images, validation_images, classes)


def _image(above: str, file: Entry, label: int) -> ImageFile:
    name, size, mtime = file
    return ImageFile(os.path.join(above, name), size, mtime, label)


def _top(name: str) -> str:
    """The first folder of a relative path; empty for a file that is in none."""
    return name.split(os.sep, 1)[0] if os.sep in name else ""


def _names(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


class _Walk:
    """The image files below a folder, and how many files of kinds that are not read."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.files: list[Entry] = []
        self.unread_counts: Counter[str] = Counter()
        self._endings = EXTENSIONS

    def through(self, root: Path) -> None:
        """Visit every folder once, the real one before links to it, which else would rename a class."""
        folders = [(root, "")]
        links: list[tuple[Path, str]] = []
        visited: set[tuple[int, int]] = set()
        while folders or links:
            folder, relative = folders.pop() if folders else links.pop(0)
            try:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in visited:
                    continue  # a link back to where we have been
                visited.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as iterator:
                    entries = sorted(iterator, key=lambda entry: entry.name)
            except OSError as error:
                if not relative:
                    raise DataError(f"dataset.root = {folder}: {error.strerror or error}") from None
                self.report(Note(level="warning", text=f"{folder}: {error.strerror or error}; left out"))
                continue
            for entry in entries:
                if not entry.name.startswith("."):
                    name = os.path.join(relative, entry.name)
                    if not self._file(entry, name) and entry.name.lower() not in NO_CLASSES:
                        (links if entry.is_symlink() else folders).append((Path(entry.path), name))

    def _file(self, entry: os.DirEntry[str], name: str) -> bool:
        """Take a file, whatever it is; False for a folder."""
        try:
            if entry.is_dir():
                return False
            ending = os.path.splitext(entry.name)[1].lower()
            if ending in PLUGINS and ending not in self._endings and ending not in self.unread_counts:
                self._endings = self._endings | with_plugins({ending})
            if ending in self._endings:
                status = entry.stat()
                if not stat.S_ISREG(status.st_mode):
                    return True  # a pipe or a device: whoever reads it may wait for ever
                self.files.append((name, status.st_size, status.st_mtime_ns))
            elif ending in ENDING_ADVICE:
                self.unread_counts[ending] += 1
        except OSError:
            self.files.append((name, -1, 0))  # a dangling link: reading it will say so
        return True

    def words(self) -> str:
        """One line about the files of kinds that are not read; empty where there are none."""
        by_advice: dict[str, list[str]] = {}
        for ending, count in self.unread_counts.most_common():
            by_advice.setdefault(ENDING_ADVICE[ending], []).append(f"{count:,} {ending}")
        details = "; ".join(f"{', '.join(counts)} ({advice})" for advice, counts in by_advice.items())
        return f"left out, as they are not read: {details}" if details else ""
