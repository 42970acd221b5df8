"""Following a run as text: plain lines for pipes and log files, or the run's events as JSON, one a line."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tui_gen import events
from tui_gen.progress import memory, parts, preparation, speed, where
from tui_gen.quantities import duration, metric
from tui_gen.report.stdout import Outlet
from tui_gen.text import clean, clean_lines, escape
from tui_gen.verdicts import health
from tui_gen.view import RunView

MOST_METRICS = 8
HEALTH = "health/"


class PlainDisplay:
    """Plain lines: one of figures every `every` seconds while steps are made, and the run's log as it comes."""

    def __init__(self, out: Outlet, every: float = 2.0) -> None:
        self.out, self.every = out, every
        self._last = 0.0
        self._step = -1
        self._since: dict[str, float] = {}
        self._progress = ""
        self._view: RunView | None = None

    def open(self, view: RunView) -> None:
        """Figures count from here on."""
        self._view, self._step = view, view.step
        self._since = {name: float(curve.steps[-1]) for name, curve in view.series.items() if len(curve)}

    def event(self, event: events.Event) -> None:
        """Preparations: their beginning, their end, and how far they are in between. Figures come from the view."""
        if isinstance(event, events.AGAIN):
            self._since = {name: min(step, float(event.start)) for name, step in self._since.items()}
        if not isinstance(event, events.Progress):
            return
        now = time.monotonic()
        if event.what != self._progress or event.done >= event.total > 0 or now - self._last >= self.every:
            self._progress, self._last = event.what, now
            self.out.line(f"{clock(event.t)} {preparation(event)}")

    def line(self, t: float, level: str, text: str) -> None:
        """`12:30:05 warning: …`; before a change of state come the figures of the steps up to it."""
        if level in ("state", "error"):
            self._catch_up()
        word = f"{level}: " if level in ("warning", "error") else ""
        for line in clean_lines(text):
            self.out.line(f"{clock(t)} {word}{line}")

    def notice(self, level: str, text: str) -> None:
        """As a line of the log, with the time of now."""
        self.line(time.time(), level, text)

    def update(self, view: RunView, state: str, trouble: str, hint: str) -> None:
        """A line of figures, when it is time for one and there is something new."""
        if time.monotonic() - self._last >= self.every:
            self._catch_up()

    def close(self, view: RunView, state: str) -> None:
        """The figures of the last steps."""
        self._catch_up()

    def _catch_up(self) -> None:
        """A line of figures, if there were steps since the last one."""
        view = self._view
        if view is None or view.step == self._step or not any(len(curve) for curve in view.series.values()):
            return
        self._last, self._step = time.monotonic(), view.step
        words = [f"{clock(view.last_event_time or time.time())} {where(view)}"]
        means = [f"{name} {metric(value)}" for name, value in self._means(view)]
        words.append(" ".join(means))
        words.append(" ".join(pace(view)))
        self.out.line(" | ".join(word for word in words if word))

    def _means(self, view: RunView) -> list[tuple[str, float]]:
        """Metric → its mean since the last line; of validation metrics the latest value."""
        means = []
        for name in ordered(view, health=False):
            curve = view.series[name]
            new = curve.values[curve.steps.searchsorted(self._since.get(name, -np.inf), side="right") :]
            if len(curve):
                self._since[name] = float(curve.steps[-1])
            if name.startswith("val/"):
                new = new[-1:]
            if len(new):
                finite = new[np.isfinite(new)]
                means.append((name, float(finite.mean(dtype=np.float64)) if len(finite) else float("nan")))
        return means[:MOST_METRICS]


class JsonDisplay:
    """JSON, one object a line: `run` first, then the run's events as they are logged, `end` last.

    What is not in the log (a signal, a full disk) comes as `notice`.
    """

    def __init__(self, out: Outlet) -> None:
        self.out = out

    def open(self, view: RunView) -> None:
        """The line that says which run it is."""
        self._write("run", path=str(view.path), state=view.state, step=view.step)

    def event(self, event: events.Event) -> None:
        """The event as it is in the log; values are plain numbers, however they are written there."""
        self.out.write(escape(events.encode(events.plain(event)).decode().removesuffix("\n")) + "\n")

    def line(self, t: float, level: str, text: str) -> None:
        """Nothing: it is an event already."""

    def notice(self, level: str, text: str) -> None:
        """A line of its own."""
        self._write("notice", level=level, text=text)

    def update(self, view: RunView, state: str, trouble: str, hint: str) -> None:
        """Nothing: events are the news."""

    def close(self, view: RunView, state: str) -> None:
        """How it ended and where everything is."""
        self._write(
            "end",
            path=str(view.path),
            state=state,
            reason=view.reason,
            step=view.step,
            verdict=health.verdict(view),
            checkpoint=str(view.path / view.checkpoints[-1].path) if view.checkpoints else None,
            samples=str(view.path / view.samples[-1].path) if view.samples else None,
        )

    def _write(self, kind: str, **fields: Any) -> None:
        self.out.json({"type": kind, "t": time.time(), **fields})


def clock(t: float) -> str:
    """The time of day of a moment in seconds since the epoch, here."""
    return time.strftime("%H:%M:%S", time.localtime(t))


def pace(view: RunView) -> list[str]:
    """Rates, time left, device and memory, as far as they are known."""
    eta = f"ETA {duration(view.eta)}" if view.eta is not None else ""
    return [word for word in (*speed(view), eta, *machine(view)) if word]


def machine(view: RunView) -> list[str]:
    """What a run trains on, in how many parts, and what it takes of it."""
    return [word for word in (clean(view.plan.device) if view.plan else "", parts(view), memory(view)) if word]


def ordered(view: RunView, health: bool = True) -> list[str]:
    """The names of the metrics, losses first, then the others, each followed by its validation twin; rates last, and
    measurements of health after these where they are wanted."""
    skipped = ("val/",) if health else ("val/", HEALTH)
    training = [name for name in view.series if not name.startswith(skipped)]
    training.sort(key=lambda name: (name.startswith(HEALTH), name.endswith("/lr"), not name.endswith("/loss")))
    names = []
    for name in training:
        names += [name, *([f"val/{name}"] if f"val/{name}" in view.series else [])]
    return names + [name for name in view.series if name not in names and (health or not name.startswith(HEALTH))]
