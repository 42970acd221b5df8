"""When what is in a queue will end: from the pace of what is trained, and from runs like it that are over.

An estimate, and said as one; where nothing is known it says nothing.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

from tui_gen import presence, runs, slots, toml
from tui_gen.config import named
from tui_gen.files import read_regular
from tui_gen.headline import MOST, headline
from tui_gen.pace import RunPace, pace_of
from tui_gen.quantities import duration
from tui_gen.queue.queueing import QueueEntry, RunQueue

NEWEST = 300
"""So many of the newest runs are looked at for some like a config."""
ALIKE = 3
"""Of those most like it so many say how long it takes."""


class Expected(NamedTuple):
    """When an entry is expected to end, in seconds since the epoch, or None where nobody knows; and its length in
    seconds, where that is known.
    """

    end: float | None
    seconds: float | None = None

    def words(self, now: float | None = None) -> str:
        """`≈ 14:32`, `≈ Tue 09:05`, `≈ 24 Dec`; `takes ≈ 3 min 05 s` where nobody knows when it begins; else `unknown`.
        """
        if self.end is None:
            return f"takes {length_words(self.seconds)}" if self.seconds is not None else "unknown"
        now = time.time() if now is None else now
        then, today = time.localtime(self.end), time.localtime(now)
        if then[:3] == today[:3]:
            return time.strftime("≈ %H:%M", then)
        return time.strftime("≈ %a %H:%M" if self.end - now < 6 * 86400 else "≈ %d %b", then)


def length_words(seconds: float | None) -> str:
    """A length that was predicted: `≈ 3 min 05 s`, or `unknown`."""
    return f"≈ {duration(seconds)}" if seconds is not None else "unknown"


class Forecast:
    """Predicts ends in the queue of a folder of runs; what it has read of runs that are over it keeps."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._tables: dict[str, dict[str, Any]] = {}
        self._lengths: dict[str, float | None] = {}
        self._folders: tuple[float, list[str]] = (0.0, [])

    def ends(self, queue: RunQueue, now: float | None = None, stands: bool = False) -> dict[int, Expected]:
        """When each entry that is open is expected to end, by its number; where the queue `stands`, nothing begins."""
        now = time.time() if now is None else now
        devices = slots.here()
        free: dict[str, float | None] = {}
        expected: dict[int, Expected] = {}
        for entry in queue.of("running"):
            end = self._end_of_running(entry, now)
            expected[entry.id] = Expected(end)
            free[f"{entry.by} {entry.slot}"] = end
        for entry in queue.of("waiting"):
            seconds = self.length(entry.config)
            places = [f"{entry.host} {slot}" for slot in slots.wanted(entry.device, devices)]
            # On whichever device is free first; one of which nobody knows when that is, is the last.
            place = min(places, key=lambda name: free.get(name, now) or float("inf"))
            start = free.get(place, now)
            end = start + seconds if start is not None and seconds is not None and not stands else None
            if entry.reason:  # for somebody else's run: when that ends is not the queue's to say
                end = None
            expected[entry.id] = Expected(end, seconds)
            free[place] = end
        return expected

    def _end_of_running(self, entry: QueueEntry, now: float) -> float | None:
        path = entry.path(self.root)
        pace = pace_of(path) if path is not None else None
        if pace is not None and pace.remaining is not None:
            return now + pace.remaining
        seconds = self.length(entry.config)
        return max(now, entry.started + seconds) if seconds is not None and entry.started else None

    def length(self, config: str) -> float | None:
        """Seconds that a config (as TOML) takes from its start to its end; None where no run of its model on its data
        is over on this machine."""
        if config not in self._lengths:
            tables = _parsed(config)
            self._lengths[config] = self._length(tables, self._like(tables))
        return self._lengths[config]

    def forget(self) -> None:
        """Some run has ended: what it took tells more of what waits."""
        self._lengths.clear()

    def _length(self, tables: dict[str, Any], paces: list[RunPace]) -> float | None:
        train = tables.get("train")
        if not isinstance(train, dict) or not paces:
            return None
        steps, epochs, minutes = (_number(train.get(key)) for key in ("steps", "epochs", "minutes"))
        before = statistics.median(pace.before for pace in paces)
        if minutes:
            return before + 60 * minutes
        per_step = statistics.median(pace.step_seconds or 0.0 for pace in paces)
        steps = steps or epochs * statistics.median(pace.epoch_steps for pace in paces)
        return before + steps * per_step if steps and per_step else None

    def _like(self, tables: dict[str, Any]) -> list[RunPace]:
        """The pace of the runs that are most like a config, of the same model on the same data, the newest first."""
        model, dataset = named(tables, "model"), named(tables, "dataset")
        scored: list[tuple[int, RunPace]] = []
        for path in self._newest():
            head = headline(f"{path}/{runs.CONFIG}")
            if head.get("model") != model or head.get("dataset", dataset) != dataset:
                continue
            worker = runs.worker_of(path)
            if worker is not None and not presence.here(worker):
                continue
            pace = pace_of(path)
            if pace is None or pace.step_seconds is None:
                continue
            scored.append((self._likeness(path, tables), pace))
            if sum(score == 3 for score, _ in scored) >= ALIKE:
                break
        best = max((score for score, _ in scored), default=0)
        return [pace for score, pace in scored if score == best][:ALIKE]

    def _newest(self) -> list[str]:
        now = time.monotonic()
        if not self._folders[1] or now - self._folders[0] > 10:
            self._folders = (now, [path for _, path in runs.folders(self.root)[:NEWEST]])
        return self._folders[1]

    def _likeness(self, path: str, tables: dict[str, Any]) -> int:
        """3: the same model and batch, on the same device; 2: the same batch and device; 1: the same device; else 0."""
        if path not in self._tables:
            try:
                self._tables[path] = _parsed(read_regular(f"{path}/{runs.CONFIG}", MOST).decode())
            except (OSError, ValueError):
                self._tables[path] = {}
        its = self._tables[path]
        train, its_train = (table.get("train") for table in (tables, its))
        if not isinstance(train, dict) or not isinstance(its_train, dict):
            return 0
        keys = ("device", "precision", "threads", "compile")
        if any(train.get(key) != its_train.get(key) for key in keys):
            return 0
        if train.get("batch_size") != its_train.get("batch_size"):
            return 1
        return 3 if tables.get("model") == its.get("model") else 2


def _parsed(text: str) -> dict[str, Any]:
    try:
        return toml.loads(text)
    except (ValueError, RecursionError):
        return {}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
