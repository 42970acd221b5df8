"""The queue of a folder of runs: configs that are trained one after another on each device, whoever looks on.

It is a plain file, `queue.json` beside the runs, and everybody changes it at once: workbenches, the command line, the
runners that train what is in it, on all machines that share the folder. Who changes it holds the lock of `.queue/`,
reads it anew, and puts another file in its place; so no entry is lost, and who only looks needs no lock.

An entry belongs to the machine where it was added: a folder may be shared with one on which nobody should train. On
each machine one `queue_runner` trains them, from the first addition on until nothing is left.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tui_gen import config as configs
from tui_gen import presence, runs
from tui_gen.config import RunConfig
from tui_gen.files import read_regular
from tui_gen.runs import RunError

if TYPE_CHECKING:
    from filelock import BaseFileLock

FILE = "queue.json"
FOLDER = ".queue"
FORMAT = 1
MOST = 256 << 20
"""The largest queue that is read, in bytes."""
PATIENCE = 20.0
"""Seconds to wait for others who change the queue; each takes milliseconds."""
STATES = ("waiting", "running", "done", "failed", "cancelled")
OPEN = ("waiting", "running")
"""States of entries that are not over."""
PLACES = ("up", "down", "top", "bottom")


class QueueEntry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One config in the queue, and what became of it.

    `config` is all of it as TOML; `device` is its `train.device`. `host` is where it was added, `by` which machine
    trains (or trained) it, since that machine's start `boot`, and `slot` the device there; `run` is the folder of the
    run that it became. `begun` says that there was such a folder: before, nothing is lost. `resumed` counts how often
    its worker died since it last got further than `step`. `reason` says why it waits or how it ended. Entries of a
    `group` are a sweep: in `values` they have what was chosen for each. Times are seconds since the epoch, 0 where
    there is none yet.
    """

    id: int
    name: str
    config: str
    model: str = ""
    dataset: str = ""
    device: str = "auto"
    state: str = "waiting"
    host: str = ""
    by: str = ""
    boot: str = ""
    slot: str = ""
    run: str = ""
    begun: bool = False
    resumed: int = 0
    step: int = 0
    reason: str = ""
    added: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    group: str = ""
    values: dict[str, Any] = {}

    @property
    def open(self) -> bool:
        """Whether it is not over."""
        return self.state in OPEN

    def path(self, root: Path) -> Path | None:
        """The run that it became, in a folder of runs; None where it has none (or names one elsewhere)."""
        return Path(root) / self.run if is_folder_name(self.run) else None


class QueueDraft(msgspec.Struct, kw_only=True):
    """A config to be added: checked, complete, as TOML."""

    name: str
    config: str
    model: str = ""
    dataset: str = ""
    device: str = "auto"
    group: str = ""
    values: dict[str, Any] = {}


