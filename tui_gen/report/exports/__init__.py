"""Exports: a run in a file of another format, `tui-gen export RUN --FORMAT FILE`.

A format is a row of FORMATS and a file of that name in this folder, which has a Writer's functions and is imported
where the format is asked for. `save` is the door for all of them: a file is written aside, read back, and only then
takes its place, so no format has to see to that itself.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import NamedTuple, Protocol, TextIO, cast

from tui_gen import files, runs
from tui_gen.view import RunView


class Writer(Protocol):
    """What a format's file has."""

    def write(self, view: RunView, target: Path) -> None:
        """Write a run, which has all its values, to this file. Raises OSError."""

    def check(self, view: RunView, target: Path) -> None:
        """Read what was written. Raises ValueError, which says in what it is not as it should be, and OSError."""


class Streamer(Writer, Protocol):
    """As a Writer, of a format that can go to standard output as it is made."""

    def stream(self, view: RunView, out: TextIO) -> None:
        """Write a run as text. Raises OSError."""


class Format(NamedTuple):
    """A format: its name (that of its option, too), the option's help, whether standard output can have it, and the
    module that is its Writer (the file of its name), or its Streamer.
    """

    name: str
    help: str
    streams: bool = False
    module: str = ""

    @property
    def writer(self) -> Writer:
        """What writes it, imported now."""
        return cast(Writer, importlib.import_module(self.module or f"{__name__}.{self.name}"))


FORMATS = [Format("csv", "the file to write (default: standard output)", streams=True)]
"""The first one is what is written where none is asked for."""


def save(form: Format, view: RunView, target: str) -> None:
    """Write a run, whole or not at all, to a file; `-` is standard output. Raises RunError.

    A device, a pipe or a file in a folder that cannot be written is written as it is; the first two are not read back.
    """
    writer = form.writer
    if target == "-":
        if not form.streams:
            raise runs.RunError(f"standard output takes no {form.name}: name a file")
        _stream(cast(Streamer, writer), view)
        return
    try:
        with files.written_whole(target) as aside:
            writer.write(view, aside)
            if os.path.isfile(aside):
                writer.check(view, aside)
    except OSError as error:
        raise runs.RunError(f"cannot write {target}: {error.strerror or error}") from None
    except ValueError as error:
        raise runs.RunError(f"cannot write {target}: read back, it is not what was written: {error}") from None


def _stream(writer: Streamer, view: RunView) -> None:
    try:
        writer.stream(view, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise runs.RunError(f"cannot write to standard output: {error.strerror or error}") from None
