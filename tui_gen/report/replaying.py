"""A recorded run replayed as text: what following it would have shown, at another pace."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from tui_gen import events
from tui_gen.batch import TERMINATE, TERMINATED
from tui_gen.replay import ReplayView
from tui_gen.report import stdout
from tui_gen.report.follow import POLL, Display
from tui_gen.report.headless import Style, display_for
from tui_gen.report.plain import JsonDisplay as JsonDisplay
from tui_gen.report.plain import PlainDisplay as PlainDisplay
from tui_gen.report.stdout import Outlet, hang_up
from tui_gen.signals import Signals
from tui_gen.speeds import Pace

SHORTEST = 0.01
"""Seconds between two looks, at least."""


def replay(path: Path, pace: Pace, style: Style) -> int:
    """`tui-gen replay` as text, until it is over or Ctrl-C comes; the exit status."""
    out, _ = stdout.standard()
    with Signals() as signals:

        def wait(seconds: float) -> list[int]:
            signals.wait(seconds)
            return signals.take()

        return play(path, pace, display_for(style, out, path.name), out, wait)


def play(
    path: Path, pace: Pace, display: Display, out: Outlet, wait: Callable[[float], list[int]],
    clock: Callable[[], float] = time.monotonic,
) -> int:  # fmt: skip
    """Show a run at this pace by a clock; `wait` passes some seconds and gives the signals that came meanwhile."""
    view = ReplayView(path, pace, clock=clock, decode=events.decode, tell=display.event, apart=True)
    position, status = 0, 0
    display.open(view)
    try:
        while True:
            news = True
            while news:
                news = bool(view.poll() or view.behind)
                lines, position = view.log[max(0, position - view.log_offset) :], view.log_offset + len(view.log)
                for line in lines:
                    display.line(*line)
                display.update(view, view.state, "", "")
            if view.playback.over or out.gone:
                break
            if came := wait(max(SHORTEST, min(POLL, 1 / view.playback.speed))):  # about a second of the run
                if signal.SIGHUP in came:
                    hang_up()
                status = TERMINATED if set(came) & set(TERMINATE) else 0
                break
    finally:
        display.close(view, view.state)
    return status
