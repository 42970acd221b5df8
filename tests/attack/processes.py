"""Runs of several processes: SIGKILL at any rank and any moment, resumed bit for bit; SIGTERM and SIGSTOP at any rank.

The processes are forked, the connections between them real. A rank is killed at a moment, or rank 0 at one of its file
operations; whoever remains must end by itself, and say why.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from tests import several, small_runs
from tests.attack import bits, forked, kills
from tests.attack.outcome import Attack, Outcome, Plan
from tui_gen import config as configs
from tui_gen import runs

KILLS = {"VAE": (2, 8), "VAE that goes back": (2, 4), "GAN": (2, 4), "diffusion": (3, 4), "VQ-VAE": (2, 4)}
"""Family → processes, and SIGKILLs of its runs."""
TERMS = 4
ALONE = 30.0
"""Seconds in which the others must have ended when one has died."""


def config_of(family: str, processes: int) -> str:
    """A family's config as TOML, shared by several processes, with an edit planned for a step in the middle."""
    name, more = kills.FAMILIES[family]
    made = small_runs.config(name, **kills._SHORT, train__processes=processes, **more)
    made.train.steps = 40
    phase = next(iter(made.train.phases))
    made.edits = [{"step": 17, "key": f"train.phases.{phase}.lr", "value": 5e-4}]
    return configs.dumps(made)


class Sessions:
    """A run of several processes that is stopped again and again: what was done to it, and what did not hold."""

    def __init__(self, root: Path, family: str, processes: int) -> None:
        self.root, self.processes = root, processes
        self.run = runs.create(root, family.replace(" ", "-"), config_of(family, processes))
        self.moments: list[str] = []
        self.wrong: list[str] = []
        self._begun = False

    def start(self, **more: Any) -> forked.Child:
        """The next session: it begins the run, or goes on with it."""
        resume, self._begun = self._begun, True
        return several.worker(self.run, resume=resume, **more)

    def others(self) -> dict[int, int]:
        """The processes of the other ranks, as far as there are any yet."""
        found = {rank: several.process(self.run, rank) for rank in range(1, self.processes)}
        return {rank: pid for rank, pid in found.items() if pid}

    def conclude(self, child: forked.Child) -> None:
        """See all of them gone, and whether the run reads as it is."""
        since, others = time.monotonic(), self.others()
        if child.wait(ALONE) is None:
            self.wrong.append(f"rank 0 does not end within {ALONE:g} s of {self.moments[-1]}")
            child.end()
        while alive := [rank for rank, pid in others.items() if _lives(pid)]:
            if time.monotonic() - since > ALONE:
                self.wrong.append(f"rank {alive[0]} does not end within {ALONE:g} s of {self.moments[-1]}")
                for rank in alive:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(others[rank], signal.SIGKILL)
                break
            time.sleep(0.02)
        state = runs.state_of(self.run)[0]
        if state not in (*runs.ENDED, "starting"):
            self.wrong.append(f"it reads {state} with all of its processes dead")

    def finish(self, row: Outcome, whole: Path) -> int:
        """Let it go on to its end and hold it against the undisturbed run; how many moments that were."""
        for _ in range(2):
            if runs.state_of(self.run)[0] != "finished":
                child = self.start()
                self.moments.append("the last resume")
                child.wait()
                self.conclude(child)
                self.moments.pop()
        self.wrong += bits.differences(whole, self.run)
        for number in range(len(self.moments)):
            last = number + 1 == len(self.moments)
            row.take(self.wrong if last else [], f"{', then '.join(self.moments)} ({self.run})")
        return len(self.moments)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1] not in "ZX"
    except OSError:
        return False


def processes(plan: Plan) -> Iterator[Outcome]:
    """A row a family of SIGKILLs, one of SIGTERMs, one of processes that are held."""
    for family, (count, number) in KILLS.items():
        if plan.over():
            return
        root = plan.folder(f"several-{family.replace(' ', '-')}")
        whole, started = Sessions(root / "whole", family, count), time.monotonic()
        child = whole.start()
        whole.moments.append("nothing")
        child.wait()
        whole.conclude(child)
        seconds = time.monotonic() - started
        yield _killed(plan, root, family, whole, seconds, number)
        if family == "VAE":
            yield _terminated(plan, root, family, whole, seconds)
            yield _held(plan, root, family, whole)


