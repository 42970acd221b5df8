"""What lists of runs knew when they were looked at last, in a file of the user's cache: it can be thrown away any time.

A list of thousands of runs begins with it, and looks into those whose files are others now.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

from tui_gen import __version__
from tui_gen.files import read_regular, written_aside
from tui_gen.places import NoHome, cache_dir
from tui_gen.runs import RunInfo

MOST = 64 << 20
"""The largest index that is read, in bytes."""
VERSION = f"1 {__version__}"
"""What another version wrote is found anew."""

Row = tuple[list[float], list[float], RunInfo]
"""When a run was made and what its log was like, what all its files were like, and what is known of it."""


class _Index(msgspec.Struct):
    version: str
    root: str
    rows: list[Row]


_decoder = msgspec.json.Decoder(_Index)


def file_of(root: Path) -> Path | None:
    """Where the index of a folder of runs is kept; None where there is no cache."""
    try:
        digest = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:16]
        return cache_dir() / "runs" / f"{digest}.json"
    except NoHome:
        return None


def read(root: Path) -> dict[str, Row]:
    """The rows that were kept of the runs in a folder, by their paths; none where nothing that can be read was."""
    file = file_of(root)
    if file is None:
        return {}
    try:
        index = _decoder.decode(read_regular(file, MOST))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    if (index.version, index.root) != (VERSION, str(root)):
        return {}
    return {row[2].path: row for row in index.rows if row[0]}


def write(root: Path, rows: list[Row]) -> None:
    """Keep these rows. Where that cannot be, nothing is kept."""
    if (file := file_of(root)) is None:
        return
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(file) as aside:
            aside.write_bytes(msgspec.json.encode(_Index(VERSION, str(root), rows)))
