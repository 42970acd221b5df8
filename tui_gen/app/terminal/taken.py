"""The terminal's screen, taken before Textual is there: it begins on what is shown already, and restores the screen."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, Self

from tui_gen.draw.multiplexers import permitted
from tui_gen.draw.signals import as_before, leave_in_order

if TYPE_CHECKING:
    from tui_gen.draw.terminal import Terminal

ALTERNATE, NORMAL = "\x1b[?1049h", "\x1b[?1049l"
"""To the screen of programs that use all of it, and back to what was there before."""
EMPTY = "\x1b[H\x1b[2J"
"""For terminals that have no other screen (GNU screen, mosh)."""


class TakenScreen:
    """The screen of a terminal, as `show` takes it; left as it was on leaving, unless somebody took it over."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.ours = False
        """Whether something is shown, and nobody has taken the screen over yet."""
        self.used = False
        """Whether something was shown."""
        self._handlers: dict[int, Any] = {}
        self._stream = sys.__stderr__  # as Textual's driver

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows; none where it is no terminal."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return (*os.get_terminal_size(self._stream.fileno()),)  # type: ignore[union-attr]
        return 0, 0

    def show(self, text: str) -> None:
        """Take the screen and send this. A signal leaves it as it was, until whoever takes it over sees to that."""
        self._handlers = leave_in_order()
        self.ours = self.used = True
        self._write(f"{ALTERNATE}\x1b[?25l{text}\x1b[H")  # what is typed meanwhile is echoed where a frame comes first

    def taken_over(self) -> None:
        """Whoever shows something from now on restores the screen."""
        self.ours = False
        as_before(self._handlers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.ours:
            self._write(f"\x1b[0m{EMPTY}{NORMAL}\x1b[?25h")
            self.taken_over()

    def _write(self, text: str) -> None:
        if self.terminal.multiplexer:
            text = permitted(text, self.terminal.multiplexer, self.terminal.graphics)
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.write(text)
                self._stream.flush()
