"""Calls somebody who is not looking: bell, notifications of the desktop and progress, by this terminal's means.

The hook is none of its business: a process beside the worker tells that (`tui_gen.notify.teller`), and here it is only
said where it failed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gen import runs
from tui_gen.app.background import away
from tui_gen.draw import attention
from tui_gen.notify import notice_record, wishes
from tui_gen.notify.happenings import Happening, HappeningWatch, trial
from tui_gen.replay import ReplayView
from tui_gen.view import RunView

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel

    from tui_gen.app.shell.notices import Notices
    from tui_gen.app.terminal.app import TerminalApp
    from tui_gen.app.terminal.wire import Wire
    from tui_gen.draw.terminal import Terminal

PRESENT = 60.0
"""Seconds after a key for which somebody is there, where the terminal does not tell whether it has the focus."""
OTHERS = 2.0
"""Seconds between two looks at runs that are not on screen."""
POINTS = 2_000
"""Values that are kept of those."""


class Announcer:
    """Told about once a second which run is shown, and which others were started here (`beat`)."""

    def __init__(self, app: TerminalApp, notices: Notices) -> None:
        self._app, self._notices = app, notices
        self.wishes = wishes.read()
        self._watch: HappeningWatch | None = None
        self._others: dict[Path, HappeningWatch] = {}
        self._looking = False
        self._look_time = 0.0
        self._hook_time = 0.0
        self._failures: set[str] = set()
        self._began = time.time()
        self._progress = ""
        self._number = 0
        self._touch_time = time.monotonic()
        self._tells_focus = False
        app.watch(app, "app_focus", self._focus_changed, init=False)

    def _focus_changed(self, focused: bool) -> None:
        self._tells_focus = True

    def touched(self) -> None:
        """Somebody pressed a key."""
        self._touch_time = time.monotonic()

    @property
    def terminal(self) -> Terminal | None:
        """What the terminal answered, as of now."""
        return self._app.terminal

    @property
    def _wire(self) -> Wire:
        return self._app.wire

    @property
    def present(self) -> bool:
        """Whether somebody looks at this screen: the terminal has the focus, or, where it does not tell, keys came."""
        if not self._app.app_focus:
            return False
        terminal = self.terminal
        tells = self._tells_focus or (terminal is not None and bool(terminal.name) and not terminal.multiplexer)
        return tells or time.monotonic() - self._touch_time < PRESENT

    def beat(self, view: RunView | None, started: set[Path]) -> None:
        """Look at the run shown, unless it is replayed, and now and then at the others."""
        if isinstance(view, ReplayView):
            view = None
        if self._watch is None or self._watch.view is not view:
            self._watch = HappeningWatch(view, time.time()) if view is not None else None
            if view is not None:
                self._others.pop(view.path, None)
        if self._watch is not None:
            for happening in self._watch.look():
                self.tell(happening, on_screen=True)
        self._show_progress(view)
        now = time.monotonic()
        if now - self._look_time >= OTHERS and not self._looking:
            self._look_time = now
            others = {path for path in started if view is None or path != view.path}
            for path in set(self._others) - others:
                del self._others[path]
            if others and any(path not in self._others or self._others[path].view.live for path in others):
                self._app.run_worker(self._look_at(others), exit_on_error=False)
        if self.wishes.command and view is not None and now - self._hook_time >= 10 * OTHERS:
            self._hook_time = now
            self._app.run_worker(self._look_at_hook(view.path), exit_on_error=False)

    async def _look_at(self, others: set[Path]) -> None:
        """Runs that are live and not on screen: a watch of each, until it has ended."""
        self._looking = True
        try:
            for happening in await away(self._news, others):
                self.tell(happening, on_screen=False)
        finally:
            self._looking = False

    def _news(self, others: set[Path]) -> list[Happening]:
        news = []
        for path in others:
            watch = self._others.get(path)
            if watch is None:
                if runs.state_of(path)[0] not in runs.LIVE:
                    continue
                watch = self._others[path] = HappeningWatch(RunView.read(path, POINTS), time.time())
            was_live = watch.view.live
            watch.view.read_all()
            news += watch.look() if was_live or watch.view.live else []
        return news

    async def _look_at_hook(self, path: Path) -> None:
        words = await away(notice_record.failure, path, self._began)
        if words and words not in self._failures:
            self._failures.add(words)
            self._notices.tell(words, "warning")

    def tell(self, happening: Happening, on_screen: bool) -> None:
        """Call somebody, unless they look at it; a run that is not on screen has a toast as well."""
        if not on_screen:
            severity: SeverityLevel = "error" if happening.event == "failed" else "information"
            self._notices.tell(f"{happening.text}.", severity)
        elif self.present:
            return
        self.call(happening)

    def call(self, happening: Happening) -> str:
        """Call by what is wished and what the terminal takes; which way that was, in words, empty for none."""
        notify = self.wishes.wants(happening.event, "desktop")
        if notify and (data := self._notification(happening)):
            self._wire.send(data)
            ring = self.wishes.wants(happening.event, "bell")
        else:
            data, ring = "", notify or self.wishes.wants(happening.event, "bell")
        if ring:
            self._wire.send(attention.BELL)
        return " and ".join(["a notification"] * bool(data) + ["the bell"] * ring)

    def _notification(self, happening: Happening) -> str:
        self._number += 1
        terminal = self.terminal
        support = terminal.notices if terminal is not None else attention.NONE
        return attention.notification(support, happening.name, happening.text, self._number)

    def try_out(self) -> str:
        """Send a notice to see what comes; which way it was sent, in words."""
        return self.call(trial()) or "nothing: neither bell nor desktop is chosen for runs that end"

    def use(self, new: wishes.Wishes) -> None:
        """These are the wishes from now on."""
        self.wishes = new
        if not new.progress:
            self._clear_progress()

    # -- progress at the window

    def _show_progress(self, view: RunView | None) -> None:
        terminal = self.terminal
        if terminal is None or not self.wishes.progress:
            return
        state = view.state if view is not None and (view.live or self._progress) else ""
        data = attention.progress(terminal.notices, state, view.fraction if view is not None and state else None)
        if data != self._progress and (state in attention.STATES or self._progress):
            self._wire.send(data)
            self._progress = data if state in attention.STATES else ""

    def _clear_progress(self) -> None:
        terminal = self.terminal
        if self._progress and terminal is not None:
            self._wire.send(attention.progress(terminal.notices, "", None))
        self._progress = ""

    def close(self) -> None:
        """Leave nothing at the window."""
        self._clear_progress()