def _killed(plan: Plan, root: Path, family: str, whole: Sessions, seconds: float, number: int) -> Outcome:
    """Kill sessions until there were so many kills: by turns another rank at a moment, rank 0 at a file operation."""
    count = whole.processes
    row, dice, done = Outcome("SIGKILL", f"{family}, {count} processes"), plan.dice(f"several {family}"), 0
    by_rank = dict.fromkeys(range(count), 0)
    for attempt in range(3 * number):
        if done >= number or plan.over():
            break
        run = Sessions(root / f"killed-{attempt}", family, count)
        while len(run.moments) < min(kills.A_RUN, number - done):
            rank, moment, told = dice.randrange(count), dice.uniform(0.1, seconds), run.root / "places"
            fatal = dice.randint(1, 150) if rank == 0 and dice.random() < 0.5 else 0
            child = run.start(around=forked.Places(run.root, told, fatal).counted if fatal else nullcontext)
            child.wait(moment if not fatal else seconds + 10)
            pid = child.pid if rank == 0 else run.others().get(rank, 0)
            struck = child.status is None and bool(pid) and _lives(pid)
            if struck and not fatal:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            elif child.status is None:
                child.send(signal.SIGKILL)
            words = f"at operation {fatal}" if fatal else f"at {moment:.3f} s of {seconds:.2f}"
            run.moments.append(f"rank {rank} {words}")
            run.conclude(child)
            by_rank[rank] += 1
            if runs.state_of(run.run)[0] == "finished":
                break
        done += run.finish(row, whole.run)
    row.detail = ", ".join(f"{times} at rank {rank}" for rank, times in by_rank.items())
    return row


def _terminated(plan: Plan, root: Path, family: str, whole: Sessions, seconds: float) -> Outcome:
    """SIGTERM to any rank: all end within seconds, with a checkpoint, and the run goes on later."""
    row, dice, longest = Outcome("SIGTERM", f"{family}, at any rank"), plan.dice("several term"), 0.0
    for number in range(TERMS):
        if plan.over():
            break
        run = Sessions(root / f"stopped-{number}", family, whole.processes)
        rank, moment = number % whole.processes, dice.uniform(0.1, 0.8 * seconds)
        child = run.start()
        run.moments.append(f"SIGTERM to rank {rank} at {moment:.3f} s")
        child.wait(moment)
        pid, asked = child.pid if rank == 0 else run.others().get(rank, child.pid), time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        status = child.wait(kills.END)
        longest = max(longest, time.monotonic() - asked)
        if status not in (0, -signal.SIGTERM):
            run.wrong.append(f"status {status} after {run.moments[-1]}")
        run.conclude(child)
        run.finish(row, whole.run)
    row.detail = f"the slowest ended {longest:.1f} s after the signal"
    return row


def _held(plan: Plan, root: Path, family: str, whole: Sessions) -> Outcome:
    """SIGSTOP to the other rank for good: the run names it, ends as failed, and goes on to the same bits."""
    row = Outcome("SIGSTOP", f"{family}, rank 1")
    run = Sessions(root / "held", family, whole.processes)
    child = run.start()
    run.moments.append("rank 1 held by SIGSTOP")
    while child.wait(0.02) is None and not (run.run / "events.jsonl").exists():
        pass
    if pid := run.others().get(1):
        os.kill(pid, signal.SIGSTOP)
    if child.wait(90) is None:
        run.wrong.append("the run does not end")
    run.conclude(child)
    state, _, reason = runs.state_of(run.run)
    if pid and not (state == "failed" and reason.startswith("rank 1 ")):
        run.wrong.append(f"it ended {state}: {reason}")
    run.finish(row, whole.run)
    return row


ATTACKS: dict[str, Attack] = {"processes": processes}
