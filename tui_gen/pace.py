"""How fast a run trains, or trained, and how long it takes to begin: read from the two ends of its log."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tui_gen import events, runs
from tui_gen.files import open_regular

HEAD = 1 << 17
TAIL = 1 << 16
"""Bytes of the beginning and of the end of a log that are looked into."""


class RunPace(msgspec.Struct, frozen=True):
    """What a log tells: steps and seconds of training so far (pauses left out), the recent speed in steps/s, the
    planned length in steps or minutes, the seconds before the first step, the steps of an epoch. None where it does not
    say.
    """

    step: int
    seconds: float
    rate: float
    steps: int | None
    minutes: float | None
    before: float
    epoch_steps: int = 0

    @property
    def step_seconds(self) -> float | None:
        """Seconds that a step takes on the whole."""
        return self.seconds / self.step if self.step > 0 and self.seconds > 0 else None

    @property
    def remaining(self) -> float | None:
        """Seconds of training to its planned end, at the recent speed; None where nobody knows."""
        if self.steps:
            return max(0, self.steps - self.step) / self.rate if self.rate > 0 else None
        return max(0.0, 60 * self.minutes - self.seconds) if self.minutes else None


_paces: dict[str, tuple[tuple[int, float], RunPace | None]] = {}


def pace_of(path: Path | str) -> RunPace | None:
    """How fast a run is; None where its log does not tell yet."""
    log = f"{path}/{runs.LOG}"
    try:
        status = os.stat(log)
    except (OSError, ValueError):
        return None
    stamp = (status.st_size, status.st_mtime)
    known = _paces.get(log)
    if known is None or known[0] != stamp:
        known = _paces[log] = (stamp, _read(Path(log)))
    return known[1]


def _read(log: Path) -> RunPace | None:
    try:
        with open_regular(log) as file:
            head = file.read(HEAD)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            tail = file.read(TAIL)
    except OSError:
        return None
    begun = [event for event in _events(head) if isinstance(event, (events.State, events.Plan))]
    plan = next((event for event in begun if isinstance(event, events.Plan)), None)
    system = next((event for event in reversed(_events(tail)) if isinstance(event, events.System)), None)
    if plan is None or system is None:
        return None
    times = {event.state: event.t for event in reversed(begun) if isinstance(event, events.State)}
    before = max(0.0, times["running"] - times["starting"]) if {"running", "starting"} <= times.keys() else 0.0
    return RunPace(system.step, system.seconds, system.steps_per_second, plan.steps, plan.minutes, before,
                   plan.steps_per_epoch)  # fmt: skip


def _events(data: bytes) -> list[events.Event]:
    """The events on whole lines, metrics left out: those are long."""
    marks = (b'"type":"state"', b'"type":"plan"', b'"type":"system"')
    lines = (line for line in data.split(b"\n") if any(mark in line[:200] for mark in marks))
    return [event for line in lines if (event := events.decode(line)) is not None]
