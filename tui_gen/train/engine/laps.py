"""How long the parts of a step take: some steps are timed, so that a run pays next to nothing for it."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import torch

from tui_gen.train.engine.devices import wait_for
from tui_gen.usage import STEP_PARTS, Spent

A_SECOND = 8
"""Steps that are timed in a second, about."""
FIRST = 3
"""Steps before the first that is timed: the first few prepare what the others use."""


class Laps:
    """Times the parts of some of the steps, one after the other: `begin`, a `lap` at the end of each part, `end`.

    On a GPU the device itself keeps the time, and nobody waits for it before `collect`. Numbers and random states of
    the training are left alone.
    """

    def __init__(self, device: torch.device) -> None:
        self._device, self._cuda = device, device.type == "cuda"
        self._on = False
        self._next, self._stride = -1, 1
        self._marks: list[tuple[str, Any]] = []
        self._steps: list[list[tuple[str, Any]]] = []
        self._idle = 0

    def begin(self, step: int) -> None:
        """A step begins; whether it is timed is decided here, by its number alone."""
        if self._next < 0:
            self._next = step + FIRST
        self._on = step >= self._next
        if not self._on:
            return
        # Not every n-th, which in a net whose parts take turns would always be the same one's turn.
        self._next = step + 1 + (step * 2654435761 >> 8) % (2 * self._stride)
        self._marks = [("", self._now())]

    def lap(self, part: str) -> None:
        """What was done since the last mark was this part."""
        if self._on:
            self._marks.append((part, self._now()))

    def end(self) -> None:
        """The step is over, or all of it is on its way to the device."""
        if self._on:
            self._on = False
            if self._cuda:
                # Where the device is done with all that was there before this step, it waits for the next.
                self._idle += bool(self._marks[0][1].query())
            self._steps.append(self._marks)

    def pace(self, per_second: float) -> None:
        """So many steps are made in a second now."""
        self._stride = max(1, round(per_second / A_SECOND))

    def collect(self, steps: int) -> Spent:
        """What so many steps took, by those that were timed since the last call. Waits for the device."""
        step_marks, idle = self._steps, self._idle
        self._steps, self._idle = [], 0
        if not step_marks:
            return Spent(steps=steps)
        if self._cuda:
            step_marks[-1][-1][1].synchronize()
        sums = dict.fromkeys(STEP_PARTS, 0.0)
        for marks in step_marks:
            for (_, before), (part, after) in pairwise(marks):
                sums[part] += before.elapsed_time(after) / 1000 if self._cuda else after - before
        parts = {part: round(seconds / len(step_marks) * steps, 4) for part, seconds in sums.items()}
        return Spent(steps=steps, parts=parts, idle=idle, looks=len(step_marks) if self._cuda else 0)

    def _now(self) -> Any:
        if self._cuda:
            mark = torch.cuda.Event(enable_timing=True)
            mark.record()
            return mark
        wait_for(self._device)
        return time.perf_counter()
