"""Whose run is it: the lock of whoever trains it, `worker.json`, and whether that worker lives.

`worker.lock` in a run directory is locked by the launcher before it starts a worker, which inherits the lock and keeps
it; the system lets go of it when that process ends, however it ends. Host names and process ids tell less: a host is
renamed, a container has process ids of its own, and a copied directory names the worker of the original.

Where the lock cannot tell (no locks on that file system, another machine that does not share them, a worker of an
older version), the process named in `worker.json` does on its own machine, and elsewhere the time of the lock file,
which a worker renews every BEAT seconds whatever it is busy with.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import math
import os
import socket
import sys
import threading
import time
from pathlib import Path

import msgspec

from tui_gen import batch, places
from tui_gen.files import read_regular, written_aside
from tui_gen.log import event_log

LOCK = "worker.lock"
WORKER = "worker.json"
BEAT = 15.0
"""Seconds between two signs of life of a worker."""
SILENT = 90.0
"""A worker on another machine that gave no sign of life for so many seconds is gone; file times travel slowly."""
HELD = "held by a signal"
"""What is said of a process that Ctrl-Z, or a batch system that suspends it, has stopped."""
PATIENCE = 5.0
"""Seconds to try for a lock that only readers hold: they look, which takes them microseconds."""


class Taken(Exception):
    """Somebody else holds the run's lock."""


class WorkerInfo(msgspec.Struct):
    """`worker.json`: the process that trains a run, and the folder that it trains.

    `started` tells it from a later process with the same pid, `boot` its machine from others and from the same one
    after a restart, `id` its answers from those of other workers; `path`, `device` and `inode` tell the folder from
    a copy, `processes` the numbering of processes that `pid` belongs to (a container has its own); `job` is the job of
    a batch system that it is part of, in words. Older versions wrote none of the last seven.
    """

    pid: int
    host: str
    started: str
    socket: str
    since: float = 0.0
    id: str = ""
    boot: str = ""
    path: str = ""
    device: int = 0
    inode: int = 0
    job: str = ""
    processes: str = ""


def process_started(pid: int) -> str:
    """A text that tells a process from a later one with the same pid; empty when there is no such process.

    A zombie (ended, not yet waited for) counts as ended.
    """
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rsplit(b")", 1)[1].split()
        except (OSError, IndexError):
            return ""
        return "" if fields[0] in (b"Z", b"X") else f"{boot()[:8]}-{fields[19].decode()}"
    import subprocess

    # One language and time zone, or two processes would tell the same moment in different words.
    words = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    command = ["ps", "-o", "lstart=", "-o", "stat=", "-p", str(pid)]
    try:
        fields_of_ps = subprocess.run(command, capture_output=True, text=True, check=False, env=words).stdout.split()
    except OSError:
        return ""
    return "" if not fields_of_ps or fields_of_ps[-1].startswith("Z") else " ".join(fields_of_ps[:-1])


def process_state(pid: int) -> str:
    """The letter by which the system tells what a process does (R, S, D, T, Z), or an empty text."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            return file.read().rpartition(") ")[2][:1]
    except OSError:
        return ""


def is_held(info: WorkerInfo) -> bool:
    """Whether a worker's process, which is in sight, does nothing until a signal lets it go on."""
    return process_state(info.pid) in ("T", "t") and alive(info)


@functools.cache
def boot() -> str:
    """What tells this start of this machine from all others; empty where the system does not tell (some sandboxes)."""
    with contextlib.suppress(OSError):
        if sys.platform != "darwin":
            return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        import subprocess

        command = ["sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return ""


@functools.cache
def processes() -> str:
    """What tells the numbering of processes that this one is part of from that of a container, or of the machine
    around it; empty where the system does not tell (macOS).
    """
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def described(run: Path, socket_path: str, id: str = "") -> WorkerInfo:
    """What `worker.json` of this process says, for the folder of a run."""
    folder, job = os.stat(run), batch.this_job()
    return WorkerInfo(
        os.getpid(), socket.gethostname(), process_started(os.getpid()), socket_path, time.time(), id or new_id(),
        boot(), os.path.realpath(run), folder.st_dev, folder.st_ino, job.words if job is not None else "", processes(),
    )  # fmt: skip


def new_id() -> str:
    """What tells a worker's answers from those of any other."""
    return os.urandom(8).hex()


def worker_of(run: Path | str) -> WorkerInfo | None:
    """What `worker.json` says, or None."""
    try:
        return msgspec.json.decode(read_regular(f"{run}/{WORKER}", 1 << 16), type=WorkerInfo)
    except (OSError, ValueError, RecursionError):  # ValueError: not JSON, not UTF-8, not what it should be
        return None


def here(info: WorkerInfo) -> bool:
    """Whether a worker is, or was, on this machine since its last start, whatever its name was then."""
    return info.boot == boot() if info.boot and boot() else info.host == socket.gethostname()


def in_sight(info: WorkerInfo) -> bool:
    """Whether a worker's process could be seen from here if it lived: it is on this machine, and in no container but
    this process's own.
    """
    return here(info) and (not info.processes or not processes() or info.processes == processes())


def alive(info: WorkerInfo | None) -> bool:
    """Whether that very process is among those that can be seen from here."""
    return info is not None and in_sight(info) and bool(info.started) and process_started(info.pid) == info.started


def about(info: WorkerInfo, run: Path | str) -> bool:
    """Whether a `worker.json` is about the folder that it lies in: a renamed folder is the same, a copy is not.

    Over a network that cannot be told: there it always is.
    """
    if not info.inode or not here(info):
        return True
    try:
        folder = os.stat(run)
    except OSError:
        return False
    # The same folder can have another device where it is mounted once more.
    return folder.st_ino == info.inode and (folder.st_dev == info.device or os.path.realpath(run) == info.path)


def held(run: Path | str) -> bool | None:
    """Whether somebody holds a run's lock. None where that cannot be told: no lock file, no right to look, no locks."""
    try:
        handle = os.open(f"{run}/{LOCK}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        return not attempt(handle, fcntl.LOCK_SH)
    except OSError:
        return None
    finally:
        os.close(handle)


def silence(run: Path | str) -> float:
    """Seconds since a run's worker gave a sign of life, as far as can be told from here.

    By the clock of the file system; where nothing can be written there, or each machine's own clock counts (Lustre,
    sshfs), that may be another than ours, so a sign that came while we looked counts, and one from the future only for
    as long as somebody here has looked.
    """
    at, now = last_sign(run), time.monotonic()
    by_clock = clock(run) - at
    value, first, change = _looks.get(str(run)) or (at, now - (_known_for(run, at) if by_clock < 0 else 0), -math.inf)
    if value != at:
        first, change = now, now if at > value else -math.inf  # older than before: a folder put in place of another
    if len(_looks) > MOST_LOOKS:
        _looks.clear()
    _looks[str(run)] = at, first, change
    return min(by_clock, now - change) if by_clock >= 0 else now - first


def _known_for(run: Path | str, at: float) -> float:
    """Seconds since a process on this machine first saw this sign of life: a command looks but once, and goes by what
    those before it have seen."""
    key, now = os.path.abspath(run), time.time()
    with contextlib.suppress(OSError, places.NoHome):
        place, known = places.cache_dir() / "signs.json", dict[str, tuple[float, float]]()
        with contextlib.suppress(OSError, ValueError, RecursionError):
            known = msgspec.json.decode(read_regular(place, 1 << 20), type=dict[str, tuple[float, float]])
        sign, since = known.pop(key, (0.0, 0.0))
        if sign == at and since <= now:
            return now - since
        place.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(place) as aside:
            aside.write_bytes(msgspec.json.encode({**dict([*known.items()][-MOST_SIGNS:]), key: (at, now)}))
    return 0.0


MOST_LOOKS, MOST_SIGNS = 4096, 100
_looks: dict[str, tuple[float, float, float]] = {}
"""Of each run: its last sign of life, and by our steady clock when that was first seen, and seen to be another."""
_skews: dict[int, tuple[float, float]] = {}
"""By device: how far ahead of its clock ours is, and when that was found out."""
KEEP_SKEW = 600.0


def clock(run: Path | str) -> float:
    """What time it is by the clock of the file system that a run lies in: a server's may be another than ours.

    A file without a name tells, where one can be made beside the run or in it; else it is our own time.
    """
    beside = os.path.dirname(os.path.abspath(run))
    try:
        device = os.stat(beside).st_dev
    except OSError:
        return time.time()
    skew, since = _skews.get(device, (0.0, -math.inf))
    if time.monotonic() - since > KEEP_SKEW:
        skew = 0.0
        for folder in (beside, run):
            with contextlib.suppress(OSError):
                skew = _skew(folder)
                break
        _skews[device] = skew, time.monotonic()
    return time.time() - skew


def _skew(folder: Path | str) -> float:
    import tempfile  # seldom wanted, and not quick to import

    with tempfile.TemporaryFile(dir=folder, prefix=".tui-gen-clock-") as file:
        file.write(b".")
        file.flush()
        return time.time() - os.fstat(file.fileno()).st_mtime


def since(run: Path | str) -> str:
    """When a run's worker gave its last sign of life, by our clock, in words: `since 14:03:05`."""
    at, now = last_sign(run) + time.time() - clock(run), time.time()
    form = "%H:%M:%S" if abs(now - at) < 20 * 3600 else "%d %b %Y %H:%M"
    return f"since {time.strftime(form, time.localtime(at))}"


def age(path: Path | str) -> float:
    """Seconds since a file of a run was changed, by the clock of its file system."""
    return clock(os.path.dirname(path)) - mtime(path)


def last_sign(run: Path | str) -> float:
    """When a run's worker gave its last sign of life, by the clock of the file system."""
    return max(mtime(f"{run}/{LOCK}"), mtime(f"{run}/events.jsonl"))


def mtime(path: Path | str) -> float:
    """When a file was last changed; 0 where there is none."""
    try:
        return os.stat(path).st_mtime
    except (OSError, ValueError):
        return 0.0


def attempt(handle: int, kind: int) -> bool:
    """Try to lock an open file. Raises OSError where its file system has no locks."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


_handles: set[int] = set()


def _forked() -> None:
    """A forked child (a process that loads data, say) must not hold on to a lock when its parent is gone."""
    while _handles:
        with contextlib.suppress(OSError):
            os.close(_handles.pop())


os.register_at_fork(after_in_child=_forked)


class Hold:
    """A run's lock, from `take` or `adopt` until `release`, or until the process ends.

    Where the lock file cannot be locked, or not even made for want of room, it is a hold all the same: everything
    then rests on `worker.json` and on signs of life.
    """

    def __init__(self, folder: int, handle: int) -> None:
        self._folder, self._handle = folder, handle
        self.certain = False
        """Whether the lock is really held, and anybody who asks will see it."""
        self._guard = threading.Lock()
        self._over = threading.Event()
        _handles.update(descriptor for descriptor in (folder, handle) if descriptor >= 0)

    @classmethod
    def take(cls, run: Path) -> Hold:
        """Take the lock of a run. Raises Taken, or OSError where nothing can be written there."""
        folder = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        hold = cls(folder, -1)
        try:
            hold._lock()
        except BaseException:
            hold.release()
            raise
        return hold

    @classmethod
    def adopt(cls, run: Path, handle: int) -> Hold | None:
        """The hold that a parent took and passed on as an open file. None where it is worth nothing, as the run was
        moved away meanwhile, or another put in its place: who then takes that one's lock is told.
        """
        try:
            folder = os.open(run, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            os.close(handle)
            return None
        os.set_inheritable(handle, False)
        hold = cls(folder, handle)
        if not hold._in_place(handle):
            hold.hand_over()
            return None
        hold.certain = True
        return hold

    def _lock(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                handle = self._open()
            except OSError as error:
                if error.errno in event_log.FULL:
                    return
                raise
            keep = False
            try:
                if attempt(handle, fcntl.LOCK_EX):
                    # It may have been deleted between the two calls; then the one that is there now counts.
                    keep = self.certain = self._in_place(handle)
                elif not attempt(handle, fcntl.LOCK_SH) or time.monotonic() > deadline:
                    raise Taken
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                keep = True
            finally:
                if keep:
                    self._handle = handle
                    _handles.add(handle)
                else:
                    os.close(handle)
            if keep:
                return
            time.sleep(0.002)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(LOCK, flags, 0o644, dir_fd=self._folder)

    def _in_place(self, handle: int) -> bool:
        try:
            there, ours = os.stat(LOCK, dir_fd=self._folder, follow_symlinks=False), os.fstat(handle)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    @property
    def handle(self) -> int:
        """The open file to pass to a child, or -1."""
        return self._handle

    def keep_alive(self) -> None:
        """Give signs of life from now on, in a thread of its own: the training thread may be busy for long."""
        threading.Thread(target=self._beat, name="sign-of-life", daemon=True).start()

    def _beat(self) -> None:
        while True:
            with self._guard, contextlib.suppress(OSError, Taken):
                if self._over.is_set():
                    return
                self.renew()
            self._over.wait(BEAT)

    def renew(self) -> None:
        """One sign of life. A lock file that somebody removed is made again."""
        if os.fstat(self._folder).st_nlink and not (self._handle >= 0 and self._in_place(self._handle)):
            before, self._handle = self._handle, -1
            try:
                self._lock()
            finally:
                if self._handle < 0:
                    self._handle = before
                elif before >= 0:
                    self._drop(before)
        if self._handle >= 0:
            os.utime(self._handle)

    def release(self) -> None:
        """Let go of it, also where a child of ours still has it open."""
        self._close(unlock=True)

    def hand_over(self) -> None:
        """Leave it to the child that has inherited it."""
        self._close(unlock=False)

    def _close(self, unlock: bool) -> None:
        self._over.set()
        locked = self._guard.acquire(timeout=1.0)  # the disk may hang
        if unlock and self._handle in _handles:
            with contextlib.suppress(OSError):
                fcntl.flock(self._handle, fcntl.LOCK_UN)
        self._drop(self._handle)
        self._drop(self._folder)
        self._handle = self._folder = -1
        if locked:
            self._guard.release()

    @staticmethod
    def _drop(handle: int) -> None:
        if handle in _handles:
            _handles.discard(handle)
            os.close(handle)

    def __enter__(self) -> Hold:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EBADF}
"""What a file system without locks answers."""
