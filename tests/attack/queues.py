"""A queue of five, one of which fails, trained by real workers while workbench, runner and workers are killed.

The workbench that finds the queue starts it, and is killed; then the queue's runner or whoever it has train, at random
moments; `tui-gen queue start` goes on each time. In the end four must have what a run has that nobody touched, and the
fifth have failed with its own words.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests import small_runs
from tests.attack import bits, kills
from tests.attack.outcome import Attack, Outcome, Plan
from tests.bench_workbench import WORKBENCH
from tests.pty_terminal import KITTY, PtyTerminal
from tests.waiting import wait_for
from tui_gen import config as configs
from tui_gen import presence, runs
from tui_gen.queue import queueing
from tui_gen.queue.queueing import QueueDraft, QueueEntry

TRIALS, BEATS = 3, 10
"""Queues, and kills of each but for the workbench's."""
FIVE = ("one", "two", "broken", "four", "five")
PATIENCE = 300.0
"""Seconds for a queue to come to its end, once it is left alone."""
MOST = 2
"""Kills of the workers of one entry: more at one place would be its end, as is said."""


def queue(plan: Plan) -> Iterator[Outcome]:
    """Queues that are killed at random moments until they have come to their end."""
    row = Outcome("SIGKILL", "a queue of five, one of which fails")
    reference = kills.undisturbed("VAE", plan.folder("queue-whole"), steps=400)
    for number in range(TRIALS):
        if plan.over():
            break
        _trial(plan, number, reference, row)
    yield row


def _trial(plan: Plan, number: int, reference: kills.Reference, row: Outcome) -> None:
    root, dice, moments = plan.folder(f"queue-{number}"), plan.dice(f"queue {number}"), list[str]()
    text = kills.config_of("VAE", steps=400)
    broken = small_runs.config("vae", train__phases={"vae": {"lr": 10.0}}, train__steps=400)
    drafts = [QueueDraft(name=name, config=configs.dumps(broken) if name == "broken" else text) for name in FIVE]
    queueing.add(root, drafts)
    with PtyTerminal([*WORKBENCH, "--runs", str(root)], 120, 40, KITTY) as terminal:
        wait_for(lambda: any(entry.begun for entry in _entries(root)), 60, "the first of the queue")
        _pause(dice.uniform(0, 3))
        terminal.process.kill()
        terminal.process.wait()
    moments.append("the workbench")
    killed: dict[int, int] = {}
    for _ in range(BEATS):
        _pause(dice.uniform(0, 6))
        moments.append(_kill_one(root, dice, killed))
        if queueing.idle(root, queueing.read(root)):
            _start(root)
    _start(root)
    over = wait_for(lambda: not queueing.is_worked_on(root) and _idle(root), PATIENCE, lambda: _told(root))
    wrong = [] if over else ["it does not come to its end"]
    wrong += _wrong(root, reference.run)
    row.take(wrong, f"queue {number}, {', then '.join(moments)} ({root})")


def _wrong(root: Path, whole: Path) -> list[str]:
    """What is not as it should be in the end."""
    entries = _entries(root)
    wrong = [] if [entry.name for entry in entries] == [*FIVE] else [f"there are {[entry.name for entry in entries]}"]
    for entry in entries:
        path = entry.path(root)
        expected = "failed" if entry.name == "broken" else "done"
        if entry.state != expected or path is None:
            wrong.append(f"{entry.name} is {entry.state}, not {expected}: {entry.reason}")
        elif expected == "done":
            wrong += [f"{entry.name}: {words}" for words in bits.differences(whole, path)]
        elif "not finite" not in entry.reason:
            wrong.append(f"{entry.name} failed otherwise: {entry.reason}")
    found = len(runs.list_runs(root))
    return wrong if found == len(FIVE) else [*wrong, f"there are {found} runs"]


def _kill_one(root: Path, dice: random.Random, killed: dict[int, int]) -> str:
    """SIGKILL the queue's runner, or the worker of the entry that it trains; which of them."""
    trained = next((entry for entry in _entries(root) if entry.state == "running" and entry.begun), None)
    may = trained is not None and killed.get(trained.id, 0) < MOST
    folder = queueing.host_folder(root)
    if may and trained is not None and dice.random() < 0.7 and (path := trained.path(root)) is not None:
        killed[trained.id] = killed.get(trained.id, 0) + 1
        return f"the worker of {trained.name}" if _killed(path) else "a worker that had ended"
    return "the runner" if _killed(folder) else "a runner that had ended"


def _killed(folder: Path) -> bool:
    info = runs.worker_of(folder)
    if info is None or not presence.alive(info):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(info.pid, signal.SIGKILL)
    return True


def _start(root: Path) -> None:
    """`tui-gen queue start`, as a person types it; where nothing is left, it says so."""
    subprocess.run([sys.executable, "-m", "tui_gen", "queue", "start", "--runs", str(root)],
                   capture_output=True, check=False)  # fmt: skip


def _entries(root: Path) -> list[QueueEntry]:
    return sorted(queueing.read(root).entries, key=lambda entry: entry.id)


def _idle(root: Path) -> bool:
    return not any(entry.open for entry in _entries(root))


def _told(root: Path) -> str:
    return f"the end of {[(entry.name, entry.state, entry.reason) for entry in _entries(root)]}"


def _pause(seconds: float) -> None:
    """What is attacked is a moment, so here one is waited for."""
    until = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= until, seconds + 60)


ATTACKS: dict[str, Attack] = {"queue": queue}
