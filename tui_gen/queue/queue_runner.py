"""What trains a queue: `python -m tui_gen.queue.queue_runner RUNS`, one process a machine, until nothing is left.

It starts each entry as an ordinary run and follows it through its directory, so whatever ends this process (a kill, a
restart of the machine), the run goes on or can, and the next runner finds in the queue what it was at. A run whose
worker died is resumed, a few times; one that failed is left, and the next one begun. A device trains one run at a
time: runs that somebody else started count. Needs no PyTorch.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import launch, presence, runs, slots, starting, trust
from tui_gen.log import event_log
from tui_gen.queue import queueing
from tui_gen.queue.queueing import QueueEntry, RunQueue
from tui_gen.runs import RunError
from tui_gen.signals import Signals

LOOK = 0.5
"""Seconds between two looks at what is trained."""
PATIENCE = 4.0
"""Seconds after which a run that a signal stopped was stopped by a person: a machine that shuts down ends us, too."""
RESUMES = 3
"""How often a run whose worker died is resumed without it having got further since."""
LATER = event_log.FULL | {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
"""The errors that say nothing of the config: later there may be room."""


class QueueRunner:
    """Trains what is in the queue of a folder of runs on this machine; `everything`, also what others added."""

    def __init__(self, root: Path, everything: bool = False) -> None:
        self.root, self.everything = Path(root), everything
        self.host = socket.gethostname()
        self.devices = slots.here()
        self._stamp, self._queue = (0, 0, 0), RunQueue()
        self._children: list[subprocess.Popen[bytes]] = []
        self._stopped_since: dict[int, float] = {}
        """Entries whose runs a signal stopped, and when that was seen."""
        self._blockers: dict[str, Path] = {}
        """Who else trains on a device, as far as was seen."""

    def turn(self) -> bool:
        """Look at what is trained, and begin what can be; whether there is, or will be, anything to do here."""
        self._children = [child for child in self._children if child.poll() is None]
        queue = self._read()
        for entry in queue.of("running"):
            if entry.by == self.host:
                self._follow(entry)
            elif self.everything and not queueing.is_worked_on(self.root, entry.by):
                self._adopt(entry)
        queue = self._read()
        if not queue.held:
            self._begin_what_can_be(queue)
        return self.has_work(self._read())

    def _read(self) -> RunQueue:
        """The queue, read where it is another than it was."""
        stamp = queueing.stamp(self.root)
        if stamp != self._stamp or not stamp[0]:
            self._stamp, self._queue = stamp, queueing.read(self.root)
        return self._queue

    def has_work(self, queue: RunQueue) -> bool:
        """Whether something of it is trained here, or waits for that."""
        trains = any(entry.by == self.host for entry in queue.of("running"))
        return trains or (not queue.held and any(self._may_take(entry) for entry in queue.of("waiting")))

    def _may_take(self, entry: QueueEntry) -> bool:
        return self.everything or entry.host in (self.host, "")

    # -- what is trained

    def _follow(self, entry: QueueEntry) -> None:
        """What became of an entry that this machine trains."""
        path = entry.path(self.root)
        if path is None:
            self._over(entry, "failed", f"{entry.run!r} is no name of a run")
            return
        if not entry.begun:
            self._create(entry)
            return
        if not runs.is_run(path):
            self._over(entry, "cancelled", "its run was deleted")
            return
        state, step, reason = runs.state_of(path)
        if state != "stopped":
            self._stopped_since.pop(entry.id, None)
        if state == "finished":
            self._over(entry, "done", "")
        elif state == "failed":
            self._over(entry, "failed", reason or "see its worker.log")
        elif state == "interrupted":
            self._go_on(entry, path, step)
        elif state == "stopped" and not runs.live(path):
            self._was_stopped(entry, path, step, reason)

    def _was_stopped(self, entry: QueueEntry, path: Path, step: int, reason: str) -> None:
        """A run stopped before its end: by a person, which is their word on it, or because the machine shut down."""
        if "by SIG" in reason:
            if entry.boot != presence.boot():
                self._go_on(entry, path, step)
                return
            since = self._stopped_since.setdefault(entry.id, time.monotonic())
            if time.monotonic() - since < PATIENCE:
                return
        self._stopped_since.pop(entry.id, None)
        words = f"stopped at step {step:,}" + (f", {reason}" if reason else "")
        self._over(entry, "cancelled", words)

    def _go_on(self, entry: QueueEntry, path: Path, step: int) -> None:
        """Resume a run whose worker died, unless it does so again and again at the same place."""
        count = 1 if step > entry.step else entry.resumed + 1
        if count > RESUMES:
            self._over(entry, "failed", f"its worker died {count} times at about step {step:,}; see its worker.log")
            return

        def note(entry: QueueEntry) -> None:
            entry.resumed, entry.step, entry.boot = count, step, presence.boot()

        if queueing.update(self.root, entry.id, note) is None:
            return
        print(f"{entry.run}: resumed, time {count}", flush=True)
        try:
            self._children.append(launch.start(path, resume=True, model_dirs=_folders(path)))
        except RunError as error:
            if not runs.live(path) and not _later(error):
                self._over(entry, "failed", str(error))
        except configs.ConfigError as error:
            self._over(entry, "failed", " ".join(str(error).split()))

    def _adopt(self, entry: QueueEntry) -> None:
        """Take over what a machine that is gone was to train, once its run is seen not to go on."""
        path = entry.path(self.root)
        if path is None or (runs.is_run(path) and runs.live(path)):
            return

        def take(entry: QueueEntry) -> None:
            entry.by = self.host

        queueing.update(self.root, entry.id, take)

    def _over(self, entry: QueueEntry, state: str, reason: str) -> None:
        print(f"{entry.run or entry.name}: {state}{': ' if reason else ''}{reason}", flush=True)

        def end(entry: QueueEntry) -> None:
            entry.state, entry.reason, entry.ended = state, reason, time.time()

        queueing.update(self.root, entry.id, end)

    # -- what is next

    def _begin_what_can_be(self, queue: RunQueue) -> None:
        """Begin the first that waits for each device that is free; what waits for others is told why."""
        busy = {entry.slot for entry in queue.of("running") if entry.by == self.host}
        for entry in queue.of("waiting"):
            if not self._may_take(entry):
                continue
            possible = slots.wanted(entry.device, self.devices)
            reason = ""
            for slot in possible:
                if slot in busy:
                    continue
                blocker = self._blocker(slot, queue)
                busy.add(slot)
                if blocker is None:
                    self._begin(entry.id, slot)
                    reason = ""
                    break
                paused = " (paused)" if runs.state_of(blocker)[0] == "paused" else ""
                reason = f"waits for {blocker.name}{paused} on {slot}"
            if reason != entry.reason and (reason or entry.reason.startswith("waits for ")):
                self._say(entry.id, reason)

    def _say(self, id: int, reason: str) -> None:
        def note(entry: QueueEntry) -> None:
            if entry.state == "waiting":
                entry.reason = reason

        queueing.update(self.root, id, note)

    def _blocker(self, slot: str, queue: RunQueue) -> Path | None:
        """A live run of somebody else on a device of this machine; the one that was seen last is looked at first."""
        known = self._blockers.pop(slot, None)
        candidates = [known] if known is not None else []
        for path in candidates:
            if self._occupies(path, slot):
                self._blockers[slot] = path
                return path
        own = {entry.run for entry in queue.of("running")}
        for _, folder in runs.folders(self.root):
            path = Path(folder)
            if path.name not in own and runs.live(path) and self._occupies(path, slot):
                self._blockers[slot] = path
                return path
        return None

    def _occupies(self, path: Path, slot: str) -> bool:
        info = runs.worker_of(path)
        if not runs.live(path) or (info is not None and not presence.here(info)):
            return False
        state, _, reason = runs.state_of(path)
        if state == "paused" and reason.startswith("yielded"):
            return False  # whoever trains it has given the device back
        try:
            train = configs.read_toml(path / runs.CONFIG).get("train", {})
        except configs.ConfigError:
            train = {}
        device = train.get("device", "auto") if isinstance(train, dict) else "auto"
        return slot in slots.wanted(str(device), self.devices)[:1]

    def _begin(self, id: int, slot: str) -> None:
        """Take an entry, unless somebody changed it meanwhile, and begin its run."""
        with queueing.changing(self.root) as queue:
            entry = queue.get(id)
            if entry is None or entry.state != "waiting" or queue.held:
                return
            entry.state, entry.reason, entry.slot = "running", "", slot
            entry.by, entry.boot, entry.started = self.host, presence.boot(), time.time()
            entry.run, entry.begun = queueing.new_folder(entry.name), False
        self._create(entry)

    def _create(self, entry: QueueEntry) -> None:
        """Make the run of an entry that was taken, under the name that was written down, and start its worker."""
        path = self.root / entry.run
        try:
            if not runs.is_run(path):
                self._write_run(entry)
            if not os.path.lexists(path / runs.LOG):  # else a runner before us had begun it, and was killed
                self._children.append(launch.start(path, model_dirs=_folders(path)))
        except (configs.ConfigError, RunError) as error:
            if runs.is_run(path) and runs.live(path):
                pass  # somebody was quicker
            elif _later(error):
                self._put_back(entry, str(error))
                return
            else:
                self._over(entry, "failed", " ".join(str(error).split()))
                return
        except (TypeError, ValueError, AttributeError, RecursionError) as error:  # what only somebody's editor wrote
            self._over(entry, "failed", f"its config cannot be used: {type(error).__name__}: {error}")
            return

        def note(entry: QueueEntry) -> None:
            entry.begun = True

        queueing.update(self.root, entry.id, note)
        print(f"{entry.run}: begun", flush=True)

    def _write_run(self, entry: QueueEntry) -> None:
        tables = configs.parse_toml(entry.config, entry.name)
        catalog = catalogs.ensure(trust.named(tables))
        config = configs.load(tables, catalog, entry.name)
        if problems := starting.settle(config, catalog, self.root):
            raise configs.ConfigError(entry.name, problems)
        if entry.slot not in slots.wanted(config.train.device, self.devices)[:1]:
            config.train.device = entry.slot
        starting.create(config, catalog, self.root, entry.run)

    def _put_back(self, entry: QueueEntry, reason: str) -> None:
        def back(entry: QueueEntry) -> None:
            entry.state, entry.run, entry.by, entry.slot, entry.started = "waiting", "", "", "", 0.0
            entry.reason = f"waits for room: {reason}"

        if not runs.is_run(self.root / entry.run):
            queueing.update(self.root, entry.id, back)


def _folders(path: Path) -> list[str]:
    return trust.named(configs.read_toml(path / runs.CONFIG))


def _later(error: Exception) -> bool:
    """Whether the system had no room for it, which says nothing of the config."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in LATER


