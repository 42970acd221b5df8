"""Following a run to its end, headless: the loop, what signals mean, and the exit status.

Starting a run and following it is the same as attaching to one, except for what Ctrl-C does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from typing import Protocol

from tui_gen import control, events, launch, runs
from tui_gen.batch import TERMINATE, TERMINATED
from tui_gen.log import event_log
from tui_gen.report.calling import Caller
from tui_gen.report.stdout import Outlet, hang_up
from tui_gen.signals import Signals
from tui_gen.view import RunView

POLL = 0.1
"""Seconds between looks at the log."""
QUIET = 2.0
"""A live run that wrote nothing for so many seconds is asked what the matter is."""

FINISHED, FAILED, STOPPED, INTERRUPTED, KILLED = 0, 1, 3, 4, 130
STATUS = {"finished": FINISHED, "failed": FAILED, "stopped": STOPPED, "interrupted": INTERRUPTED}


class Display(Protocol):
    """What shows a followed run: live on a terminal, as plain lines, or as JSON."""

    def open(self, view: RunView) -> None:
        """Begin; the run has been read up to now."""

    def event(self, event: events.Event) -> None:
        """An event of the log, in order."""

    def line(self, t: float, level: str, text: str) -> None:
        """A line of the run's log, in words."""

    def notice(self, level: str, text: str) -> None:
        """Something about following the run, in words; it is not in the log."""

    def update(self, view: RunView, state: str, trouble: str, hint: str) -> None:
        """Called about ten times a second."""

    def close(self, view: RunView, state: str) -> None:
        """The run has ended, or is followed no longer."""


