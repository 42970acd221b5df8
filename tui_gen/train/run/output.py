"""What a worker prints: all of it goes to the run's `worker.log`, and none of it can fail."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import sys
from pathlib import Path

from tui_gen.files import open_log


class Mild(io.RawIOBase):
    """A file descriptor to print to. What cannot be written (the disk is full, say) is lost, and nobody hears of it:
    an error out of a print would end what it tells about.
    """

    def __init__(self, number: int) -> None:
        self._number = number

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._number

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write what can be written; tells that it was all."""
        remaining = memoryview(data).cast("B")
        with contextlib.suppress(OSError):
            while remaining:
                remaining = remaining[os.write(self._number, remaining) :]
        return memoryview(data).nbytes

    def close(self) -> None:
        """Nothing: the descriptor is the process's own."""


def redirect(run: Path, name: str = "worker.log") -> None:
    """Have everything that this process prints, libraries included, in a run's `worker.log`, or nowhere where that
    cannot be opened; nothing that Python prints fails from here on. Standard input is empty. `name` is the file of a
    process that is not the run's only one.
    """
    to_log(run, name)
    for number, stream_name in ((1, "stdout"), (2, "stderr")):
        raw = Mild(number)
        stream = io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)  # type: ignore[type-var]  # never read
        setattr(sys, stream_name, stream)
        setattr(sys, f"__{stream_name}__", stream)
    with contextlib.suppress(OSError, ValueError):
        faulthandler.enable()  # a crash in native code leaves its traceback


def to_log(run: Path, name: str = "worker.log") -> None:
    """Have the descriptors of standard output and errors lead to a run's `worker.log`."""
    try:
        log = open_log(run / name)
    except OSError:
        log = os.open(os.devnull, os.O_WRONLY)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(null)