def leave(runner: QueueRunner, hold: presence.Hold) -> bool:
    """Let go of the runner's lock where nothing is left to do. Whoever adds an entry holds the queue's lock, as this
    does: they are seen here, or see that nobody works any more."""
    with queueing.locked(runner.root):
        queue = queueing.read(runner.root)
        if runner.has_work(queue):
            return False
        hold.release()
        return True


def work(root: Path, everything: bool, signals: Signals) -> int:
    """Train the queue until nothing is left, or a signal comes; the exit status."""
    folder = queueing.host_folder(root)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        hold = runs.claim(folder)
    except (RunError, OSError) as error:
        if runs.live(folder):
            return 0  # somebody else does it
        print(f"error: {error}", flush=True)
        return 1
    runner, last_words = QueueRunner(root, everything), ""
    try:
        runs.register(folder, "")
        hold.keep_alive()
        while not signals.take():
            try:
                if not runner.turn() and leave(runner, hold):
                    return 0
                last_words = ""
            except (RunError, OSError) as error:  # a disk that is away or full, a file that somebody is mending
                if str(error) != last_words:
                    last_words = str(error)
                    print(f"error: {last_words}", flush=True)
                if not os.path.isdir(root):
                    return 1
            signals.wait(LOOK)
        return 0
    finally:
        hold.release()


def main() -> int:
    """The command line of a runner."""
    prog = "python -m tui_gen.queue.queue_runner"
    parser = argparse.ArgumentParser(prog=prog, description="Train a queue to its end.")
    parser.add_argument("root", type=Path, help="the folder of the runs")
    parser.add_argument("--everything", action="store_true", help="also what was added on other machines")
    args = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Signals() as signals:
        return work(args.root, args.everything, signals)


if __name__ == "__main__":
    sys.exit(main())
