"""The one timer: polls the run that is shown and hands what changed to the panes on screen, no faster than the link.

When nothing changed nothing is drawn and nothing is sent.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from tui_gen.app.panes.base import Pane
from tui_gen.app.shell.status import StatusBar
from tui_gen.app.shell.workspace import Workspace
from tui_gen.app.terminal.pacing import CpuBudget, Pacer
from tui_gen.app.terminal.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.timer import Timer

    from tui_gen.view import RunView

PERIOD = 0.08
LARGE = 2000
"""Bytes that need a question of their own: pictures and panes draw frames that nobody here asked for."""
BEAT = 1.0
"""Seconds between two looks at what changes without the run shown."""
UNDER_DIALOG = 1.0
"""Seconds between two frames under a dialog: there every change repaints the whole screen."""
READING = 0.25
"""Seconds between two frames while a long log is read: most of the time is for reading."""
MOMENT = 0.005
"""Seconds for keys between two parts of a long log."""
QUIET = 3.0
"""Seconds without news after which a run is looked at less often."""
RARELY = 0.4
"""Seconds between two looks at a quiet run; with no run, and nobody at the keys, there is only the beat."""
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PaneFollower:
    """Couples a RunView to the panes. `on_state(before, after)` hears of every change of state of the run shown.

    `on_read` hears when a run whose log was long is read up to its end.
    """

    def __init__(
        self,
        workspace: Workspace,
        status: StatusBar,
        wire: Wire,
        pacer: Pacer,
        on_state: Callable[[str, str], None],
        on_fault: Callable[[Pane, Exception], None],
        on_read: Callable[[RunView], None] = lambda view: None,
    ) -> None:
        self.workspace = workspace
        self.status = status
        self.wire = wire
        self.pacer = pacer
        self.budget = CpuBudget()
        self.view: RunView | None = None
        self._timer: Timer | None = None
        self._on_beat: Callable[[float], None] = lambda quiet: None
        self._beat = 0.0
        self._on_state = on_state
        self._on_fault = on_fault
        self._on_read = on_read
        self._state = ""
        self._news = 0.0
        self._next = 0.0
        self.at_rest = asyncio.Event()
        """Set once the run that was shown first is read and drawn, or somebody is about to go on."""
        self._status_due = False
        self._asking = False
        self._draw_time = 0.0
        self._rate_start = (0.0, 0)
        self._asked_at = 0
        wire.after_frame.append(self._framed)

    def show(self, view: RunView | None) -> None:
        """This run is shown from now on."""
        self.view = view
        self._state = view.state if view is not None else ""
        self._news = time.monotonic()
        self._next = 0.0
        for pane in self.workspace.panes:
            self.introduce(pane)
        self.status.show(view)
        self._wake()

    def introduce(self, pane: Pane) -> None:
        """Tell a pane which run is shown; it gets all of it at its next turn."""
        try:
            pane.show_run(self.view)
        except Exception as error:  # one pane's fault must not take the others down
            self._on_fault(pane, error)
        pane.news = set(self.view.PARTS) if self.view is not None else set()

    @property
    def _reading(self) -> bool:
        """Whether more of the log is there than was read."""
        return self.view is not None and self.view.behind

    @property
    def quiet_for(self) -> float:
        """Seconds since anything was heard from the run."""
        return time.monotonic() - self._news

    @property
    def hands_on(self) -> bool:
        """Whether somebody presses keys."""
        return self.budget.hands_on(time.monotonic())

    @property
    def shares_cores(self) -> bool:
        """Whether the run shown computes on all cores of this machine."""
        view = self.view
        plan = view.plan if view is not None and view.state == "running" else None
        return plan is not None and plan.threads * plan.processes >= CORES

    def run(self, on_beat: Callable[[float], None]) -> None:
        """Tick from now on. `on_beat` is told every second for how long nothing was heard from the run."""
        self._on_beat = on_beat
        self._turn()

    def stop(self) -> None:
        """No more ticks."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def touched(self) -> None:
        """Somebody pressed a key, or a button of the mouse: the budget does not bind for a while."""
        self.at_rest.set()
        if self.budget.touched(time.monotonic()):
            self._wake()

    def hurry(self) -> None:
        """There is news of the run for whoever just asked for it: look at once."""
        self._next, self._news = 0.0, time.monotonic()
        self._wake()

    def _wake(self) -> None:
        """End a long pause, once what woke us is done."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = self.workspace.app.set_timer(MOMENT, self._turn, name="follower")

    def _turn(self) -> None:
        self._timer = self.workspace.app.set_timer(self.pause, self._turn, name="follower")
        if not self.workspace.is_attached:
            return
        self.tick()
        now = time.monotonic()
        if now - self._beat >= BEAT:
            self._beat = now
            self._on_beat(self.quiet_for)
            for pane in self.workspace.on_screen:
                pane.beat(self.quiet_for)

    @property
    def pause(self) -> float:
        """Seconds until the next tick."""
        if self._reading:
            return MOMENT
        now = time.monotonic()
        period = PERIOD
        if self.view is None or now - self._news >= QUIET:
            waiting = self._status_due or any(pane.news for pane in self.workspace.on_screen)
            if not waiting and not self.budget.hands_on(now):
                period = BEAT if self.view is None else RARELY
        return max(period, self._rest(now))

    def _rest(self, now: float) -> float:
        """Seconds until the next live frame may be drawn."""
        if self._reading:
            return 0.0
        return self.budget.left(now, time.process_time(), None if self.shares_cores else self.wire.bytes_written)

    def tick(self) -> None:
        """Poll, and draw where there is something to draw and the link has room."""
        now = time.monotonic()
        if self._rest(now):
            return
        if now >= self._next:
            self._poll(now)
        if self._reading and now - self._draw_time < READING:
            return
        if len(self.workspace.app.screen_stack) > 1 and now - self._draw_time < UNDER_DIALOG:
            return
        waiting = [pane for pane in self.workspace.on_screen if pane.news]
        if (waiting or self._status_due) and self.pacer.may_draw(now):
            self._draw(waiting, now)
            if not self._reading and not self.at_rest.is_set():
                self.workspace.call_after_refresh(self.at_rest.set)
        elif not waiting and not self._reading and not self.at_rest.is_set():
            self.at_rest.set()
        elif self._rate_start[1] and now - self._news > 2.0 and now - self._rate_start[0] > 2.0:
            self._settle(now)

    def _poll(self, now: float) -> None:
        view = self.view
        if view is None:
            self._next = now + BEAT
            return
        was_reading = self._reading
        parts = view.poll()
        if parts:
            self._news = now
            self._status_due = True
            for pane in self.workspace.panes:
                pane.news |= parts
        self._next = now + (0.0 if now - self._news < QUIET else RARELY - PERIOD / 2)
        if was_reading and not self._reading:
            self._on_read(view)
        if view.state != self._state:
            before, self._state = self._state, view.state
            self._on_state(before, view.state)

    def _draw(self, waiting: list[Pane], now: float) -> None:
        spent = time.process_time()  # what panes take to draw is part of the frame
        for pane in waiting:
            parts, pane.news = pane.news, set()
            try:
                pane.update_view(parts)
            except Exception as error:  # one pane's fault must not take the others down
                self._on_fault(pane, error)
        then, count = self._rate_start
        if then and now > then:
            rate = (self.wire.bytes_written - count) / (now - then)
            if now - then >= 1.0:
                self.status.link = (self.pacer.round_trip, rate)
                self._rate_start = (now, self.wire.bytes_written)
        else:
            self._rate_start = (now, self.wire.bytes_written)
        self._status_due = False
        self._draw_time = now
        self.status.update_text()
        self.pacer.drawing(now)
        self.budget.drawing(now, spent, self.wire.bytes_written)
        self._asking = True

    def _settle(self, now: float) -> None:
        """Nothing comes any more: say so once (0 kB/s), and then say nothing."""
        self._rate_start = (0.0, 0)
        self.status.link = (self.pacer.round_trip, 0.0)
        self.status.update_text()

    def _framed(self) -> None:
        """A frame went out: have the terminal tell when it has it, be it ours or one that a key press caused."""
        if self._asking:
            self._asking = False
            self._ask()
        elif self.wire.bytes_written - self._asked_at > LARGE and not self.pacer.asked:
            self._ask()

    def _ask(self) -> None:
        self._asked_at = self.wire.bytes_written
        if self.pacer.may_ask and self.wire.ask_round_trip():
            self.pacer.ask(time.monotonic())

    def answered(self) -> None:
        """The terminal has everything up to the question; what was sent since then may need another."""
        more = self.wire.bytes_written - self._asked_at > LARGE
        self.pacer.answered(time.monotonic(), more)
        if more:
            self._ask()
