"""The queue as a reader sees it: each entry with how far its run is and when it is expected to end. Knows no widget."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import NamedTuple

from tui_gen import runs
from tui_gen.headline import headline
from tui_gen.pace import pace_of
from tui_gen.progress import steps
from tui_gen.queue import queueing
from tui_gen.queue.forecast import Expected, Forecast
from tui_gen.queue.queueing import QueueEntry, RunQueue


class QueuePlace(NamedTuple):
    """An entry, the state and the step of its run (empty and 0 where it has none), its length where that is known."""

    entry: QueueEntry
    run_state: str
    step: int
    total: int | None
    expected: Expected | None

    @property
    def state(self) -> str:
        """The entry's state; while it is trained, that of its run, where that says more."""
        return self.run_state if self.entry.state == "running" and self.run_state else self.entry.state

    @property
    def progress(self) -> str:
        """How far its run is: `1,200/2,000`."""
        return steps(self.step, self.total if self.entry.open else None) if self.step else ""

    def ends(self, now: float | None = None) -> str:
        """When it is expected to end, or ended: `≈ 14:32`, `29 Nov 13:01`."""
        if self.expected is not None:
            return self.expected.words(now)
        return time.strftime("%d %b %H:%M", time.localtime(self.entry.ended)) if self.entry.ended else ""

    @property
    def why(self) -> str:
        """What is to be said of it: why it waits, how it ended, whose it is."""
        host = self.entry.by or self.entry.host
        away = f"on {host}" if self.entry.open and host not in ("", socket.gethostname()) else ""
        return "; ".join(filter(None, (self.entry.reason, away)))


class QueueLook(NamedTuple):
    """All of a queue, in the order of a list; `idle` says that nobody trains what this machine should."""

    queue: RunQueue
    places: list[QueuePlace]
    idle: bool
    standing: str
    """Why nothing more is begun, where that is so, and what to do on a command line; empty where all is well."""


class QueueReader:
    """Looks at the queue of a folder of runs, again and again."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._forecast = Forecast(self.root)
        self._open = -1
        self._over: dict[tuple[int, str], QueuePlace] = {}
        """What is over stays as it is: it is looked into once."""

    def look(self) -> QueueLook:
        """The queue now. Raises RunError where it cannot be read."""
        queue = queueing.read(self.root)
        count = len(queue.of(*queueing.OPEN))
        if count != self._open:
            self._open = count
            self._forecast.forget()
        idle = queueing.idle(self.root, queue)
        expected = self._forecast.ends(queue, stands=idle or queue.held)
        places = [self._known(entry, expected.get(entry.id)) for entry in queue.in_order()]
        self._over = {(place.entry.id, place.entry.state): place for place in places if not place.entry.open}
        return QueueLook(queue, places, idle, self._standing(queue, idle))

    def _known(self, entry: QueueEntry, expected: Expected | None) -> QueuePlace:
        place = self._over.get((entry.id, entry.state))
        return place._replace(entry=entry) if place is not None else self._place(entry, expected)

    def _place(self, entry: QueueEntry, expected: Expected | None) -> QueuePlace:
        path = entry.path(self.root)
        if path is None or not entry.begun:
            return QueuePlace(entry, "", 0, None, expected)
        state, step, _ = runs.state_of(path)
        total = headline(f"{path}/{runs.CONFIG}").get("steps") if entry.open else None
        if entry.open and total is None and (pace := pace_of(path)) is not None:
            total = pace.steps
        return QueuePlace(entry, state, step, total, expected)

    def _standing(self, queue: RunQueue, idle: bool) -> str:
        waiting = queue.of("waiting")
        if queue.held:
            return "the queue is paused: tui-gen queue resume lets it go on"
        if idle:
            return "the queue is waiting, and nothing trains it: tui-gen queue start"
        hosts = {entry.host for entry in waiting}
        here = socket.gethostname()
        if hosts and not any(host in ("", here) or queueing.is_worked_on(self.root, host) for host in hosts):
            words = f"what waits was added on {', '.join(sorted(hosts))}, which does not train it"
            return f"{words}; tui-gen queue start trains it here"
        return ""
