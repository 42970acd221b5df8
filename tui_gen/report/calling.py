"""Calling whoever started a run headless, or follows it as text: bell and notifications on a terminal, the hook's word.

The hook itself is run by a process beside the worker; here its end is waited for, because a container or a job may end
with this process.
"""

from __future__ import annotations

import contextlib
import time

from tui_gen.draw import attention
from tui_gen.notify import hook, notice_record, wishes
from tui_gen.notify.happenings import Happening, HappeningWatch
from tui_gen.report.stdout import Outlet
from tui_gen.view import RunView

SHORT = 30.0
"""Seconds for which somebody who started a run is taken to be still there."""
LOOK = 1.0
"""Seconds between two looks."""
PAUSE = 0.1
UNHEARD = 5.0
"""Seconds after which nobody is waited for who has not begun to tell."""


class Caller:
    """Calls by the terminal that an outlet writes to, if it does. `quiet` says that nothing is to be written there."""

    def __init__(self, view: RunView, out: Outlet, quiet: bool = False) -> None:
        self.view, self._out = view, out
        self._began, self._since = time.monotonic(), time.time()
        self._wishes = wishes.read()
        self._can_call = not quiet and out.isatty()
        self._watch: HappeningWatch | None = None
        self._support: attention.NoticeSupport | None = None
        self._next = 0.0

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong in the settings."""
        return self._wishes.problems

    def look(self) -> None:
        """See whether something has happened that is worth a call."""
        now = time.monotonic()
        if not self._can_call or now < self._next:
            return
        self._next = now + LOOK
        self._watch = self._watch or HappeningWatch(self.view, self._since)
        for happening in self._watch.look():
            if now - self._began >= SHORT:
                self._call(happening)

    def _call(self, happening: Happening) -> None:
        notify = self._wishes.wants(happening.event, "desktop")
        data = attention.notification(self._terminal(), happening.name, happening.text) if notify else ""
        if self._wishes.wants(happening.event, "bell") or (notify and not data):
            data += attention.BELL
        if data:
            self._out.write(data)

    def _terminal(self) -> attention.NoticeSupport:
        """What the terminal takes, asked when there is something to say, and only then."""
        if self._support is None:
            from tui_gen.draw import terminal

            self._support = attention.NONE
            with contextlib.suppress(ValueError):
                self._support = terminal.probe("ascii").notices
        return self._support

    def last_word(self, state: str, patience: float = hook.PATIENCE + 5.0) -> str:
        """Call for the end of the run, and wait until the hook was told of it; why that failed, in words, if it did."""
        self._next = 0.0
        self.look()
        event = "failed" if state in ("failed", "interrupted") else "ended"
        if not self._wishes.wants(event, "hook"):
            return ""
        begun = time.monotonic()
        while time.monotonic() - begun < (patience if notice_record.begun(self.view.path) else UNHEARD):
            if any(line.event == event and line.t >= self._since for line in notice_record.lines(self.view.path)):
                break
            time.sleep(PAUSE)
        return notice_record.failure(self.view.path, self._since)
