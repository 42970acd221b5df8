"""Where runs come from: what the first lines of a log tell of a fork. Needs neither PyTorch nor the whole log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from tui_gen import events
from tui_gen.belongings import LOG
from tui_gen.files import open_regular
from tui_gen.log import event_log
from tui_gen.params import show
from tui_gen.quantities import count

BEGINNING = b'{"type":"fork"'
"""How the log of a fork begins."""
LENGTH = frozenset({"train.steps", "train.epochs", "train.minutes", "train.batch_size"})
"""Settings that change how many steps there will be."""
SHORT, LONGEST = 1 << 9, 1 << 16
"""So much of a log is read at first, and at most, in bytes: its first line, nearly always."""


class ForkOrigin(NamedTuple):
    """Where a run was forked from: the folder's name of the other run, what that one was called, and the step from
    which the two may differ.

    `start` is the step of the checkpoint that the fork began with: at most `step`, up to which it did the same again.
    `changes` are the settings that were changed, as (old, new) by their keys.
    """

    run: str
    step: int
    name: str = ""
    start: int = 0
    changes: dict[str, tuple[Any, Any]] = {}

    def folder(self, child: Path) -> Path | None:
        """Where the other run is, if it is still beside its fork."""
        path = child.parent / self.run
        return path if os.path.isdir(path) else None


class Child(NamedTuple):
    """A fork of a run: its folder, and the step from which it may differ."""

    path: Path
    step: int


def origin(path: Path | str) -> ForkOrigin | None:
    """Where a run was forked from; None for one that was not. Reads the first line of its log."""
    event = _first(str(path))
    return _origin(event) if event is not None else None


def lineage(path: Path | str) -> list[ForkOrigin]:
    """The same of the run, of the run that it is a fork of, and so on: what its log tells though those be deleted."""
    found = []
    for event in event_log.Follower(Path(path) / LOG).poll(LONGEST):
        if not isinstance(event, events.Fork):
            break
        found.append(_origin(event))
    return found


def children(path: Path) -> list[Child]:
    """The forks of a run among the folders beside it, by their steps. Of each only the first line is looked at, once.
    """
    path = Path(path)
    found = []
    try:
        with os.scandir(path.parent) as entries:
            for entry in entries:
                run, step = _known(entry)
                if run == path.name:
                    found.append(Child(path.parent / entry.name, step))
    except OSError:
        return []
    return sorted(found, key=lambda child: (child.step, child.path.name))


def words(event: events.Fork) -> str:
    """What a run is a fork of, and what was changed for it."""
    changes = [f"{key} {show(old)} → {show(new)}" for key, (old, new) in event.changes.items()]
    return ", ".join([f"forked from {event.run} at step {count(event.step)}", *changes])


_cache: dict[tuple[str, int], tuple[str, int]] = {}
"""By path and inode of a run's folder: what it is a fork of (or an empty text), and from which step."""


def _known(entry: os.DirEntry[str]) -> tuple[str, int]:
    place = entry.path, entry.inode()
    known = _cache.get(place)
    if known is None:
        event = _first(entry.path)
        known = (event.run, event.step) if event is not None else ("", 0)
        if event is not None or os.path.exists(f"{entry.path}/{LOG}"):  # else it is only being made
            _cache[place] = known
    return known


def _first(path: str) -> events.Fork | None:
    """The event that a log begins with, if it is a fork's."""
    try:
        with open_regular(Path(path, LOG)) as file:
            line = file.read(SHORT)
            if not line.startswith(BEGINNING):
                return None
            if b"\n" not in line:
                line += file.read(LONGEST)
    except OSError:
        return None
    event = events.decode(line.partition(b"\n")[0])
    return event if isinstance(event, events.Fork) else None


def _origin(event: events.Fork) -> ForkOrigin:
    changes = {key: (old, new) for key, (old, new) in event.changes.items()}
    start = event.step if event.start is None else event.start
    return ForkOrigin(event.run, event.step, event.name, start, changes)
