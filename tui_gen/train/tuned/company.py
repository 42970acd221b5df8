"""Threads of PyTorch that stop to wait awake as soon as another process wants their cores, and begin again when it does
not.

OpenMP's threads look thousands of times whether the others are ready before they sleep, which saves small steps a third
of their time; where a core is shared, a thread that looks in vain has used its turn up. How often they look is fixed
when a process starts. But libgomp looks a hundred times only while a process has more of its threads than cores: so a
second team of threads, which sleeps, turns it down, and up again when it ends. Who computes what stays as it is.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import torch

from tui_gen import tuned

EVERY = 0.5
"""Seconds between two looks, at least."""
CROWDED, FREE = 0.15, 0.04
"""Parts of the time for which a thread wanted a core and had none: from the one on others are there, below the other
they have gone."""
BUSY, QUIET = 2, 4
"""Looks in a row that must find them there, and gone: a run's own preview or validation is over by the second one, and
small steps take up to twice as long where threads sleep between them."""


class Company:
    """Whether other processes want the cores that a run's threads compute on; where there are cores to spare, nobody
    does."""

    def __init__(self, device: torch.device, proc: Path = Path("/proc/self")) -> None:
        self._proc, self._threads = proc, torch.get_num_threads()
        on_all = device.type == "cpu" and self._threads > 1 and self._threads == _cores()
        self._on = on_all and tuned.on() and self._gomp()
        self._last: tuple[float, float] | None = None
        self._busy = self._quiet = 0
        self._team: _Team | None = None

    @property
    def there(self) -> bool:
        """Whether they were there at the last look."""
        return self._team is not None

    def look(self, now: float) -> None:
        """See how long threads had to wait since the last look; `now` is the seconds of a clock."""
        if not self._on or (self._last is not None and now - self._last[0] < EVERY):
            return
        waited, last = self._waited(), self._last
        self._last = now, waited
        if last is None:
            return
        part = (waited - last[1]) / (now - last[0]) / self._threads
        self._busy = self._busy + 1 if part > CROWDED else 0
        self._quiet = self._quiet + 1 if part < FREE else 0
        if self._team is None and self._busy >= BUSY:
            self._team = _Team()
        elif self._team is not None and self._quiet >= QUIET:
            self.close()

    def close(self) -> None:
        """Let the second team go."""
        if self._team is not None:
            self._team.end()
            self._team = None

    def _waited(self) -> float:
        """Seconds that this process's threads have wanted a core and had none."""
        nanoseconds = 0
        for path in self._proc.glob("task/*/schedstat"):
            try:
                nanoseconds += int(path.read_text().split()[1])
            except (OSError, ValueError, IndexError):  # a thread that has just ended
                continue
        return nanoseconds / 1e9

    def _gomp(self) -> bool:
        """Whether it is libgomp whose threads compute here."""
        try:
            return "libgomp" in (self._proc / "maps").read_text()
        except OSError:
            return False


class _Team:
    """A second team of threads, asleep."""

    def __init__(self) -> None:
        self._over = threading.Event()
        with contextlib.suppress(RuntimeError):  # no more threads are to be had here
            threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        torch.zeros(1 << 18).add_(1)  # so large that it takes a team
        self._over.wait()

    def end(self) -> None:
        """The team ends with the thread that has it."""
        self._over.set()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