class RunQueue(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All entries, those that wait in the order in which they are trained; while `held` nothing is begun."""

    format: int = FORMAT
    held: bool = False
    next_id: int = 1
    entries: list[QueueEntry] = []

    def get(self, id: int) -> QueueEntry | None:
        """The entry with this number."""
        return next((entry for entry in self.entries if entry.id == id), None)

    def of(self, *states: str) -> list[QueueEntry]:
        """The entries in these states, in order."""
        return [entry for entry in self.entries if entry.state in states]

    def in_order(self) -> list[QueueEntry]:
        """As a list shows them: what is trained, what waits in its order, then what is over, the newest first."""
        over = sorted((entry for entry in self.entries if not entry.open), key=lambda entry: -entry.ended)
        return [*self.of("running"), *self.of("waiting"), *over]


def is_folder_name(name: str) -> bool:
    """Whether a name is that of a folder beside others, and of none elsewhere."""
    return bool(name) and name[0] != "." and not set(name) & {"/", "\\", "\0"}


def file_of(root: Path) -> Path:
    """Where the queue of a folder of runs is."""
    return Path(root) / FILE


def read(root: Path) -> RunQueue:
    """The queue of a folder of runs; empty where there is none. Raises RunError where it cannot be read."""
    path = file_of(root)
    try:
        data = read_regular(path, MOST)
    except FileNotFoundError:
        return RunQueue()
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        queue = msgspec.json.decode(data, type=RunQueue)
    except (ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise RunError(f"{path} is no queue: {why}; mend it, or move it away to begin another") from None
    if queue.format > FORMAT:
        raise RunError(f"{path} was written by a newer tui-gen; upgrade tui-gen to use it")
    _check(queue, path)
    return queue


def _check(queue: RunQueue, path: Path) -> None:
    """Raise RunError for what no tui-gen writes, but somebody's editor may."""
    numbers = [entry.id for entry in queue.entries]
    doubled = next((number for number in numbers if numbers.count(number) > 1), None) if _doubled(numbers) else None
    strange = next((entry for entry in queue.entries if entry.state not in STATES), None)
    if doubled is not None:
        raise RunError(f"{path} is no queue: it has two entries with the id {doubled}; give one of them another")
    if strange is not None:
        known = ", ".join(STATES)
        raise RunError(f"{path} is no queue: entry {strange.id} is {strange.state!r}, which is none of {known}")
    queue.next_id = max([queue.next_id, *(number + 1 for number in numbers)])


def _doubled(numbers: list[int]) -> bool:
    return len(set(numbers)) < len(numbers)


def stamp(root: Path) -> tuple[int, int, int]:
    """What is another where the queue is: looked at often, as that takes a microsecond."""
    try:
        status = os.stat(file_of(root))
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def changing(root: Path) -> Iterator[RunQueue]:
    """The queue to be changed: it is written where it is another afterwards, and nobody else changes it meanwhile.

    Raises RunError where it cannot be read, locked or written; then, and where the block raises, it stays as it was.
    """
    with locked(root):
        queue = read(root)
        before = msgspec.json.encode(queue)
        yield queue
        if msgspec.json.encode(queue) != before:
            try:
                runs.write_atomic(file_of(root), msgspec.json.format(msgspec.json.encode(queue), indent=1) + b"\n")
            except OSError as error:
                raise RunError(f"cannot write {file_of(root)}: {error.strerror or error}") from error


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the queue's lock. Raises RunError where nothing can be written there, or somebody does not let go of it."""
    from filelock import FileLock, Timeout

    folder = Path(root) / FOLDER
    runs.refuse_unwritable(root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock: BaseFileLock = FileLock(folder / "lock", thread_local=False)
        try:
            lock.acquire(timeout=PATIENCE, poll_interval=0.01)
        except OSError as error:
            if isinstance(error, Timeout) or error.errno not in presence.NO_LOCKS:
                raise
            lock = _without_locks(folder)
        except NotImplementedError:
            lock = _without_locks(folder)
    except TimeoutError:  # filelock's is one
        raise RunError(f"the queue in {root} is being changed by a process that does not end; try again") from None
    except OSError as error:
        raise RunError(f"cannot lock the queue in {root}: {error.strerror or error}") from None
    try:
        yield
    finally:
        lock.release()


def _without_locks(folder: Path) -> BaseFileLock:
    """On a file system without locks: a file that only one can make. One that was left behind is taken away."""
    from filelock import SoftFileLock

    place = folder / "lock.made"
    if time.time() - presence.mtime(place) > 2 * PATIENCE:
        with contextlib.suppress(OSError):
            place.unlink()
    lock = SoftFileLock(place, thread_local=False)
    lock.acquire(timeout=PATIENCE, poll_interval=0.02)
    return lock


# -- what is done to it


def draft(config: RunConfig, group: str = "", values: dict[str, Any] | None = None) -> QueueDraft:
    """A checked and settled config, as it is put into a queue; of a sweep's, with what was chosen for it."""
    return QueueDraft(
        name=config.name or config.model.name, config=configs.dumps(config), model=config.model.name,
        dataset=config.dataset.name, device=config.train.device, group=group, values=values or {},
    )  # fmt: skip


def add(
    root: Path, drafts: Sequence[QueueDraft], *, top: bool = False, sweep: bool = False
) -> list[QueueEntry]:
    """Put configs at the end of the queue, or before all others; as a group of their own where they are a `sweep`.

    The entries. Raises RunError.
    """
    with changing(root) as queue:
        entries = []
        group = f"sweep-{queue.next_id}" if sweep else ""
        for draft in drafts:
            entries.append(
                QueueEntry(
                    id=queue.next_id, name=draft.name, config=draft.config, model=draft.model, dataset=draft.dataset,
                    device=draft.device, group=group or draft.group, values=draft.values, host=socket.gethostname(),
                    added=time.time(),
                )
            )  # fmt: skip
            queue.next_id += 1
        queue.entries = [*entries, *queue.entries] if top else [*queue.entries, *entries]
    return entries


def move(root: Path, id: int, where: str) -> int:
    """Move an entry that waits `up` or `down` by one, to the `top` or the `bottom`; its place among those, from 1 on.

    Raises RunError where there is no such entry, or it does not wait.
    """
    with changing(root) as queue:
        entry = named(queue, id)
        if entry.state != "waiting":
            raise RunError(f"entry {id} ({entry.name}) is {entry.state}: only what waits can be moved")
        waiting = queue.of("waiting")
        place = waiting.index(entry)
        waiting.remove(entry)
        target = {"up": max(0, place - 1), "down": place + 1, "top": 0, "bottom": len(waiting)}[where]
        waiting.insert(target, entry)
        queue.entries = [*(other for other in queue.entries if other.state != "waiting"), *waiting]
        return min(target, len(waiting) - 1) + 1


def remove(root: Path, ids: Sequence[int]) -> list[QueueEntry]:
    """Take entries out of the queue; what they became stays. Raises RunError for one that is being trained, and then
    all stay."""
    with changing(root) as queue:
        entries = [named(queue, id) for id in dict.fromkeys(ids)]
        for entry in entries:
            if entry.state == "running":
                way = f"tui-gen stop {entry.run} ends that" if entry.begun else "try again"
                raise RunError(f"entry {entry.id} ({entry.name}) is being trained; {way}")
        queue.entries = [entry for entry in queue.entries if entry not in entries]
    return entries


def again(root: Path, id: int) -> QueueEntry:
    """Put an entry that is over at the end of the queue once more, as a new one. Raises RunError."""
    queue = read(root)
    entry = named(queue, id)
    if entry.open:
        raise RunError(f"entry {id} ({entry.name}) is {entry.state}: it is in the queue")
    fields = {name: getattr(entry, name) for name in QueueDraft.__struct_fields__}
    return add(root, [QueueDraft(**fields)])[0]


def hold(root: Path, held: bool = True) -> bool:
    """Begin nothing of the queue any more, or let it go on; whether that is another than it was. Raises RunError."""
    with changing(root) as queue:
        changed, queue.held = queue.held != held, held
    return changed


def clear(root: Path, *, waiting: bool = False) -> int:
    """Take out what is over but for sweeps, whose results are looked at, and with `waiting` all that is not being
    trained; how many there were. Raises RunError."""
    with changing(root) as queue:
        rest = [
            entry for entry in queue.entries
            if entry.state == "running" or ((entry.open or entry.group) and not waiting)
        ]  # fmt: skip
        count = len(queue.entries) - len(rest)
        queue.entries = rest
    return count


def update(root: Path, id: int, change: Callable[[QueueEntry], None]) -> QueueEntry | None:
    """Change one entry by a function; the entry as it is then, or None where it was taken out. Raises RunError."""
    with changing(root) as queue:
        entry = queue.get(id)
        if entry is not None:
            change(entry)
    return entry


def named(queue: RunQueue, id: int) -> QueueEntry:
    """The entry with this number. Raises RunError that says which there are."""
    entry = queue.get(id)
    if entry is None:
        numbers = [str(other.id) for other in queue.entries]
        there = f"it has {', '.join(numbers[:20])}{', …' if len(numbers) > 20 else ''}" if numbers else "it is empty"
        raise RunError(f"no entry {id} in the queue; {there}")
    return entry


def new_folder(name: str) -> str:
    """A name for the folder of a run of a config with this name, as `runs.create` would make one."""
    tail = "".join(random.SystemRandom().choices("abcdefghjkmnpqrstuvwxyz23456789", k=4))
    return f"{time.strftime('%Y%m%d-%H%M')}-{runs.slug(name)}-{tail}"


# -- who trains it


def host_folder(root: Path, host: str = "") -> Path:
    """What the runner of a machine (this one, unless named) has for itself: its lock, its name, its log."""
    return Path(root) / FOLDER / runs.slug(host or socket.gethostname())


def is_worked_on(root: Path, host: str = "") -> bool:
    """Whether a machine's runner is alive, as far as that can be told from here."""
    folder = host_folder(root, host)
    return folder.is_dir() and runs.live(folder)


def ours(queue: RunQueue) -> list[QueueEntry]:
    """What this machine is to train: what was added here and waits, and what it trains."""
    host = socket.gethostname()
    return [
        entry for entry in queue.entries
        if (entry.state == "waiting" and entry.host in (host, "")) or (entry.state == "running" and entry.by == host)
    ]  # fmt: skip


def idle(root: Path, queue: RunQueue) -> bool:
    """Whether this machine has something to train of the queue, and nobody here does it."""
    entries = [entry for entry in ours(queue) if entry.state == "running" or not queue.held]
    return bool(entries) and not is_worked_on(root)


def work(root: Path, *, everything: bool = False) -> bool:
    """Have this machine's runner train what is in the queue, unless it does; whether it was started.

    With `everything` also what was added on other machines. Raises RunError where it cannot be started.
    """
    import subprocess

    from tui_gen import children
    from tui_gen.files import open_log

    if is_worked_on(root):
        return False
    folder = host_folder(root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "runner.log", "ab", opener=lambda path, _: open_log(path)) as log:
            children.start(
                "tui_gen.queue.queue_runner", os.path.realpath(root), *(["--everything"] if everything else []),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise RunError(f"cannot start what trains the queue: {error.strerror or error}") from error
    return True
