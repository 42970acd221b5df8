"""Signals as a queue that a loop waits on, so that a handler does nothing but leave word."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from tui_gen import first_moments
from tui_gen.batch import TERMINATE

WATCHED = (signal.SIGINT, signal.SIGHUP, *TERMINATE)


class Signals:
    """While entered, SIGINT, SIGHUP and those in TERMINATE are queued; `wait` returns early when one comes.

    A signal that was ignored before stays ignored (`nohup`, background jobs of a script). Main thread only.
    """

    def __init__(self) -> None:
        self._listener: Callable[[int], None] | None = None
        self._came: list[int] = []
        self._unheard: list[int] = []
        """Those of them that no listener has been told of: each is taken out by one call, so that it is told once."""
        self._before: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None

    def __enter__(self) -> Signals:
        self._pipe = os.pipe()
        for end in self._pipe:
            os.set_blocking(end, False)
        for number in WATCHED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # What ended a command before it had a run has nothing to say after one: the status is known.
            signal.signal(number, signal.SIG_IGN if handler is first_moments.end else handler)
        assert self._pipe is not None
        for end in self._pipe:
            os.close(end)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._came.append(number)
        self._unheard.append(number)
        with contextlib.suppress(OSError):
            os.write(self._pipe[1], b"!")  # type: ignore[index]
        self._tell()

    def listen(self, listener: Callable[[int], None] | None) -> None:
        """Have a function called for each signal at once, in the main thread, whatever that is doing (blocked in a
        write, say), beginning with those that nobody has taken yet.
        """
        self._listener = listener
        self._tell()

    def _tell(self) -> None:
        while (listener := self._listener) is not None and self._unheard:
            try:
                number = self._unheard.pop(0)
            except IndexError:  # a signal came just now, and its handler has told of all
                return
            listener(number)

    def take(self) -> list[int]:
        """The signals that came since the last call, in order."""
        came, self._came = self._came, []
        del self._unheard[: len(came)]
        return came

    def wait(self, timeout: float) -> None:
        """Sleep until a signal comes, at most `timeout` seconds."""
        assert self._pipe is not None
        if self._came:
            return
        if select.select([self._pipe[0]], [], [], timeout)[0]:
            with contextlib.suppress(OSError):
                while os.read(self._pipe[0], 64):
                    pass
