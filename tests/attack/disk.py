"""A full disk at every kind of write: the run waits, says so, goes on when there is room, and ends with the same bits.

Which kinds of writes a run makes is found from an undisturbed one. A worker stops right before one of a kind, the disk
is filled to its last block or its last inode, and the worker goes on. The disk is a small tmpfs where one may be
mounted; elsewhere the worker's files may grow no more (RLIMIT_FSIZE).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import random
import resource
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.attack import bits, forked
from tests.attack.kills import Reference, config_of, undisturbed
from tests.attack.outcome import Attack, Outcome, Plan, say
from tui_gen import control, launch, runs

FAMILIES = ("flow matching", "VAE", "sequence", "latent diffusion")
"""Together they write everything there is: averages, quality, text, the run of a first stage and its name."""
SIZE = 32 << 20
CLONE_NEWNS = 0x20000
WRITES = ("open", "mkdir", "rename", "write")
PARTS = 6
"""Trials in which a disk is full within a checkpoint."""
SAID = 20.0
"""Seconds within which a run must have said what it waits for."""


class Disk:
    """A disk that can be filled to the last block or inode, and emptied again."""

    limit = False
    """Whether it is no disk of its own, but a limit of the worker's process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        _mount_privately()
        words = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},nr_inodes=4096", "attack", str(path)]
        try:
            self.limit = subprocess.run(words, capture_output=True, check=False).returncode != 0
        except OSError:
            self.limit = True
        self._pid = 0

    def fill(self, pid: int, how: str = "blocks", leave: int = 0) -> None:
        """Fill it for a process: no block is left but `leave` pages, or no inode."""
        self._pid = pid
        if self.limit:
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (leave * 4096, hard))
        elif how == "inodes":
            free = os.statvfs(self.path)
            self._remount(f"nr_inodes={free.f_files - free.f_ffree}")
        else:
            free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize
            with open(self.path / "ballast", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(1, free - 4096 * leave))

    def empty(self) -> None:
        """Make room again."""
        if self.limit:
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                _, hard = resource.prlimit(self._pid, resource.RLIMIT_FSIZE)
                resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (hard, hard))
        else:
            (self.path / "ballast").unlink(missing_ok=True)
            self._remount("nr_inodes=4096")

    def _remount(self, option: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.path)], capture_output=True, check=True)

    def close(self) -> None:
        """Unmount it."""
        if not self.limit:
            subprocess.run(["umount", "--lazy", str(self.path)], capture_output=True, check=False)


@functools.cache
def _mount_privately() -> None:
    """What this process mounts is seen by it and its children alone, and gone when they are, however they end."""
    with contextlib.suppress(OSError, AttributeError):
        if ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0:
            subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, check=False)


@contextlib.contextmanager
def small(path: Path) -> Iterator[Disk]:
    """A disk at a folder, for a while."""
    disk = Disk(path)
    try:
        yield disk
    finally:
        disk.close()


class Gated:
    """A worker that stops before an operation of a kind, until it is told to go on."""

    def __init__(self, run: Path, root: Path, number: int, kind: str, told: Path) -> None:
        self._from, to = os.pipe()
        mine, self._to = os.pipe()
        places = forked.Places(root, told, number, kind, (mine, to))
        self.child = forked.worker(run, around=places.counted)
        os.close(to)
        os.close(mine)

    def stopped(self) -> bool:
        """Wait until it stands before the operation; False where it ended without coming there."""
        ready, _, _ = select.select([self._from], [], [], forked.PATIENCE)
        return bool(ready) and bool(os.read(self._from, 1))

    def go_on(self) -> None:
        """Let it."""
        with contextlib.suppress(OSError):
            os.write(self._to, b"!")
        os.close(self._to)
        os.close(self._from)


