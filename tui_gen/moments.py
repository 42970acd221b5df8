"""When the steps of a run were made: by the seconds of training, and by the clock on the wall."""

from __future__ import annotations

import numpy as np

from tui_gen import events
from tui_gen.draw.series import Series


class Moments:
    """Read off a log, event by event.

    A fork has the times of the other run up to where it parts from it, and its own from when it was first started on.
    What lies between, a minute or a week, is no time of either, and is left out of `wall`; the pauses of a run that
    was stopped and resumed are its own, and count.
    """

    def __init__(self) -> None:
        self.clock = Series("seconds")
        """Seconds of training by each step."""
        self.wall = Series("wall")
        """Seconds since the run began by each step, pauses and all."""
        self.begun = 0.0
        """When the first event was written, in seconds since the epoch."""
        self._joins: list[int] = []
        """The steps from which a fork, and each that it is a fork of, went on: its own first."""
        self._made = False
        """Whether what was taken over from the other run has been read: a fork's first state follows it."""
        self._parted_at = 0.0
        """When the last of that was written, until the fork is first started."""
        self._away: list[tuple[int, float]] = []
        """Times that were left out, in seconds, each from a step on."""
        self._seconds: tuple[list[int], list[float]] = ([], [])
        self._walls: tuple[list[int], list[float]] = ([], [])

    def take(self, event: events.Fork | events.State | events.System, before: float) -> None:
        """The next of these events of the log; `before` is when whatever stands before it was written."""
        match event:
            case events.Fork():
                self._joins.append(event.step if event.start is None else event.start)
            case events.State() if self._joins and not self._made:
                self._made, self._parted_at = True, before
            case events.State(state="starting"):
                if self._parted_at:
                    self._leave_out(self._joins[0], event.t - self._parted_at)
                    self._parted_at = 0.0
            case events.State():
                self._add(event.step, event.t)
            case events.System():
                if not self._made:
                    self._join(event)
                self._add(event.step, event.t, event.seconds)

    def _join(self, event: events.System) -> None:
        """Where a fork's own past goes from one run to the next, nothing says when: training goes on at once."""
        for step in [step for step in self._joins[1:] if step < event.step]:
            self._joins.remove(step)
            if self._seconds[0] or len(self.clock):
                self.flush()
                last = self.begun + float(self.wall.values[-1]) + self._left_out
                self._leave_out(step, event.t - last - (event.seconds - float(self.clock.values[-1])))

    def _leave_out(self, step: int, seconds: float) -> None:
        if seconds > 0:
            self._away.append((step, seconds))

    @property
    def _left_out(self) -> float:
        return sum(seconds for _, seconds in self._away)

    def _add(self, step: int, t: float, seconds: float | None = None) -> None:
        """What goes back replaces what is there, so that does not wait."""
        if self._walls[0] and step < self._walls[0][-1]:
            self.flush()
        self._walls[0].append(step)
        self._walls[1].append(t - self.begun - self._left_out)
        if seconds is not None:
            self._seconds[0].append(step)
            self._seconds[1].append(seconds)

    def flush(self) -> None:
        """Put what waited onto the curves."""
        if self._seconds[0]:
            self.clock.append(*self._seconds)
        if self._walls[0]:
            self.wall.append(*self._walls)
        self._seconds, self._walls = ([], []), ([], [])

    def truncate(self, step: int) -> None:
        """Forget what was done after a step, and is done again."""
        self.flush()
        self.clock.truncate(step)
        self.wall.truncate(step)

    def when(self, steps: np.ndarray) -> np.ndarray:
        """When so many steps (n,) had been made, in seconds since the epoch, (n,): between the moments that the log
        tells, as if evenly.
        """
        moments = np.full(len(steps), self.begun)
        if len(self.wall):
            moments += np.interp(steps, self.wall.steps, self.wall.values)
        for step, seconds in self._away:
            moments[steps > step] += seconds
        return moments
