"""The run of a trial that is open: what it reports on the way, its best value, and stopping it with a reason."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tui_gen import control, events, launch, runs
from tui_gen.search.study import WHOLE, SearchTrial
from tui_gen.view import RunView

POINTS = 50_000
"""Values of a run's curves that are kept."""
AGAIN = 2.0
"""Seconds until a run that could not be stopped is asked again."""


class BestValue(NamedTuple):
    """The best value of a metric, and the index of its step, from 0: studies are kept for years."""

    value: float
    step: int


class OpenTrial:
    """A trial and its run, which this process started, resumed, or found."""

    def __init__(self, trial: SearchTrial, path: Path, metric: str, better: str, slot: str = "") -> None:
        self.trial, self.path, self.metric, self.better, self.slot = trial, path, metric, better, slot
        self.view = RunView(path, POINTS)
        self.process: subprocess.Popen[bytes] | None = None
        self.was_live = False
        """Whether it was seen to train since this process looks on."""
        self.stopping = ""
        """Why it was asked to stop; empty where it was not."""
        self.stopped_since = 0.0
        """When it was first seen to have been stopped by a signal."""
        self.resumed, self.resumed_at = 0, 0
        """How often it was resumed since it last got further than this step."""

    @property
    def state(self) -> str:
        """The state of its run, as far as that is over with its worker."""
        if self.process is not None and self.process.poll() is None and self.view.state in runs.ENDED:
            return "stopping"
        return self.view.state

    def look(self) -> bool:
        """Read what is new and report it; whether it is to be pruned. Raises RunError of the storage."""
        self.view.poll()
        self.was_live = self.was_live or self.view.state in runs.LIVE
        prune = False
        for percent, value in self._news():
            prune = self.trial.report(percent, value) or prune
        return prune and not self.stopping and self.view.state in runs.LIVE

    def _news(self) -> list[tuple[int, float]]:
        """The metric's values that were not reported yet: the first of each per cent of the run's length."""
        curve = self.view.series.get(self.metric)
        if curve is None or not len(curve.values):
            return []
        steps, values = np.asarray(curve.steps), np.asarray(curve.values)
        plan = self.view.plan
        if plan is not None and plan.steps:
            percents = np.minimum(WHOLE, (WHOLE * steps) // plan.steps).astype(int)
        else:
            part = self.view.fraction
            steps, values = steps[-1:], values[-1:]
            percents = np.full(1, int(WHOLE * part) if part is not None else 0)
        new = (percents > self.trial.percent) & np.isfinite(values)
        percents, values = percents[new], values[new]
        _, firsts = np.unique(percents, return_index=True)
        return [(int(percents[place]), float(values[place])) for place in firsts]

    def best(self) -> BestValue | None:
        """The metric's best value so far; None where it has none."""
        curve = self.view.series.get(self.metric)
        if curve is None:
            return None
        values = np.asarray(curve.values, float)
        places = np.flatnonzero(np.isfinite(values))
        if not len(places):
            return None
        at = places[np.argmax(values[places]) if self.better == "higher" else np.argmin(values[places])]
        return BestValue(float(f"{values[at]:.7g}"), events.index(int(curve.steps[at])))

    def stop(self, why: str) -> None:
        """Have its run stop with a checkpoint, in a thread of its own; again, unless it was asked to already."""
        if not self.stopping:
            self.stopping = why
            threading.Thread(target=self._stop, args=(why,), daemon=True).start()

    def _stop(self, why: str) -> None:
        try:
            launch.stop(self.path, lambda _: None, why=why)
        except control.ControlError:
            if self.process is not None:
                with contextlib.suppress(OSError):
                    self.process.terminate()
            time.sleep(AGAIN)
            if runs.live(self.path):
                self.stopping = ""  # whoever looks on asks again

    def kill(self) -> None:
        """End its worker at once: it is resumed from its last checkpoint."""
        if self.process is not None:
            with contextlib.suppress(OSError):
                self.process.kill()
