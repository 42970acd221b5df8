"""Reading files that anybody may have put there: regular ones only, and never more of them than is asked for. Writing
files that are whole or not there.

A FIFO or a device under the name of a log would keep its reader waiting for ever, a large one would fill the memory.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
"""How a file is opened that may be none: without waiting for whoever is to write it."""


def open_regular(path: Path) -> FileIO:
    """A regular file for reading, unbuffered. Raises OSError for anything else, and never waits."""
    file = open(path, "rb", buffering=0, opener=lambda name, _: os.open(name, FLAGS))  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return file


def read_regular(path: str | Path, most: int) -> bytes:
    """All of a regular file. Raises OSError for anything else, and for a file of more than `most` bytes."""
    descriptor = os.open(path, FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL, "not a regular file")
        parts, remaining = [], most + 1
        # Lists read thousands of files: a buffer no larger than the file, and no call only to hear that it is over.
        size = min(status.st_size + 1, 1 << 20)
        while remaining > 0 and (part := os.read(descriptor, min(remaining, size))):
            parts.append(part)
            remaining -= len(part)
            if 0 < status.st_size <= most + 1 - remaining:  # 0 where the system makes the content up, as under /proc
                break
            size = 1 << 20
        if remaining <= 0:
            raise OSError(errno.EFBIG, f"larger than {most} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)
    finally:
        os.close(descriptor)


def open_log(path: str | Path) -> int:
    """A run's log for appending, made where there is none: a descriptor. Raises OSError, and never waits, for what is
    no file: in a colleague's run a link may lead to any file of ours.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, f"{os.path.basename(path)} is a link, and is not followed", str(path)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, f"{os.path.basename(path)} is not a regular file", str(path))
    return descriptor


@contextlib.contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Where to write a file that is to be whole or not there, as on a full disk; it takes its place at the end.

    What is there before stays until then. Devices, pipes and files in folders that cannot be written are written as
    they are.
    """
    place = Path(os.path.realpath(path))
    if (place.exists() and not place.is_file()) or not os.access(place.parent, os.W_OK):
        yield place
        return
    with _renamed(place.with_name(_aside()), place) as aside:
        yield aside


@contextlib.contextmanager
def folder_written_whole(path: str | Path) -> Iterator[Path]:
    """An empty folder to write into that is to be whole or not there; it takes its place at the end.

    What is there before goes then, with all that it holds: the caller has looked at it. Raises OSError.
    """
    place = Path(os.path.realpath(path))
    aside = place.with_name(_aside())
    old = place.with_name(f"{aside.name}.old")
    os.mkdir(aside)
    try:
        yield aside
        with contextlib.suppress(FileNotFoundError):
            os.rename(place, old)  # no system exchanges two folders in one go that both hold something
        try:
            os.rename(aside, place)
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                os.rename(old, place)
            raise
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _aside() -> str:
    """A name beside a person's file that nobody else writes to."""
    return f".tui-gen-{os.getpid()}-{next(_numbers)}"


_numbers = itertools.count()


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Where to write a file of a run that takes its place at the end; a name that is known for ours (`belongings`)."""
    with _renamed(path.with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}"), path) as aside:
        yield aside


@contextlib.contextmanager
def _renamed(aside: Path, place: Path) -> Iterator[Path]:
    try:
        yield aside
        os.replace(aside, place)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise
