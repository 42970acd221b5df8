"""Signals that stop a worker: noticed whatever its main thread does, obeyed where nothing is lost by it.

A handler does nothing at all. Its number goes into a pipe, which a thread reads: that works, too, while the main thread
waits in a library, or for a disk that does not answer. Training stops after its step; what comes before training is
left off by itself at the next sign of progress, or ended, with the process, after GRACE.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

from tui_gen.launch import STOPPING
from tui_gen.train.run import holding

GRACE = 2.5
"""Seconds in which what comes before training may end by itself."""


class Stoppable(Protocol):
    """What trains a run, or is about to: a `Worker`."""

    stop_reason: str

    @property
    def begun(self) -> bool:
        """Whether it has made a step, or must not be cut for another reason: else nothing would be lost."""

    def ask_to_stop(self, reason: str) -> None:
        """Have it stop; from any thread."""

    def end_now(self) -> None:
        """End the process."""


class SignalWatch:
    """Watches over a process that trains `worker`, or waits to be given one: `give_up` ends it then.

    To be made in the main thread. Raises RuntimeError where it can have no thread; then signals end the process.
    """

    def __init__(self, worker: Stoppable | None = None, give_up: Callable[[], None] = lambda: None) -> None:
        self.worker, self._give_up = worker, give_up
        self._read, self._write = os.pipe()
        for end in (self._read, self._write):
            os.set_blocking(end, False)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            threading.Thread(target=self._watch, name="signals", daemon=True).start()
            for number in STOPPING:
                signal.signal(number, lambda *_: None)
            signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)  # held back since the process was started

    def _watch(self) -> None:
        patience = _Patience()
        while True:
            asked = self.worker is not None and bool(self.worker.stop_reason)
            select.select([self._read], [], [], 0.1 if asked else holding.TICK)
            holding.look()
            came = b""
            with contextlib.suppress(BlockingIOError):
                came = os.read(self._read, 64)
            for number in came:
                if number not in STOPPING:
                    continue
                if self.worker is None:
                    self._give_up()
                else:
                    self.worker.ask_to_stop(f"by {signal.Signals(number).name}")
            if self.worker is not None and self.worker.stop_reason and patience.at_an_end(self.worker):
                self.worker.end_now()


class _Patience:
    """How long a worker has been asked to stop, where it is at nothing that must not be cut."""

    def __init__(self) -> None:
        self._since = 0.0

    def at_an_end(self, worker: Stoppable) -> bool:
        if not self._since or worker.begun:
            self._since = time.monotonic()
        return time.monotonic() - self._since > GRACE


def leave(status: int) -> NoReturn:
    """End the process with a status, whatever still runs: a thread that waits for a dead disk keeps no process alive.

    What asked to be told of the end is told. The interpreter is not taken down, which takes half a second with PyTorch
    in it: all that a run has is written and closed.
    """
    ender = threading.Timer(3.0, os._exit, [status])
    ender.daemon = True
    with contextlib.suppress(RuntimeError):
        ender.start()
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)
