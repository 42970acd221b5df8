"""Looks at a folder of runs again and again: what changed since the last look."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Collection
from pathlib import Path

from tui_gen import control, runs
from tui_gen.history import run_index
from tui_gen.history.run_index import Row
from tui_gen.runs import RunInfo

AROUND = 15
"""Looks in which every run that has ended is looked into once, whatever its log says."""
SETTLING = 5
"""Looks until a new run has all the files that make it one."""
MANY = 100
"""Runs from which those that have ended, and are not on screen, are looked at in turn only."""
AT_A_TIME = 50
"""Of very many runs, so many are looked into each time, and so many of the newest at first: a screen of them."""
FILES = ("config.toml", "events.jsonl", "worker.json", "worker.lock", "remarks.json")
"""What the row of a run is made from."""


class RunList:
    """The runs of a folder, read again only where files changed: cheap enough for every two seconds.

    Of a run that has ended the log tells: it grows where the run goes on. Its other files are looked at in turn, and so
    are the logs of those that are not on screen where there are many. Whoever trains on this machine opens a socket:
    when one came or went, all are looked at.

    Who wants something to show at once may `begin` with what was kept the last time.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.problem = ""
        self.unread = 0
        """Runs that the last look had no time for: they have the names of their folders for now."""
        self._rows: dict[str, Row] = {}
        self._looks = 0
        self._folders: list[tuple[float, str]] = []
        self._changed = 0
        """The time of the folder of all runs, as of the last look."""
        self._anew = 0
        """Looks in which all of it is still to be read."""
        self._sockets = -1
        self._live: set[str] = set()
        self._infos: list[RunInfo] = []
        self.unsaved = False
        """Whether runs that have ended are known which the index does not have, or has otherwise."""

    def begin(self, seconds: float) -> list[RunInfo]:
        """The runs as the index has them, but for those that are gone; the newest, and those that lived then, as they
        are now, as far as `seconds` suffice. None where there is no index. The first `refresh` looks at all of them.
        """
        deadline = time.monotonic() + seconds
        if not (index_rows := run_index.read(self.root)):
            return []
        try:
            with os.scandir(self.root) as entries:
                paths = [entry.path for entry in entries]
        except OSError:
            return []
        for path in paths:
            if (row := index_rows.get(path)) is not None:
                self._folders.append((row[0][0], path))
            elif time.monotonic() < deadline and (creation := runs.made_at(path)) is not None:
                self._folders.append((creation, path))
        self._folders.sort(reverse=True)
        for number, (created, path) in enumerate(self._folders):
            row, is_late = index_rows.get(path), time.monotonic() > deadline
            if not is_late and (row is None or row[2].live or number < AT_A_TIME):
                self._rows[path] = self._read(row, path, created, whole=True)
            elif row is None or row[2].live:
                self._rows[path] = [created], [], _named(path, created)
            else:  # with no sign of its log: all its files are looked at next time
                self._rows[path] = [], row[1], row[2]
        self._infos = [info for _, _, info in self._rows.values()]
        return self._infos

    def save(self) -> None:
        """Keep what is known for the next time."""
        if self.unsaved and not self.unread:
            self.unsaved = False
            run_index.write(self.root, list(self._rows.values()))

    def refresh(self, whole: bool = False, near: Collection[str] = (), seconds: float = math.inf) -> list[RunInfo]:
        """As `runs.list_runs`; `whole` looks into every run. `problem` tells why the folder cannot be read.

        The runs that are `near` are looked at each time. After so many `seconds` the rest stays as it was, but for the
        newest. The list is the same one as the last time where nothing changed.
        """
        self._looks += 1
        deadline = time.monotonic() + seconds
        around = max(AROUND, len(self._folders) // AT_A_TIME)
        found = self._find(whole or self._looks % around == 1)
        sockets = _time_of_sockets()
        everywhere = whole or found or sockets != self._sockets or len(self._folders) <= MANY
        turn = -self._looks % around
        if everywhere or self.unread:
            self._look_at_all(whole, around, turn, deadline)
            self._sockets = self._sockets if self.unread else sockets
        else:
            for created, path in self._folders[turn::around]:
                self._look_at(path, created, True)
            for path in {*near, *self._live} & self._rows.keys():
                self._look_at(path, self._rows[path][0][0], False)
        if not self._infos:
            self._infos = [info for _, _, info in self._rows.values()]
        return self._infos

    def _look_at_all(self, whole: bool, around: int, turn: int, deadline: float) -> None:
        """Look at every run, as far as there is time."""
        before, self._rows, self.unread = self._rows, {}, 0
        for number, (created, path) in enumerate(self._folders):
            if number >= AT_A_TIME and time.monotonic() > deadline:
                self.unread += 1
                self._rows[path] = before.get(path) or ([created], [], _named(path, created))
            else:
                self._rows[path] = self._read(before.get(path), path, created, whole or number % around == turn)
        infos = [info for _, _, info in self._rows.values()]
        changed = [new for new, old in zip(infos, self._infos) if new is not old]
        if len(infos) != len(self._infos) or changed:
            self.unsaved = self.unsaved or len(infos) != len(self._infos) or not all(info.live for info in changed)
            self._infos = infos
        self._live = {path for path, row in self._rows.items() if row[2].live}

    def _look_at(self, path: str, created: float, whole: bool) -> None:
        """Look at a run that is known."""
        before = self._rows[path]
        row = self._rows[path] = self._read(before, path, created, whole)
        if row[2] is not before[2]:
            self._infos = []
            self.unsaved = self.unsaved or not row[2].live
            (self._live.add if row[2].live else self._live.discard)(path)

    def _find(self, whole: bool) -> bool:
        """Which folders are runs: looked for where some came or went, and a while longer, until they are complete.

        Whether they were looked for.
        """
        try:
            changed = os.stat(self.root).st_mtime_ns
        except OSError:
            changed = 0
        if changed != self._changed:
            self._changed, self._anew = changed, SETTLING
        elif not self._anew and not whole and not self.problem:
            return False
        self._anew = max(0, self._anew - 1)
        self.problem = ""
        try:
            self._folders = runs.folders(self.root)
        except runs.RunError as error:
            self.problem, self._folders = str(error), []
        return True

    def _read(self, known: Row | None, path: str, created: float, whole: bool) -> Row:
        signs = [created, *_stamp(path, "events.jsonl")]
        if known is not None and known[0] == signs and not known[2].live and not whole:
            return known
        stamp = _stamp(path, *FILES)
        if known is not None and known[1] == stamp and not known[2].live:
            return signs, stamp, known[2]
        info = runs.info_of(path, created)
        if known is not None and known[2] == info:  # the same one: who compares lists sees at once that it is
            info = known[2]
        return signs, stamp, info


def _stamp(path: str, *names: str) -> list[float]:
    """The times and sizes of some files of a run: where its row is another, one of them is."""
    stamp = []
    for name in names:
        try:
            status = os.stat(f"{path}/{name}")
            stamp += [status.st_mtime, float(status.st_size)]
        except OSError:
            stamp += [0.0, 0.0]
    return stamp


def _named(path: str, created: float) -> RunInfo:
    """A run that was not looked into yet."""
    return RunInfo(path, os.path.basename(path), "", 0, None, "", created, created)


def _time_of_sockets() -> int:
    """When a worker of this user came or went last on this machine."""
    try:
        return os.stat(control.runtime_dir()).st_mtime_ns
    except (OSError, control.ControlError):
        return 0
