"""What happens to a run that somebody who looks elsewhere wants to know: it ends, fails, goes wrong, stalls, arrives.

A `HappeningWatch` reads it off a RunView that its owner polls, and tells each thing once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tui_gen import runs
from tui_gen.quantities import count, duration
from tui_gen.text import clean
from tui_gen.verdicts import health
from tui_gen.view import RunView

LONGEST = 240
"""Characters of what is told."""
HELD = 3.0
"""Seconds for which an alarm waits: where the run fails meanwhile, its failure says the same."""
JUDGED = 5.0
"""Seconds between two judgements of how a run goes."""
AGAIN = 600.0
"""Seconds after an alarm in which a verdict is none: mostly it says the same."""
SILENCE, PACES = 120.0, 8.0
"""A live run stalls that says nothing for so many seconds, and for so many times its longest recent silence."""
LATELY = 200
"""Silences that are remembered."""


@dataclass(frozen=True)
class Happening:
    """One thing that happened: the event (`wishes.EVENTS`), the run, a sentence, and what it is about in `values`.

    `key` is the same for the same thing, whoever notices it.
    """

    event: str
    run: Path
    text: str
    key: str
    values: Mapping[str, str]

    @property
    def name(self) -> str:
        """What the run is called, fit to be shown."""
        return clean(self.run.name)[:100]

    def environment(self) -> dict[str, str]:
        """What a hook finds in its environment."""
        variables = {"EVENT": self.event, "RUN": str(self.run), "NAME": self.name, "TEXT": self.text, **self.values}
        return {f"TUI_GEN_{name}": value.replace("\0", "") for name, value in variables.items()}


class HappeningWatch:
    """Tells what happens to a run after `since` (seconds since the epoch), by a view of it that somebody polls."""

    def __init__(self, view: RunView, since: float) -> None:
        self.view, self.since = view, since
        self._alerts = sum(alert.t < since for alert in view.alerts)
        self._told_alerts: set[str] = set()
        self._told_verdicts: set[str] = set()
        self._pending: list[tuple[float, Happening]] = []
        self._ended = not view.live and view.last_event_time < since
        self._reached: bool | None = None
        self._badly = -AGAIN
        self._is_bad, self._bad_told = False, False
        self._next_judgement = 0.0
        self._silences: deque[float] = deque(maxlen=LATELY)
        self._last_change, self._last = time.monotonic(), view.last_event_time
        self._stalled = False

    def look(self, now: float | None = None) -> list[Happening]:
        """What happened since the last look; `now` is a steady clock's seconds."""
        now = time.monotonic() if now is None else now
        view = self.view
        if view.behind:
            return []
        news = [*self._end(), *self._silence(now)]
        if view.live:
            self._ended = False
            self._alarms(now)
            if now >= self._next_judgement:
                self._next_judgement = now + JUDGED
                news += self._judge(now)
        elif any(happening.event == "failed" for happening in news):
            self._pending.clear()  # what went wrong is why it failed
        due = [happening for since, happening in self._pending if now - since >= HELD or not view.live]
        self._pending = [pair for pair in self._pending if pair[1] not in due]
        return [*due, *news]

    def _happening(self, event: str, words: str, key: str, **values: str) -> Happening:
        view = self.view
        verdict = health.verdict(view) if event in ("ended", "failed", "reached") else None
        number = verdict.number if verdict is not None else ""
        text = clean(f"{view.path.name[:100]} {words}" + (f": {number}" if number else ""))[:LONGEST]
        variables = {"STATE": view.state, "STEP": str(view.step), "NUMBER": clean(number), **values}
        return Happening(event, view.path, text, key, variables)

    def _end(self) -> list[Happening]:
        view = self.view
        if self._ended or view.live or view.state not in runs.ENDED:
            return []
        self._ended, self._reached = True, self._reached or False
        event = "failed" if view.state in ("failed", "interrupted") else "ended"
        reason = clean(view.reason)[:LONGEST]
        words = {"failed": "has failed", "interrupted": "was interrupted", "stopped": "was stopped"}.get(
            view.state, "has finished"
        ) + f" at step {count(view.step)}"
        words += f" ({reason})" if event == "failed" and reason else ""
        return [self._happening(event, words, f"{view.state}:{view.step}", REASON=reason)]

    def _alarms(self, now: float) -> None:
        """New alerts are held back for a moment; one of each kind is told."""
        alerts = self.view.alerts
        self._alerts = min(self._alerts, len(alerts))
        for alert in alerts[self._alerts :]:
            kind = alert.what.partition(":")[0]
            if kind in self._told_alerts | self._told_verdicts or alert.t < self.since:
                continue
            self._told_alerts.add(kind)
            words = f"at step {count(alert.at)}: {alert.words}"
            happening = self._happening("alarm", words, f"alarm:{kind}:{alert.step}", ADVICE=clean(alert.advice))
            self._pending.append((now, happening))
            self._badly = now
        self._alerts = len(alerts)

    def _judge(self, now: float) -> list[Happening]:
        view, news = self.view, []
        standing = health.Standing.of(view, health.declared(view))
        if standing is not None and standing.aim is not None:
            before, self._reached = self._reached, standing.reached or bool(self._reached)
            if self._reached and not before and (before is False or view.begun >= self.since):
                news.append(self._happening("reached", f"reached its figure at step {count(view.step)}", "reached"))
        elif self._reached is None and view.series:
            self._reached = False
        verdict = health.verdict(view)
        was_bad, self._is_bad = self._is_bad, verdict is not None and verdict.level == "bad"
        self._bad_told = self._bad_told and self._is_bad
        kind = verdict.sentence.partition(":")[0] if verdict is not None else ""
        is_lasting = self._is_bad and was_bad and not self._bad_told  # twice in a row: no passing matter
        # The worker writes some of it down as an alert, in other words after the same beginning: once is enough.
        if verdict is not None and is_lasting and now - self._badly >= AGAIN and kind not in self._told_alerts:
            self._badly, self._bad_told = now, True
            self._told_verdicts.add(kind)
            words = f"at step {count(view.step)}: {verdict.sentence}"
            key = f"alarm:{verdict.sentence.partition(' ')[0]}:{view.step}"
            news.append(self._happening("alarm", words, key, ADVICE=clean(verdict.advice)))
        return news

    def _silence(self, now: float) -> list[Happening]:
        """Tells once of each silence that is far longer than those before it."""
        view = self.view
        if view.last_event_time != self._last or view.state != "running":
            if view.state == "running" and self._last and not self._stalled:
                self._silences.append(now - self._last_change)
            self._last, self._last_change, self._stalled = view.last_event_time, now, False
            return []
        quiet = now - self._last_change
        if self._stalled or not self._silences or quiet < max(SILENCE, PACES * max(self._silences)):
            return []
        self._stalled = True
        words = f"says nothing for {duration(quiet)}, at step {count(view.step)}"
        return [self._happening("stalled", words, f"stalled:{view.step}", SECONDS=f"{quiet:.0f}")]


def trial(name: str = "a test") -> Happening:
    """What is told to try how it is told."""
    values: dict[str, Any] = {"STATE": "running", "STEP": "0", "NUMBER": ""}
    return Happening("ended", Path("/") / name, "tui-gen: a notice to try it; no run has ended", "test", values)
