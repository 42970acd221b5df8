"""What was made of files and takes long to be made again, kept in the cache folder until one of them is another.

Whatever is kept can be thrown away at any time. A file is known by its place in the system, its size and the times of
its last changes; one that changed a moment ago is not relied on, as it may change again within what a clock tells.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar, cast

import msgspec

from tui_gen import __version__
from tui_gen.files import read_regular, written_aside
from tui_gen.places import cache_dir

T = TypeVar("T")
MOST = 32 << 20
"""Bytes of what is kept under one name."""
YOUNG = 2.0
"""Seconds in which a file may change once more and look the same; some file systems count whole seconds."""


def kept(name: str, files: Iterable[str | Path], kind: type[T], make: Callable[[], T]) -> T:
    """What `make` makes of these files, or made of them before; `kind` is its type, as msgspec knows it.

    What cannot be kept, or read again, is made anew each time: nobody is told.
    """
    key, steady = _key(files)
    decoder: msgspec.msgpack.Decoder[tuple[str, T]] = msgspec.msgpack.Decoder(_pair(kind))
    with contextlib.suppress(OSError, ValueError, RecursionError):
        its_key, value = decoder.decode(read_regular(_place(name), MOST))
        if its_key == key:
            return value
    value = make()
    if steady:
        with contextlib.suppress(OSError, TypeError, ValueError, OverflowError):
            data = msgspec.msgpack.encode((key, value))
            if decoder.decode(data)[1] == value:  # a date of TOML, say, would come back as text
                _place(name).parent.mkdir(parents=True, exist_ok=True)
                with written_aside(_place(name)) as aside:
                    aside.write_bytes(data)
    return value


def _pair(kind: type[T]) -> type[tuple[str, T]]:
    """The type of a key with a value of this kind."""
    return cast(type[tuple[str, T]], types.GenericAlias(tuple, (str, kind)))


def _place(name: str) -> Path:
    return cache_dir() / "derived" / f"{name}.msgpack"


def _key(files: Iterable[str | Path]) -> tuple[str, bool]:
    """What tells these files, as they are now, from others; whether none changed a moment ago."""
    digest, newest = hashlib.sha256(__version__.encode()), 0
    for file in files:
        digest.update(os.fsencode(file) + b"\0")
        with contextlib.suppress(OSError):
            status = os.stat(file)
            newest = max(newest, status.st_mtime_ns, status.st_ctime_ns)
            facts = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
            digest.update(repr(facts).encode())
    return digest.hexdigest(), time.time() - newest / 1e9 > YOUNG