class Follow:
    """Follows one run: `run()` returns the exit status, `state` how it ended.

    `owner` says what Ctrl-C means: stop the run, or only stop watching it (`detached` is true then). An owner sets
    `process` to the worker it started, and calls `skip_past` before that where the run has a past.
    """

    def __init__(
        self,
        view: RunView,
        display: Display,
        outlet: Outlet,
        *,
        owner: bool = True,
        history: int = 20,
    ) -> None:
        self.view, self.display, self.outlet, self.owner = view, display, outlet, owner
        self.process: subprocess.Popen[bytes] | None = None
        self.state = "starting" if owner else view.state
        self.trouble = ""
        self.detached = False
        self._follower = event_log.Follower(view.path / "events.jsonl")
        self._last_event_before = view.last_event_time
        self._log_position = view.log_offset + max(0, len(view.log) - history)
        self._interrupts = 0
        self._terminated = False
        self._why = ""
        self._killed = False
        self._hint = ""
        self._words: list[tuple[str, str]] = []
        self._over = threading.Event()
        self._stopping: threading.Thread | None = None
        self._asking: threading.Thread | None = None
        self._last_news = time.monotonic()
        self.caller: Caller | None = None
        """Who calls somebody when something happens, if anybody does."""

    def skip_past(self) -> None:
        """What earlier sessions of the run did is known: show only what comes now."""
        self.view.follow_on(self._follower)
        self._log_position = self.view.log_offset + len(self.view.log)

    def run(self, signals: Signals) -> int:
        """Follow until the run ends or a signal says otherwise; the exit status."""
        signals.listen(self._heard_signal)
        self.display.open(self.view)
        try:
            while True:
                self._look()
                for number in signals.take():
                    self._obey(number)
                self.display.update(self.view, self.state, self.trouble, self._hint)
                if self.detached or self._killed or self._ended():
                    break
                if self.outlet.gone and not self.owner:
                    self.detached = True
                    break
                signals.wait(POLL)
            self._over.set()
            self._settle()
        finally:
            self._over.set()
            signals.listen(None)
            self.display.close(self.view, self.state)
        return self._status()

    # -- the run

    def _look(self) -> None:
        """Read what is new and show it."""
        while (new := self._follower.poll()) or self._follower.behind:
            for event in new:
                self.display.event(event)
        while self.view.poll() or self.view.behind:
            self._last_news = time.monotonic()
            self.trouble = ""
        log_end = self.view.log_offset + len(self.view.log)
        if self._log_position > log_end:  # the log was replaced
            self._log_position = 0
        for t, level, text in self.view.log[max(0, self._log_position - self.view.log_offset) :]:
            self.display.line(t, level, text)
        self._log_position = log_end
        while self._words:
            self.display.notice(*self._words.pop(0))
        if self.caller is not None:
            self.caller.look()
        fresh = not self.owner or self.view.last_event_time > self._last_event_before
        self.state = self.view.state if fresh else "starting"
        if self.state in runs.LIVE and time.monotonic() - max(self._last_news, self._asked_at) > QUIET:
            self._ask_trouble()

    _asked_at = 0.0

    def _ended(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            self._look()
            return True
        return self.state in runs.ENDED

    def _settle(self) -> None:
        """See the run's last words before anything is said about the end."""
        if self.detached:
            return
        if self.state in runs.LIVE:
            self.wait_for_process()
        self._look()
        has_exited = self.process is not None and self.process.poll() is not None
        if self.state in runs.LIVE and (has_exited or self._killed):
            began = self.view.last_event_time > self._last_event_before
            self.state = "interrupted" if began or self._killed or self._terminated else "failed"

    def wait_for_process(self) -> None:
        """Have our worker gone: until then it holds the run, and to resume it at once would be refused."""
        if self.process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)

    def _status(self) -> int:
        if self._killed:
            return KILLED
        if self._terminated and self.state not in ("finished", "failed"):  # else nothing is left to go on with
            return TERMINATED
        return 0 if self.detached else STATUS.get(self.state, INTERRUPTED)

    def _ask_trouble(self) -> None:
        """A run that is quiet may be waiting for room on the disk: ask, without waiting for the answer."""
        if self._asking is not None and self._asking.is_alive():
            return
        self._asked_at = time.monotonic()

        def ask() -> None:
            with contextlib.suppress(control.ControlError):
                reply = launch.ask_run(self.view.path, "status", timeout=QUIET)
                trouble = str(reply.data.get("trouble", ""))
                if trouble and trouble != self.trouble:
                    self._words.append(("warning", trouble))
                self.trouble = trouble

        self._asking = threading.Thread(target=ask, name="ask-trouble", daemon=True)
        self._asking.start()

    # -- signals

    def _heard_signal(self, number: int) -> None:
        """At once, even while the terminal blocks our output: the run must not wait for that."""
        if number == signal.SIGHUP:
            if self.owner:
                hang_up()
            return
        if not self.owner:
            return
        if number == signal.SIGINT:
            self._interrupts += 1
        if number in TERMINATE:
            self._terminated, self._why = True, self._why or f"by {signal.Signals(number).name}"
        if self._interrupts >= 2 or (self._interrupts and self._terminated and number == signal.SIGINT):
            self._kill()
        elif self._stopping is None:
            self._stopping = threading.Thread(target=self._stop, name="stop", daemon=True)
            self._stopping.start()

    def _obey(self, number: int) -> None:
        """What is said about a signal, in the loop."""
        if number == signal.SIGHUP:
            if not self.owner:
                hang_up()
                self.detached = True
        elif not self.owner:
            self.detached = True
            self._terminated = number in TERMINATE
        elif not self._killed:
            name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
            again = " again" if self._interrupts else ""
            self._hint = f"stopping with a checkpoint; Ctrl-C{again} ends it at once, without one"
            self.display.notice("state", f"{name}: {self._hint}")

    def _stop(self) -> None:
        """Ask until the worker listens and agrees (it may be starting, or out of disk space)."""
        last = ""
        while not self._over.is_set():
            try:
                launch.stop(self.view.path, self._silent, timeout=3600, why=self._why)
                return
            except control.ControlError as error:
                if self._terminated and self.process is not None and not isinstance(error, launch.ComingError):
                    # No time is left to wait for room, and a signal is not refused.
                    self.process.send_signal(signal.Signals[self._why.removeprefix("by ")])  # it ends as it can
                    return
                info = runs.worker_of(self.view.path)
                if info is not None and str(error) != last and os.path.exists(info.socket):
                    last = str(error)
                    self._words.append(("warning", f"not stopped yet: {error}"))
            self._over.wait(0.5)

    def _silent(self, words: str) -> None:
        self._words.append(("warning", f"not stopped yet: {words}"))

    def _kill(self) -> None:
        """End the worker and whatever it started, now."""
        self._killed = True
        info = runs.worker_of(self.view.path)
        pid = self.process.pid if self.process is not None else info.pid if runs.alive(info) and info else None
        if pid is None or (self.process is not None and self.process.poll() is not None):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
