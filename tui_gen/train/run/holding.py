"""A clock that stands still while this process is held: by Ctrl-Z, by a batch system that suspends it, in a container
that was frozen. A pause is no time of training either."""

from __future__ import annotations

import math
import threading
import time

TICK = 1.0
"""Seconds between two looks."""
LATE = 3.0
"""Seconds without one after which the process was held, unless it was busy meanwhile."""
BUSY = 0.1
"""The share of a core from which it was."""


class Holds:
    """`look` is called every TICK by a thread that waits for nothing else. Where it comes late, and the process had no
    time of a processor meanwhile, nobody let it run."""

    def __init__(self) -> None:
        self._last, self._used, self._seconds = math.inf, 0.0, 0.0
        self._asked = -math.inf
        """When somebody last asked for the time."""
        self._guard = threading.Lock()

    def look(self) -> None:
        """See whether the process was held since the last look. From any thread."""
        with self._guard:
            now, used = time.perf_counter(), time.process_time()
            if now - self._last > LATE and used - self._used < BUSY * (now - self._last):
                self._seconds += now - max(self._last + TICK, self._asked)
            self._last, self._used = now, used

    def now(self) -> float:
        """Seconds of a clock that stands still meanwhile: it may go on for a TICK, and never goes back."""
        now = time.perf_counter()
        if now - self._last > LATE:
            self.look()
        self._asked = now
        return now - self._seconds


_holds = Holds()
look, now = _holds.look, _holds.now
