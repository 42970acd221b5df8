"""A process with all that it has started, and the processor time that they take (Linux)."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for number in found:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{number}/task"):
                found += map(int, Path(f"/proc/{number}/task/{task}/children").read_text().split())
    return found


def own_seconds(pid: int) -> float:
    """Processor time that a process has taken so far."""
    try:
        return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3)
    except OSError:
        return 0.0


def cpu_seconds(pid: int) -> float:
    """The same, with all that it started."""
    return sum(map(own_seconds, family(pid)))
