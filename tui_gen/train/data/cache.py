"""Decoded images kept as one uint8 array: built once with progress, found again by what it was built from.

    ~/.cache/tui-gen/folders/KEY/pixels.npy   (N, C, size, size) uint8
    ~/.cache/tui-gen/folders/KEY/labels.npy   (N,) int64, -1 where there are no classes
    ~/.cache/tui-gen/folders/KEY/about.json   where from, and what could not be read

A folder KEY is complete: it is built aside, synced, and renamed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from tui_gen.events import Note, Progress
from tui_gen.places import cache_dir
from tui_gen.train.data import locks, ranges
from tui_gen.train.data.decode import DEEP, WIDE, ImageDecoder, extent, header_of
from tui_gen.train.data.sources import DataError, Report

VERSION, VERSION_WIDE = 2, 3
"""Part of every key: raise it when decoding changes, of all files or of those in WIDE."""

PART = 16
"""Images that a decoding thread takes at once."""

MOST_NAMES = 20
"""Unreadable images that the log names one by one."""

EVERY = 0.2
"""Seconds between progress events."""

LASTING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
"""What the system says of a file that has to become another to be read. Of rights and of disks this is not so."""

AGAIN = ("warning", "some may be read another time (rights, a disk, memory): all are read anew at the next start")
"""Told where images were left out for something that is not in them."""


@dataclass(frozen=True)
class ImageFile:
    """An image to be read: its path below the root, and what tells that it has changed."""

    relative: str
    size: int
    mtime: int
    label: int = -1


@dataclass
class Decoded:
    """`pixels` (N, C, S, S) uint8 (a read-only map of the cache, or memory), `labels` (N,), names not read → why,
    and (level, words) of how the images were read."""

    pixels: np.ndarray
    labels: np.ndarray
    failures: list[tuple[str, str]]
    words: list[tuple[str, str]]


def decoded(root: Path, files: list[ImageFile], size: int, channels: str, report: Report) -> Decoded:
    """The images, from the cache or into it; where the cache cannot be written, in memory with a note.

    `channels` is `grey`, `rgb`, or `auto`: grey if every readable image is. Raises DataError when none can be read.
    """
    key = key_of(root, files, size, channels)
    place = cache_dir() / "folders" / key
    images = _open(place)
    if images is None:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with locks.only_one(place.with_name(f"{key}.lock"), f"reading the images of {root}", report) as alone:
                images = _open(place)
                if images is None:
                    images = _build(place, root, files, size, channels, report, alone)
        except OSError as error:
            text = f"{place.parent} cannot be used ({error.strerror or error}): the images are read anew at every start"
            report(Note(level="warning", text=text))
            images = _in_memory(root, files, size, channels, report)
    for level, words in images.words:
        report(Note(level=level, text=words))
    _tell_skipped(root, images, report)
    return images


def key_of(root: Path, files: list[ImageFile], size: int, channels: str) -> str:
    """A digest of where the files are, their names, sizes, times and labels, and of the settings."""
    is_wide = any(os.path.splitext(file.relative)[1].lower() in WIDE for file in files)
    digest = hashlib.sha256(f"{VERSION_WIDE if is_wide else VERSION}\n{size}\n{channels}\n".encode())
    digest.update(os.fsencode(root.resolve()))
    for file in files:
        digest.update(f"\n{file.size} {file.mtime} {file.label} ".encode() + os.fsencode(file.relative))
    return digest.hexdigest()[:24]


def _open(place: Path) -> Decoded | None:
    try:
        pixels = np.load(place / "pixels.npy", mmap_mode="r")
        labels = np.load(place / "labels.npy")
        about = json.loads((place / "about.json").read_text(encoding="utf-8"))
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or len(pixels) != len(labels):
            return None
        failures, words = ([(str(name), str(two)) for name, two in about[key]] for key in ("skipped", "words"))
        return Decoded(pixels, labels, failures, words)
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return None


def _build(
    place: Path, root: Path, files: list[ImageFile], size: int, channels: str, report: Report, alone: bool
) -> Decoded:
    if alone:
        for leftover in place.parent.glob(f"{place.name}.part-*"):  # by a build that was killed
            shutil.rmtree(leftover, ignore_errors=True)
    aside = place.with_name(f"{place.name}.part-{os.getpid()}")
    aside.mkdir()
    try:
        reading = _prepare(root, files, size, channels, report)
        depth = reading.decoder.channels
        labels: list[int] = []
        failures: list[tuple[str, str]] = []
        with open(aside / "pixels.npy", "wb") as file:
            _header(file, (len(files), depth, size, size))
            for image, pixels in _decode_all(root, files, reading.decoder, report):
                if isinstance(pixels, str):
                    failures.append((_shown(image.relative), pixels))
                else:
                    # a plain write fails cleanly on a full disk, where a memory map would kill the process
                    file.write(pixels.tobytes())
                    labels.append(image.label)
            _refuse_none(root, labels, failures)
            file.seek(0)
            _header(file, (len(labels), depth, size, size))
            file.flush()
            os.fsync(file.fileno())
        np.save(aside / "labels.npy", np.array(labels, dtype=np.int64))
        passing = any(isinstance(why, _Passing) for _, why in failures)
        about = {"root": _shown(str(root)), "size": size, "channels": channels}
        about |= {"skipped": failures, "words": reading.words(root) + [AGAIN] * passing}
        (aside / "about.json").write_text(json.dumps(about), encoding="utf-8")
        if passing and (images := _open(aside)) is not None:
            return images  # for this time; what is mapped stays as long as it is
        if place.exists():  # damaged, or _open would have used it; or made meanwhile where there are no locks
            shutil.rmtree(place, ignore_errors=True)
        os.rename(aside, place)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    images = _open(place)
    if images is None:
        raise DataError(f"{place} was damaged while it was written; delete it and start again")
    return images


def _in_memory(root: Path, files: list[ImageFile], size: int, channels: str, report: Report) -> Decoded:
    reading = _prepare(root, files, size, channels, report)
    arrays: list[np.ndarray] = []
    labels: list[int] = []
    failures: list[tuple[str, str]] = []
    for image, pixels in _decode_all(root, files, reading.decoder, report):
        if isinstance(pixels, str):
            failures.append((_shown(image.relative), pixels))
        else:
            arrays.append(pixels)
            labels.append(image.label)
    _refuse_none(root, labels, failures)
    words = reading.words(root)
    return Decoded(np.stack(arrays), np.array(labels, dtype=np.int64), failures, words)


@dataclass
class _Reading:
    """How the images of a set are read, decided from all of them; `counts` says of how many of each deep kind."""

    decoder: ImageDecoder
    counts: dict[str, int]

    def words(self, root: Path) -> list[tuple[str, str]]:
        """(level, words) of what was decided and found, once they are read."""
        lines = []
        for kind, value_range in self.decoder.ranges.items():
            level = "warning" if value_range.share < ranges.LITTLE else "info"
            advice = "; so small a part looks like one grey: scale the pixels to the range"
            lines.append((level, value_range.words(kind, self.counts[kind]) + advice * (level == "warning")))
        if several := sorted(_shown(str(path.relative_to(root))) for path in self.decoder.several):
            have = f"{len(several):,} images have" if len(several) > 1 else "one image has"
            first = f"{several[0]}, …" if len(several) > 1 else several[0]
            lines.append(("info", f"{have} several frames or pages: the first is taken ({first})"))
        return lines


def _prepare(root: Path, files: list[ImageFile], size: int, channels: str, report: Report) -> _Reading:
    """Look at the headers for colour and depth, and at the pixels of deep images for the range of them all."""
    colour = channels == "rgb"
    deep: dict[Any, Any] = {}
    with _quiet_about_size():
        for file in files:
            may_be_deep = os.path.splitext(file.relative)[1].lower() in DEEP
            # a set of 8 bits has headers read up to the first colour image only
            if not may_be_deep and (colour or channels != "auto"):
                continue
            header = header_of(root / file.relative)
            if header is not None:
                colour |= channels == "auto" and not header.grey
                if header.deep:
                    deep.setdefault(header.deep, []).append(file)
    value_ranges: dict[str, ranges.Range] = {}
    for kind, of_kind in deep.items():
        what = f"Looking at the range of {len(of_kind):,} images of {_shown(root.name)}"
        extents = _each(of_kind, lambda file: extent(root / file.relative), what, report)
        value_ranges[kind] = ranges.decide((span for _, span in extents if isinstance(span, tuple)), kind)
    decoder = ImageDecoder(size, 3 if colour else 1, value_ranges)
    return _Reading(decoder, {kind: len(of_kind) for kind, of_kind in deep.items()})


def _decode_all(
    root: Path, files: list[ImageFile], decoder: ImageDecoder, report: Report
) -> Iterator[tuple[ImageFile, np.ndarray | str]]:
    """Every file in order with its pixels, or why it could not be read."""
    what = f"Reading images of {_shown(root.name)}"
    return _each(files, lambda file: decoder.read(root / file.relative), what, report)


def _each(
    files: list[ImageFile], read_one: Callable[[ImageFile], Any], what: str, report: Report
) -> Iterator[tuple[ImageFile, Any]]:
    """Every file in order with what reading it gave, or why it could not be read, in words. Threads: Pillow decodes
    without the GIL."""

    def read(part: list[ImageFile]) -> list[tuple[ImageFile, Any]]:
        pairs: list[tuple[ImageFile, Any]] = []
        for file in part:
            try:
                pairs.append((file, read_one(file)))
            except Exception as error:  # Pillow's plugins raise nearly anything on broken files
                pairs.append((file, _why(error)))
        return pairs

    parts = (list(files[start : start + PART]) for start in range(0, len(files), PART))
    workers = max(1, os.cpu_count() or 1)
    count, last_report = 0, time.monotonic()
    report(Progress(what=what, done=0, total=len(files), unit="images"))
    pool = ThreadPoolExecutor(workers, "decode")
    try:
        with _quiet_about_size():
            ahead: deque[Future[list[tuple[ImageFile, Any]]]]
            ahead = deque(pool.submit(read, part) for part in islice(parts, 4 * workers))
            while ahead:
                results = ahead.popleft().result()
                for part in islice(parts, 1):
                    ahead.append(pool.submit(read, part))
                yield from results
                count += len(results)
                if time.monotonic() - last_report >= EVERY and count < len(files):
                    last_report = time.monotonic()
                    report(Progress(what=what, done=count, total=len(files), unit="images"))
    finally:
        pool.shutdown(cancel_futures=True)
    report(Progress(what=what, done=count, total=count, unit="images"))


class _Passing(str):
    """Why a file could not be read, where that may be over the next time though the file is the same."""


class _quiet_about_size(warnings.catch_warnings):
    """No warnings about large images while decoding; images of a size that only an attack has still fail."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # written twice, at first for all files and then for the readable ones; numpy pads both to the same length
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _refuse_none(root: Path, labels: list[int], failures: list[tuple[str, str]]) -> None:
    if labels:
        return
    lines = "".join(f"\n  {name}: {why}" for name, why in failures[:5])
    more = f"\n  and {len(failures) - 5} more" if len(failures) > 5 else ""
    raise DataError(f"dataset.root = {_shown(str(root))}: none of its {len(failures)} images can be read:{lines}{more}")


def _tell_skipped(root: Path, images: Decoded, report: Report) -> None:
    if not images.failures:
        return
    total = len(images.failures) + len(images.labels)
    text = f"{len(images.failures)} of {total} images of {_shown(str(root))} cannot be read and are left out"
    report(Note(level="warning", text=text))
    for name, why in images.failures[:MOST_NAMES]:
        report(Note(level="warning", text=f"  {name}: {why}"))
    if len(images.failures) > MOST_NAMES:
        report(Note(level="warning", text=f"  and {len(images.failures) - MOST_NAMES} more"))


def _why(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "is not an image that Pillow knows"
    if isinstance(error, Image.DecompressionBombError):
        return "has more pixels than is safe to decode"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.errno in LASTING else _Passing(error.strerror)
    if isinstance(error, MemoryError):
        return _Passing("there is too little memory for it")
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _shown(text: str) -> str:
    """A file name that can be printed and stored whatever bytes it is made of."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