def full(plan: Plan) -> Iterator[Outcome]:
    """A row for blocks, inodes, checkpoints cut anywhere, stops while it waits; and one for command lines."""
    root, dice = plan.folder("disk"), plan.dice("disk")
    references = [undisturbed(family, plan.folder(f"disk-{family.replace(' ', '-')}")) for family in FAMILIES]
    kinds: dict[str, tuple[Reference, int]] = {}
    for reference in references:
        done = [forked.kind_of(one) for one in forked.operations(reference.root / "places")]
        for kind in dict.fromkeys(done):
            if kind.split()[0] in WRITES:
                kinds.setdefault(kind, (reference, done.count(kind)))
    with small(root / "probe") as probe:
        limit = probe.limit
    say(f"disk: {len(kinds)} kinds of writes; {'a limit on files' if limit else 'a tmpfs'}")
    for how in ("blocks",) if limit else ("blocks", "inodes"):
        row = Outcome("full disk", f"no {how} left, each kind of write" if not limit else "each kind of write")
        for kind, (reference, count) in kinds.items():
            if plan.over():
                break
            number = dice.randint(1, count)
            row.take(_trial(reference, root, dice, kind, number, how), f"{reference.family}, {kind}, number {number}")
        row.detail = f"{len(kinds)} kinds"
        yield row
    row = Outcome("full disk", "within a checkpoint")
    for number in range(PARTS):
        if plan.over():
            break
        leave = dice.randint(1, _pages(references[0].run))
        wrong = _trial(references[0], root, dice, "mkdir .N.partial", 1 + number % 5, "blocks", leave)
        row.take(wrong, f"{references[0].family}, {leave} pages left at checkpoint {1 + number % 5}")
    yield row
    row = Outcome("full disk", "stopped while it waits, resumed")
    for kind in ("mkdir .N.partial", "open .N.png.N.N", "write events.jsonl"):
        reference, count = kinds.get(kind, (references[0], 1))
        wrong = _trial(reference, root, dice, kind, dice.randint(1, count), "blocks", stop=True)
        row.take(wrong, f"{reference.family}, {kind}")
    yield row


def _pages(run: Path) -> int:
    """Pages of a run's last checkpoint."""
    newest = bits.newest(run)
    return sum(-(-path.stat().st_size // 4096) for path in newest.iterdir()) if newest else 1


def _trial(
    reference: Reference,
    root: Path,
    dice: random.Random,
    kind: str,
    number: int,
    how: str,
    leave: int = 0,
    stop: bool = False,
) -> list[str]:
    """Fill the disk right before a write; what did not hold."""
    with small(root / f"disk-{dice.getrandbits(32):08x}") as disk:
        run = runs.create(disk.path, reference.family, config_of(reference.family))
        gated = Gated(run, disk.path, number, kind, root / "told")
        child = gated.child
        if not gated.stopped():
            gated.go_on()
            child.end()
            return ["it never came to this write"]
        disk.fill(child.pid, how, leave)
        gated.go_on()
        wrong = _waits(run, child)
        if stop and child.status is None:
            asked = time.monotonic()
            child.send(signal.SIGTERM)
            if child.wait(SAID) is None:
                wrong.append(f"it does not end within {SAID:g} s of SIGTERM")
                child.end()
            say(f"disk: ended {time.monotonic() - asked:.1f} s after SIGTERM")
        disk.empty()
        if child.wait() is None:
            wrong.append("it does not go on although there is room")
            child.end()
        if stop:
            child = forked.worker(run, resume=True)
            if child.wait() is None:
                child.end()
        return wrong + bits.differences(reference.run, run)


def _waits(run: Path, child: forked.Child) -> list[str]:
    """Until a run has said that it waits, or has ended without room; what is wrong with how it takes it."""
    deadline, trouble = time.monotonic() + SAID, ""
    while time.monotonic() < deadline and child.wait(0.05) is None:
        with contextlib.suppress(control.ControlError):
            trouble = str(launch.ask_run(run, "status", timeout=5).data.get("trouble", ""))
        if trouble:
            words = ("room", "space", "large", "quota")
            return [] if any(word in trouble for word in words) else [f"it says only {trouble!r}"]
    if child.status is not None:
        state, step, reason = runs.state_of(run)
        return [] if state == "finished" else [f"it ended {state} at step {step}: {reason or 'without a word'}"]
    known = runs.worker_of(run)
    return ["it waits without a word"] if known is not None and known.pid == child.pid else []


ATTACKS: dict[str, Attack] = {"disk": full}
