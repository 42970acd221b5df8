"""A folder of runs that are elsewhere, kept so that every reader takes it for one: written by what a link tells.

A log that nobody looked at is a `stub`: what the run came to and its last state, in a line each. It becomes the whole
log, byte for byte, when the run is looked at. Whether a run lives is told as any worker tells it: by a lock that this
process holds, and by `worker.json`, which names a socket of ours (see `proxies`).

All is below one private folder, under names that were checked; no link is made and none is followed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from pathlib import Path
from socket import gethostname

import msgspec

from tui_gen import bounds, events, presence, remarks, runs
from tui_gen.files import open_regular, read_regular
from tui_gen.history.run_summary import POINTS, STUB, RunSummary, told_in
from tui_gen.places import cache_dir
from tui_gen.remote.messages import FarFile, FarRun, LogPart, fingerprint, is_preview
from tui_gen.text import clean

UNUSED = 30 * 86400.0
"""Seconds after which what is kept of a place goes that nobody watched: it can be had again."""
MOST_MIRRORS = 20
"""Workbenches that watch one place at once, each in a folder of its own."""


def _taken(folder: Path) -> int | None:
    """A lock on a mirror's folder, held while the descriptor is open; None where another process has it."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    # Not filelock's, though it is used elsewhere: importing that takes 60 ms, for which the first frame would wait.
    if presence.attempt(descriptor, fcntl.LOCK_EX):
        return descriptor
    os.close(descriptor)
    return None


def tidy(base: Path) -> None:
    """Remove mirrors that nobody has opened for long."""
    for folder in list(base.iterdir()):
        lock = folder / "lock"
        if folder.is_symlink() or not 0 < presence.mtime(lock) < time.time() - UNUSED:
            continue
        if (descriptor := _taken(folder)) is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)


def is_folder_of_run(name: str) -> bool:
    """Whether a run's folder may be called so here."""
    return bounds.is_folder(name) and not name.startswith(".")


