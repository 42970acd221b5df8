"""Decoded images kept as one uint8 array: built once with progress, found again by what it was built from.

    ~/.cache/tui-gen/folders/KEY/pixels.npy   (N, C, size, size) uint8
    ~/.cache/tui-gen/folders/KEY/labels.npy   (N,) int64, -1 where there are no classes
    ~/.cache/tui-gen/folders/KEY/about.json   where from, and what could not be read

A folder KEY is complete: it is built aside, synced, and renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from tui_gen.catalog import cache_dir
from tui_gen.events import Note, Progress
from tui_gen.train.data import locks
from tui_gen.train.data.decode import decode, is_grey
from tui_gen.train.data.sources import DataError, Report

VERSION = 1
"""Part of every key: raise it when decoding changes."""

PART = 16
"""Images that a decoding thread takes at once."""

NAMED = 20
"""Unreadable images that the log names one by one."""

EVERY = 0.2
"""Seconds between progress events."""


@dataclass(frozen=True)
class ImageFile:
    """An image to be read: its path below the root, and what tells that it has changed."""

    relative: str
    size: int
    modified: int
    label: int = -1


@dataclass
class Decoded:
    """`pixels` (N, C, S, S) uint8 (a read-only map of the cache, or memory), `labels` (N,), names not read → why."""

    pixels: np.ndarray
    labels: np.ndarray
    skipped: list[tuple[str, str]]


def decoded(root: Path, files: list[ImageFile], size: int, channels: str, report: Report) -> Decoded:
    """The images, from the cache or into it; where the cache cannot be written, in memory with a note.

    `channels` is `grey`, `rgb`, or `auto`: grey if every readable image is. Raises DataError when none can be read.
    """
    key = key_of(root, files, size, channels)
    place = cache_dir() / "folders" / key
    found = _open(place)
    if found is None:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with locks.only_one(place.with_name(f"{key}.lock"), f"reading the images of {root}", report) as alone:
                found = _open(place)
                if found is None:
                    found = _build(place, root, files, size, channels, report, alone)
        except OSError as error:
            text = f"{place.parent} cannot be used ({error.strerror or error}): the images are read anew at every start"
            report(Note(level="warning", text=text))
            found = _in_memory(root, files, size, channels, report)
    _tell_skipped(root, found, report)
    return found


def key_of(root: Path, files: list[ImageFile], size: int, channels: str) -> str:
    """A digest of where the files are, their names, sizes, times and labels, and of the settings."""
    digest = hashlib.sha256(f"{VERSION}\n{size}\n{channels}\n".encode())
    digest.update(os.fsencode(root.resolve()))
    for file in files:
        digest.update(f"\n{file.size} {file.modified} {file.label} ".encode() + os.fsencode(file.relative))
    return digest.hexdigest()[:24]


def _open(place: Path) -> Decoded | None:
    try:
        pixels = np.load(place / "pixels.npy", mmap_mode="r")
        labels = np.load(place / "labels.npy")
        about = json.loads((place / "about.json").read_text(encoding="utf-8"))
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or len(pixels) != len(labels):
            return None
        return Decoded(pixels, labels, [(str(name), str(why)) for name, why in about["skipped"]])
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None


def _build(
    place: Path, root: Path, files: list[ImageFile], size: int, channels: str, report: Report, alone: bool
) -> Decoded:
    if alone:
        for left in place.parent.glob(f"{place.name}.part-*"):  # by a build that was killed
            shutil.rmtree(left, ignore_errors=True)
    aside = place.with_name(f"{place.name}.part-{os.getpid()}")
    aside.mkdir()
    try:
        depth = _depth(root, files, channels)
        labels: list[int] = []
        skipped: list[tuple[str, str]] = []
        with open(aside / "pixels.npy", "wb") as file:
            _header(file, (len(files), depth, size, size))
            for image, pixels in _decode_all(root, files, size, depth, report):
                if isinstance(pixels, str):
                    skipped.append((_shown(image.relative), pixels))
                else:
                    # a plain write fails cleanly on a full disk, where a memory map would kill the process
                    file.write(pixels.tobytes())
                    labels.append(image.label)
            _refuse_none(root, labels, skipped)
            file.seek(0)
            _header(file, (len(labels), depth, size, size))
            file.flush()
            os.fsync(file.fileno())
        np.save(aside / "labels.npy", np.array(labels, dtype=np.int64))
        about = {"root": _shown(str(root)), "size": size, "channels": channels, "skipped": skipped}
        (aside / "about.json").write_text(json.dumps(about), encoding="utf-8")
        if place.exists():  # damaged, or _open would have used it; or made meanwhile where there are no locks
            shutil.rmtree(place, ignore_errors=True)
        os.rename(aside, place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    found = _open(place)
    if found is None:
        raise DataError(f"{place} was damaged while it was written; delete it and start again")
    return found


def _in_memory(root: Path, files: list[ImageFile], size: int, channels: str, report: Report) -> Decoded:
    depth = _depth(root, files, channels)
    kept: list[np.ndarray] = []
    labels: list[int] = []
    skipped: list[tuple[str, str]] = []
    for image, pixels in _decode_all(root, files, size, depth, report):
        if isinstance(pixels, str):
            skipped.append((_shown(image.relative), pixels))
        else:
            kept.append(pixels)
            labels.append(image.label)
    _refuse_none(root, labels, skipped)
    return Decoded(np.stack(kept), np.array(labels, dtype=np.int64), skipped)


def _depth(root: Path, files: list[ImageFile], channels: str) -> int:
    if channels != "auto":
        return 1 if channels == "grey" else 3
    with _quiet_about_size():
        # ends at the first colour image, so only a folder of greys has all its headers read
        return 3 if any(is_grey(root / file.relative) is False for file in files) else 1


def _decode_all(
    root: Path, files: list[ImageFile], size: int, depth: int, report: Report
) -> Iterator[tuple[ImageFile, np.ndarray | str]]:
    """Every file in order with its pixels, or why it could not be read. Threads: Pillow decodes without the GIL."""

    def read(part: list[ImageFile]) -> list[tuple[ImageFile, np.ndarray | str]]:
        done: list[tuple[ImageFile, np.ndarray | str]] = []
        for file in part:
            try:
                done.append((file, decode(root / file.relative, size, depth)))
            except Exception as error:  # Pillow's plugins raise nearly anything on broken files
                done.append((file, _why(error)))
        return done

    what = f"Reading images of {_shown(root.name)}"
    parts = (list(files[start : start + PART]) for start in range(0, len(files), PART))
    workers = max(1, os.cpu_count() or 1)
    count, told = 0, time.monotonic()
    report(Progress(what=what, done=0, total=len(files), unit="images"))
    pool = ThreadPoolExecutor(workers, "decode")
    try:
        with _quiet_about_size():
            ahead: deque[Future] = deque(pool.submit(read, part) for part in islice(parts, 4 * workers))
            while ahead:
                results = ahead.popleft().result()
                for part in islice(parts, 1):
                    ahead.append(pool.submit(read, part))
                yield from results
                count += len(results)
                if time.monotonic() - told >= EVERY and count < len(files):
                    told = time.monotonic()
                    report(Progress(what=what, done=count, total=len(files), unit="images"))
    finally:
        pool.shutdown(cancel_futures=True)
    report(Progress(what=what, done=count, total=count, unit="images"))


class _quiet_about_size(warnings.catch_warnings):
    """No warnings about large images while decoding; images of a size that only an attack has still fail."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # written twice, at first for all files and then for the readable ones; numpy pads both to the same length
    described = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)


def _refuse_none(root: Path, labels: list[int], skipped: list[tuple[str, str]]) -> None:
    if labels:
        return
    listed = "".join(f"\n  {name}: {why}" for name, why in skipped[:5])
    more = f"\n  and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    raise DataError(f"dataset.root = {_shown(str(root))}: none of its {len(skipped)} images can be read:{listed}{more}")


def _tell_skipped(root: Path, found: Decoded, report: Report) -> None:
    if not found.skipped:
        return
    total = len(found.skipped) + len(found.labels)
    text = f"{len(found.skipped)} of {total} images of {_shown(str(root))} cannot be read and are left out"
    report(Note(level="warning", text=text))
    for name, why in found.skipped[:NAMED]:
        report(Note(level="warning", text=f"  {name}: {why}"))
    if len(found.skipped) > NAMED:
        report(Note(level="warning", text=f"  and {len(found.skipped) - NAMED} more"))


def _why(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "is not an image that Pillow knows"
    if isinstance(error, Image.DecompressionBombError):
        return "has more pixels than is safe to decode"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _shown(text: str) -> str:
    """A file name that can be printed and stored whatever bytes it is made of."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
