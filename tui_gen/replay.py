"""A recorded run as if it were live: its events are handed out by the time at which they were written.

The log is read as ever and left as it is; only what is read ahead of its time is kept back. Time in which nobody
trained (pauses, nights, the days until a resume) is made short.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from tui_gen import events
from tui_gen.log import event_log
from tui_gen.log.event_log import CHUNK, Decode
from tui_gen.log.rows import Reader
from tui_gen.log.tails import tail_of
from tui_gen.speeds import USUAL, Pace, next_speed, shown
from tui_gen.view import RunView

IDLE, LONGEST = 1.0, 60.0
"""Seconds of the run that are the most between two events, while it did not train, and while it did."""
LOOK = 2.0
"""Seconds that pass at most from one look to the next: while nobody could look, nothing is played."""
MOST = 1000
"""Events that are handed out at a time, where more are due."""
WORDLESS = (events.Metrics, events.System, events.Usage, events.Progress, events.Sample)
"""Events of which the log pane, or a line of text, has nothing."""
PART = 20
"""A jump by a key goes over one of so many parts of the run."""


class Playback(event_log.Follower):
    """Follows a log as a Follower does, and gives each event when its time has come.

    `speed` may be changed at any time, `paused` set; `jump` goes to a step, forwards or backwards. `over` says that all
    has been given, up to the pace's `last` step or the end of the log. `tell` hears of every event that is given.
    """

    def __init__(
        self,
        path: Path,
        pace: Pace = USUAL,
        *,
        clock: Callable[[], float] = time.monotonic,
        decode: Decode | None = None,
        tell: Callable[[events.Event], None] = lambda event: None,
        apart: bool = False,
    ) -> None:
        super().__init__(path, decode=decode or Reader().decode)
        self.speed, self.last = pace.speed, pace.last
        self.paused = self.over = False
        self.step = 0
        """Where it is: the step of the newest events that were given."""
        self.end = max(1, tail_of(str(path))[1])
        """The last step there is, as far as is known."""
        self.clock, self._tell = clock, tell
        self._apart = apart
        self._last_look = clock()
        self._goal: int | None = pace.first or None
        self._ahead: deque[tuple[float, events.Event]] = deque()
        self._unread = True
        self._start_over()

    def _start_over(self) -> None:
        self._ahead.clear()
        self._at = self._length = 0.0
        self._before: float | None = None
        self._trains = False
        self.step = 0

    @property
    def words(self) -> str:
        """`replay 20×`, `replay paused`, `replay over`."""
        return f"replay {'over' if self.over else 'paused' if self.paused else shown(self.speed)}"

    def poll(self, limit: int = CHUNK) -> list[events.Event]:
        """The events whose time has come, as they were written; `behind` where more are due already."""
        now = self.clock()
        if self._goal is None and not self.paused:
            self._at += min(LOOK, max(0.0, now - self._last_look)) * self.speed
        self._last_look = now
        due: list[events.Event] = []
        anew, more = False, False
        while not more:
            if not self._ahead:
                new = super().poll(limit)
                self._unread = self.behind
                if self.restarted:
                    self._start_over()
                    due, anew = [], True
                self._schedule(new)
                if not new:
                    if self._unread and not self.trouble:
                        continue
                    self.over, self._goal, self._at = True, None, self._length
                    break
            if not self._is_due():
                break
            due.append(self._next())
            more = len(due) >= MOST
            if self._apart and not isinstance(due[-1], WORDLESS):
                break
        self.restarted, self.behind = anew, more
        for event in due:
            self._tell(event)
        return due

    def _is_due(self) -> bool:
        """Whether the next event is to be given now."""
        at, event = self._ahead[0]
        self.over = self.last is not None and step_of(event) > self.last
        return not self.over and (self._goal is not None or at <= self._at)

    def _next(self) -> events.Event:
        at, event = self._ahead.popleft()
        step = step_of(event)
        self.step = event.start if isinstance(event, events.AGAIN) else max(self.step, step)
        if self._goal is not None:
            self._at = at
            if step >= self._goal:
                self._goal = None
        return event

    def _schedule(self, new: Iterable[events.Event]) -> None:
        """When each is to be given, in seconds of the run from its beginning on, idle times made short."""
        for event in new:
            if self._before is not None:
                self._length += min(LONGEST if self._trains else IDLE, max(0.0, event.t - self._before))
            self._before = event.t
            if isinstance(event, events.State):
                self._trains = event.state == "running"
            self._ahead.append((self._length, event))
            self.end = max(self.end, step_of(event))

    def jump(self, step: int) -> None:
        """Go to a step: what comes before it is there at once. Backwards, everything is given anew."""
        step = max(0, min(step, self.end if self.last is None else self.last))
        if step <= self.step:
            self._inode = 0  # as if another file were there now: it is read from its beginning
            self._ahead.clear()
        self._goal, self.over = step, False

    def jump_by(self, direction: int) -> None:
        """Go on, or back, by a part of the run; from where the last jump leads, where that is not reached yet."""
        here = self.step if self._goal is None else self._goal
        self.jump(here + direction * max(1, self.end // PART))

    def change_speed(self, direction: int) -> None:
        """Play faster (1) or slower (-1)."""
        self.speed = next_speed(self.speed, direction)

    def toggle(self) -> None:
        """Pause, or go on; what is over is played again."""
        if self.over:
            self.jump(0)
            self.paused = False
        else:
            self.paused = not self.paused


def step_of(event: events.Event) -> int:
    """How many steps had been made where an event tells of steps; 0 where it does not."""
    match event:
        case events.Metrics():
            return event.end
        case events.Quality():
            return event.report.step
    return int(getattr(event, "step", 0) or 0)


class ReplayView(RunView):
    """A run of which a replay has given a part. It is never `live`: nobody can steer what was."""

    def __init__(
        self,
        path: Path,
        pace: Pace = USUAL,
        points: int | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        decode: Decode | None = None,
        tell: Callable[[events.Event], None] = lambda event: None,
        apart: bool = False,
    ) -> None:
        super().__init__(path, points)
        log = self.path / "events.jsonl"
        self._follower = self.playback = Playback(log, pace, clock=clock, decode=decode, tell=tell, apart=apart)

    @property
    def live(self) -> bool:
        """Never: a worker would not know of it."""
        return False

    @property
    def replaying(self) -> str:
        """How it is played, in words."""
        return self.playback.words

    def _settle(self) -> bool:
        """The state is what the log last said; once all of it was given, what the run is."""
        if self.playback.over and self.playback.last is None:
            return super()._settle()
        before = (self.state, self.reason)
        self.state, self.reason = self.logged_state or "starting", self._logged_reason
        return before != (self.state, self.reason)