class Mirror:
    """The folder `root`. Of use from one thread at a time."""

    def __init__(self, root: Path, lock: int = -1) -> None:
        self.root, self._lock = root, lock
        self.rows: dict[str, FarRun] = {}
        self.rows_of_now: set[str] = set()
        """Runs that were told of since the link was made."""
        self._summaries: dict[str, RunSummary] = {}
        self._holds: dict[str, presence.Hold] = {}
        self._worker_files: dict[str, bytes] = {}
        """What was written last of the worker of a run."""
        self._aside: set[str] = set()
        """Runs whose log is being received beside the one that is there."""

    @classmethod
    def of(cls, place: str) -> Mirror:
        """That of a place, for this process alone. Raises RunError where nothing can be written."""
        digest = hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:10]
        name = f"{re.sub(r'[^A-Za-z0-9.@_-]+', '-', place).strip('-.')[:60]}-{digest}"
        base = cache_dir() / "watch"
        try:
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            base.chmod(0o700)
            tidy(base)
            for number in range(1, MOST_MIRRORS + 1):
                folder = base / (name if number == 1 else f"{name}-{number}")
                folder.mkdir(mode=0o700, exist_ok=True)
                if not folder.is_symlink() and (lock := _taken(folder)) is not None:
                    os.utime(lock)
                    (folder / "runs").mkdir(mode=0o700, exist_ok=True)
                    return cls(folder / "runs", lock)
        except OSError as error:
            raise runs.RunError(f"cannot write in {base}: {error.strerror or error}; set XDG_CACHE_HOME") from None
        raise runs.RunError(f"{place} is watched by {MOST_MIRRORS} others here already")

    # -- rows

    def take(self, row: FarRun, socket: str, keep_live: bool = False) -> bool:
        """Write down what is told of a run; whether it can be kept. `socket` is where its worker is asked.

        With `keep_live` it lives on for now, as the log that tells of its end is still to come.
        """
        name = row.folder
        if not is_folder_of_run(name):
            return False
        path = self.root / name
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
            os.mkdir(path / "samples", 0o700)
        self._notes(path, row)
        if row.summary is not None:
            summary = row.summary
            summary.metric = clean(summary.metric)[:200]
            summary.better = "higher" if summary.better == "higher" else "lower"
            summary.course = summary.course[:POINTS]
            self._summaries[name] = summary
        self.rows[name] = row
        self.rows_of_now.add(name)
        if row.live:
            self._hold(name)
        if not self.is_whole(name):
            self._stub(path, row)
        else:
            self.date(name)
        self._worker(name, row, socket)
        if not row.live and not keep_live:
            self.release(name)
        if row.config is not None:  # last: with it, it is a run
            self._put(path / runs.CONFIG, row.config, row.created)
        return True

    def _notes(self, path: Path, row: FarRun) -> None:
        if row.remarks:
            self._put(path / remarks.FILE, row.remarks, row.noted)
        elif row.remarks is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path / remarks.FILE)

    def _stub(self, path: Path, row: FarRun) -> None:
        """The log of a run that nobody has looked at."""
        summary = self._summaries.get(row.folder) or self._told_of(row.folder)
        state = events.State(t=row.updated, state=row.state, step=max(0, row.step), reason=row.reason)
        encoded = msgspec.json.encode(summary) if summary is not None else b"null"
        self._put(path / runs.LOG, STUB + encoded + b"}\n" + events.encode(state), row.updated)

    def _told_of(self, name: str) -> RunSummary | None:
        """The summary in a stub that is here."""
        with contextlib.suppress(OSError), open_regular(self.root / name / runs.LOG) as file:
            line = file.read(1 << 16).partition(b"\n")[0]
            return told_in(line) if line.startswith(STUB) else None
        return None

    def known(self) -> dict[str, tuple[float, float, float]]:
        """What is here of every run, as `messages.Begin` has it."""
        found = {}
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # somebody may have emptied the cache meanwhile
        for entry in os.scandir(self.root):
            if entry.is_dir(follow_symlinks=False) and os.path.isfile(f"{entry.path}/{runs.CONFIG}"):
                log = Path(entry.path) / runs.LOG
                summed = presence.mtime(log) if self.is_whole(entry.name) or self._told_of(entry.name) else 0.0
                times = presence.mtime(f"{entry.path}/{runs.CONFIG}"), presence.mtime(f"{entry.path}/{remarks.FILE}")
                found[entry.name] = (*times, summed)
        return found

    def is_whole(self, name: str) -> bool:
        """Whether the log of a run is here, or some of it, and no stub."""
        try:
            with open_regular(self.root / name / runs.LOG) as file:
                return not file.read(len(STUB)).startswith(STUB)
        except OSError:
            return False

    def _worker(self, name: str, row: FarRun, socket: str) -> None:
        """`worker.json`: of that worker, as if it were here, with a socket of ours."""
        path = self.root / name
        if not row.host:
            self._worker_files.pop(name, None)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path / presence.WORKER)
            return
        folder = os.stat(path)
        boot = presence.boot()
        info = presence.WorkerInfo(
            row.pid, row.host if boot else gethostname(), row.started, socket, row.since, row.worker, boot,
            os.path.realpath(path), folder.st_dev, folder.st_ino,
        )  # fmt: skip
        data = msgspec.json.encode(info)
        if self._worker_files.get(name) != data:
            self._put(path / presence.WORKER, data)
            self._worker_files[name] = data

    def _hold(self, name: str) -> None:
        if name not in self._holds:
            self._lock_file(name)
            with contextlib.suppress(OSError, presence.Taken):
                self._holds[name] = presence.Hold.take(self.root / name)

    def _lock_file(self, name: str) -> None:
        """The file that makes a folder a run; of mode 0600, as all here."""
        with contextlib.suppress(OSError):
            os.close(os.open(self.root / name / presence.LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))

    def release(self, name: str) -> None:
        """The run has no worker any more."""
        if (hold := self._holds.pop(name, None)) is not None:
            hold.release()
        else:
            self._lock_file(name)

    def is_held(self, name: str) -> bool:
        """Whether readers see a worker."""
        return name in self._holds

    def drop(self, name: str) -> None:
        """Forget a run that is not there any more, with all that is here of it."""
        if is_folder_of_run(name):
            self.release(name)
            for table in (self.rows, self._summaries, self._worker_files):
                table.pop(name, None)
            shutil.rmtree(self.root / name, ignore_errors=True)

    def keep_only(self) -> None:
        """Drop what was mirrored before and was not told of now."""
        for entry in list(os.scandir(self.root)):
            if entry.name not in self.rows and not entry.is_symlink():
                self.drop(entry.name)

    # -- logs and files

    def have(self, name: str) -> tuple[int, str]:
        """How much of a run's log is here, or was gathered beside it, and its fingerprint; nothing of a stub."""
        if name not in self._aside and not self.is_whole(name):
            return 0, ""
        with open_regular(self._growing(name)) as file:
            size = os.fstat(file.fileno()).st_size
            return size, fingerprint(file.fileno(), size)

    def append(self, part: LogPart) -> bool:
        """Write a part of a log; whether all that there is has come. Raises OSError.

        Another log than before is gathered beside it, and takes its place when it is all there. A part that does not
        follow on is refused with EPROTO.
        """
        name = part.run
        if part.fresh:
            self._aside.add(name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._growing(name))
        target = self._growing(name)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size != part.offset:
                raise OSError(errno.EPROTO, "a part of its log is missing", str(target))
            data = memoryview(part.data)
            while data:
                data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)
        whole = part.offset + len(part.data) >= part.total
        if whole and name in self._aside:
            self._aside.discard(name)
            os.replace(target, self.root / name / runs.LOG)
        return whole

    def date(self, name: str) -> None:
        """Give the log of a run that has ended the time of the one over there."""
        row = self.rows.get(name)
        if row is not None and not row.live:
            with contextlib.suppress(OSError):
                os.utime(self.root / name / runs.LOG, (row.updated, row.updated))

    def _growing(self, name: str) -> Path:
        """Where the next part of a run's log goes."""
        return self.root / name / (f".{runs.LOG}.part" if name in self._aside else runs.LOG)

    def shorten(self, name: str) -> None:
        """Make a log a stub again that nobody keeps up to date."""
        self._aside.discard(name)
        if (row := self.rows.get(name)) is not None:
            self._stub(self.root / name, row)

    def keep_file(self, file: FarFile) -> bool:
        """Write a file of a run; whether it is one that may be."""
        if file.path != "worker.log" and not is_preview(file.path):
            return False
        self._put(self.root / file.run / file.path, file.data)
        return True

    def _put(self, path: Path, data: bytes, when: float | None = None) -> None:
        """Replace a file, unless it is that already. Raises OSError."""
        with contextlib.suppress(OSError):
            if (when is None or abs(presence.mtime(path) - when) < 1e-6) and read_regular(path, len(data)) == data:
                return
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
        if when is not None:
            os.utime(aside, (when, when))
        os.replace(aside, path)

    def close(self) -> None:
        """Let go of every run, and of the folder."""
        for name in list(self._holds):
            self.release(name)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
