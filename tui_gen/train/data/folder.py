"""A directory of images: finding them, and which class each belongs to."""

from __future__ import annotations

import os
from pathlib import Path

from tui_gen.events import Note
from tui_gen.train.data.cache import ImageFile
from tui_gen.train.data.decode import EXTENSIONS
from tui_gen.train.data.sources import DataError, Report


def scan(root: Path, report: Report) -> tuple[list[ImageFile], list[str]]:
    """Every image below `root`, sorted, and the classes that their labels count.

    One sub-folder per class (with folders inside it, if there are any, belonging to it); images directly in `root`
    have no class, and neither have those in its only sub-folder. Symbolic links are followed, each folder visited
    once; hidden files and folders are left out. Raises DataError where there are none.
    """
    if not root.exists():
        raise DataError(f"dataset.root = {root}: there is no such folder")
    if not root.is_dir():
        raise DataError(f"dataset.root = {root}: is a file, not a folder of images")
    found: list[tuple[str, int, int]] = []
    _walk(root, found, report)
    if not found:
        kinds = " ".join(sorted(EXTENSIONS))
        raise DataError(f"dataset.root = {root}: no images in it or its sub-folders (files that count: {kinds})")
    found.sort()
    tops = [relative.split(os.sep, 1)[0] if os.sep in relative else "" for relative, _, _ in found]
    classes = sorted(set(tops))
    if "" in classes and len(classes) > 1:
        report(Note(level="warning", text=f"{root} has images both in it and in sub-folders: they get no labels"))
    if "" in classes or len(classes) == 1:
        return [ImageFile(*file) for file in found], []
    number = {name: index for index, name in enumerate(classes)}
    return [ImageFile(*file, label=number[top]) for file, top in zip(found, tops)], classes


def _walk(root: Path, found: list[tuple[str, int, int]], report: Report) -> None:
    pending = [(root, "")]
    seen: set[tuple[int, int]] = set()
    while pending:
        folder, relative = pending.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue  # a link back to where we have been
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            if not relative:
                raise DataError(f"dataset.root = {folder}: {error.strerror or error}") from None
            report(Note(level="warning", text=f"{folder}: {error.strerror or error}; left out"))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = os.path.join(relative, entry.name)
            try:
                if entry.is_dir():
                    pending.append((Path(entry.path), name))
                elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                    status = entry.stat()
                    found.append((name, status.st_size, status.st_mtime_ns))
            except OSError:
                found.append((name, -1, 0))  # a dangling link: reading it will say so
