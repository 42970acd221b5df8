"""A run that another one waits for: launched as any is, followed by what is in its directory, steered by request."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tui_gen import control, events, launch, runs, trust
from tui_gen.log import event_log
from tui_gen.quantities import duration

LOOK = 0.1
"""Seconds between two looks at what it does."""
TELL_EVERY = 1.0
"""Seconds between two words about how far it is."""
STOPPING = 30.0
"""Seconds that it may take to stop, before the one that waits ends without it."""
COMING_UP = 5.0
"""Seconds after which one wonders why it cannot be asked."""
WARNING = "warning: "
ANSWER = 120.0
"""Seconds that an answer of its may take; it makes a checkpoint before it stops."""


class First:
    """Trains a run in a process of its own, as far as it is not trained already, and tells of it in another's log.

    `tell` writes into that log. It may go on by itself when the other is killed: it is found by the other's resume.
    """

    def __init__(self, path: Path, tell: Callable[[events.Event], object]) -> None:
        self.path = path
        self._tell = tell
        self._log = event_log.Follower(path / runs.LOG)
        self._process: subprocess.Popen[bytes] | None = None
        self._steps: int | None = None
        self._paused = False
        self._last_progress = 0.0
        self._stopping = 0.0
        self._begun = 0.0

    def launch(self) -> None:
        """Have it trained, unless it is being trained. Raises RunError where nobody can."""
        while self._log.poll():  # what it told before is known
            pass
        if not runs.live(self.path):
            resume = (self.path / runs.LOG).exists()
            self._begun = time.monotonic()
            self._process = launch.start(self.path, resume=resume, model_dirs=trust.given())

    def wait(self, stopping: Callable[[], str]) -> None:
        """Until it has ended. While `stopping()` gives a reason to, it is asked to stop."""
        while True:
            ended = not runs.live(self.path)  # before the look, which then sees its last word
            if self._process is not None:
                ended = self._process.poll() is not None and ended
            for event in self._log.poll():
                self._relay(event)
            if ended:
                steps = self._steps or 1
                self._tell(events.Progress(self._what, steps, steps, "steps"))  # the last one has done == total
                return
            if stopping():
                self._ask_to_stop()
            time.sleep(LOOK)

    def _ask_to_stop(self) -> None:
        if self._stopping:
            return
        self._stopping = time.monotonic()
        try:
            launch.ask_run(self.path, "stop", timeout=STOPPING)
        except control.ControlError:  # it is only coming up, or has just ended
            if self._process is not None:
                self._process.send_signal(signal.SIGTERM)
            else:
                self._stopping = 0.0

    @property
    def may_take_its_time(self) -> bool:
        """Whether it has agreed to stop, and may yet do so."""
        return bool(self._stopping) and time.monotonic() - self._stopping < STOPPING

    def hand_on(self, request: control.Request) -> bool:
        """Have it answer a request to the one that waits; whether it agreed. Refuses where nobody can answer."""
        try:
            reply = launch.ask_run(self.path, request.op, timeout=ANSWER)
        except control.ControlError as error:
            request.refuse(str(error))
            return False
        if request.op == "stop":
            self._stopping = time.monotonic()
        request.answer(**reply.data)
        return True

    def trouble(self) -> str:
        """What it waits for, in words; empty where for nothing, or where it does not say."""
        with contextlib.suppress(control.ControlError):
            return str(launch.ask_run(self.path, "status", timeout=2.0).data.get("trouble") or "")
        silence = time.monotonic() - self._begun
        if self._process is None or self._process.poll() is not None or silence < COMING_UP:
            return ""
        # It may be waiting for room to take its lock and say where it can be asked: its own file says so, if it can.
        warnings = [line for line in runs.last_log_lines(self.path) if line.startswith(WARNING)]
        why = warnings[-1].removeprefix(WARNING) if warnings else "its worker.log may say why"
        return f"{self.path.name}, which is trained first, has not come up for {duration(silence)}: {why}"

    def _relay(self, event: events.Event) -> None:
        match event:
            case events.Plan():
                self._steps = event.steps
            case events.Metrics() if self._steps and time.monotonic() - self._last_progress >= TELL_EVERY:
                self._last_progress = time.monotonic()
                if event.end < self._steps:
                    self._tell(events.Progress(self._what, event.end, self._steps, "steps"))
            case events.Progress():
                self._tell(events.Progress(f"{self.path.name}: {event.what}", event.done, event.total, event.unit))
            case events.State(state="paused" | "running") if self._paused != (event.state == "paused"):
                self._paused = event.state == "paused"
                does = f"is paused at step {event.step:,}" if self._paused else "goes on"
                word = "paused" if self._paused else "starting"
                self._tell(events.State(word, 0, f"{self.path.name}, which is trained first, {does}"))

    @property
    def _what(self) -> str:
        return f"training {self.path.name} first"
