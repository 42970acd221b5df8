"""Standard output that may go away: a closed pipe, a hung-up terminal, a full disk under a log file.

A run does not care who watches it, so writing never raises: what cannot be written is dropped.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import Any, TextIO

from tui_gen.text import clean_lines, json_text

NO_READER = {errno.EPIPE, errno.EIO, errno.ENXIO, errno.EBADF, errno.ESTALE}
"""The errors that mean: nobody will read this any more."""


class Outlet(io.TextIOBase):
    """A text stream around another; `gone` once nobody reads it any more.

    Characters that its encoding lacks become `?`. What goes out as `line` or `text` is cleaned: it may hold words from
    anywhere. `write` sends on what draws, control sequences and all: our own pictures, and the lines of a Rich console.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.gone = False
        self.write_error = ""
        """Why some of it could not be written, if so."""
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream behind it."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def writable(self) -> bool:
        """Always true."""
        return True

    def isatty(self) -> bool:
        """Whether the stream behind it is a terminal."""
        return not self.gone and self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the stream behind it."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write and flush, or drop it."""
        if not self.gone:
            try:
                self._stream.write(text)
                self._stream.flush()
            except ValueError:  # closed
                self.gone = True
            except OSError as error:
                if error.errno in NO_READER:
                    self.leave()
                else:  # no room, say: drop what is buffered, and keep trying later
                    self.write_error = error.strerror or str(error)
                    self._drop()
        return len(text)

    def flush(self) -> None:
        """Nothing to do: every write is flushed."""

    def line(self, text: str = "") -> None:
        """Write clean text as a line, or as several."""
        self.text(text + "\n")

    def text(self, text: str) -> None:
        """Write clean text, with a line end only where it has one."""
        end = "\n" if text.endswith("\n") else ""
        self.write("\n".join(clean_lines(text)) + end)

    def json(self, value: Any) -> None:
        """Write a value as a line of JSON that prints."""
        self.write(json_text(value) + "\n")

    def drawn(self, text: str) -> None:
        """Write a line of our own drawing, whose words are clean already."""
        self.write(text + "\n")

    def leave(self) -> None:
        """Write nowhere from now on, at the level of the descriptor: nothing may fail at exit either."""
        self.gone = True
        with contextlib.suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
        self._drop()

    def _drop(self) -> None:
        """Throw away what the stream's buffer holds and could not write."""
        if not isinstance(self._stream, io.TextIOWrapper):
            return
        try:
            keep = os.dup(self._stream.fileno())
            null = os.open(os.devnull, os.O_WRONLY)
        except (OSError, ValueError):
            return
        try:
            os.dup2(null, self._stream.fileno())
            with contextlib.suppress(OSError, ValueError):
                self._stream.flush()
            os.dup2(keep, self._stream.fileno())
        finally:
            os.close(keep)
            os.close(null)


def hang_up() -> None:
    """The terminal is gone: standard streams that were it lead nowhere from now on; files and pipes stay."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        with contextlib.suppress(OSError):
            # A terminal that hung up answers isatty with an error: what is neither file nor pipe was it.
            mode = os.fstat(number).st_mode
            if os.isatty(number) or _is_character_device(mode):
                os.dup2(null, number)
    os.close(null)


def _is_character_device(mode: int) -> bool:
    import stat

    return stat.S_ISCHR(mode)


_standard: list[Outlet] = []


def write_error() -> str:
    """Why some of what was to go to standard output could not be written since the last question, or an empty text."""
    reasons = [outlet.write_error for outlet in _standard if outlet.write_error]
    _standard.clear()
    return next(iter(reasons), "")


def standard() -> tuple[Outlet, Outlet]:
    """Standard output and standard error that never raise."""
    out = Outlet(sys.stdout)
    _standard.append(out)
    return out, Outlet(sys.stderr)


def coloured(out: Outlet) -> bool:
    """Whether colours may be written there."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "") not in ("", "dumb")


def unicode_ok(out: Outlet) -> bool:
    """Whether the output takes block and braille characters."""
    return "utf" in out.encoding.lower() and os.environ.get("TERM") != "linux"


def width_of(out: Outlet) -> int:
    """Columns to write in: the terminal's, or 100 into a file."""
    try:
        return max(40, os.get_terminal_size(out.fileno()).columns - 1) if out.isatty() else 100
    except (OSError, ValueError):
        return 80


def terminal_width(out: Outlet) -> int:
    """Columns to wrap a table to; 0 where it goes to a file or another program, which may want whole lines."""
    return width_of(out) if out.isatty() else 0
