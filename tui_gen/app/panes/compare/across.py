"""The x axis that several runs share: each run's steps, epochs or times, counted from its own start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tui_gen.app.panes.curves.looking import CLOCKS, Across, ViewState
from tui_gen.draw.clock import Clock, time_label
from tui_gen.draw.placed import PlacedSeries
from tui_gen.draw.series import Series
from tui_gen.history.comparison import ComparedRun

FINE = 1000.0
"""Places of the axis in a second: times are told apart to the thousandth."""
AGES = 1e9
"""Seconds, more than any run takes."""
EVENLY = Clock([AGES * FINE], [AGES])


class AcrossRuns(Across):
    """Steps as they are; epochs in steps of the run that has the most of them in one; times in thousandths of a second.

    A run that is a fork of another one that is compared begins where the two part: what is before it is the other's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs: Sequence[ComparedRun] = ()
        self.axis_name = "steps"
        """The axis that is asked for; where the runs do not have it, there are steps."""
        self._curves: dict[tuple[int, str, str], tuple[tuple[int, ...], Series | None]] = {}
        self._run_clocks: dict[tuple[int, str], tuple[int, Clock]] = {}

    def show_runs(self, runs: Sequence[ComparedRun]) -> None:
        """The x axis of these runs from now on."""
        self.show(None)
        self.runs = runs
        self._curves.clear()
        self._run_clocks.clear()

    @property
    def epoch(self) -> int:
        """Places in one epoch."""
        return max((_epoch(run) for run in self.runs), default=1)

    def clock(self, axis: str) -> Clock:
        """Places as times; false where no run has any."""
        return EVENLY if any(self.clock_of(run, axis) for run in self.runs) else Clock([], [])

    def clock_of(self, run: ComparedRun, axis: str) -> Clock:
        """The time by step of one run."""
        series = run.view.wall if axis == "wall" else run.view.clock
        revision, clock = self._run_clocks.get((run.slot, axis), (-1, None))
        if clock is None or revision != series.revision:
            clock = Clock(series.steps, series.values)
            self._run_clocks[run.slot, axis] = series.revision, clock
        return clock

    def place(self, run: ComparedRun, steps: np.ndarray, axis: str) -> np.ndarray | None:
        """Where steps of a run are; None where that is not known."""
        if axis == "epochs":
            return steps * (self.epoch / _epoch(run))
        if axis in CLOCKS:
            clock = self.clock_of(run, axis)
            return clock.times(steps) * FINE if clock else None
        return steps

    def place_of(self, run: ComparedRun, step: float, axis: str) -> float | None:
        """Where one step of a run is."""
        places = self.place(run, np.array([step], dtype=np.float64), axis)
        return float(places[0]) if places is not None else None

    def step_of(self, run: ComparedRun, place: float, axis: str) -> float:
        """The step of a run at a place; a place that the run has not come to is one of its end."""
        if axis == "epochs":
            return place * _epoch(run) / self.epoch
        return self.clock_of(run, axis).step(place / FINE) if axis in CLOCKS else place

    def curve_of(self, run: ComparedRun, metric: str, axis: str) -> Series | None:
        """A metric of a run as it is drawn; None where the run has no such metric, or no such place for it."""
        series = run.view.series.get(metric)
        if series is None or not len(series):
            return None
        if axis == "steps" and not run.begins:
            return series
        clock = self._clock_series(run, axis)
        sign = (series.revision, series.generation, id(series), clock.revision if clock else 0, self.epoch)
        before, curve = self._curves.get((run.slot, metric, axis), ((), None))
        if before != sign:
            # with the last point that both have, so that the lines meet
            first = max(0, int(np.searchsorted(series.steps, run.begins, side="right")) - 1) if run.begins else 0
            places = self.place(run, series.steps[first:], axis)
            curve = PlacedSeries(series, places, first) if places is not None and len(places) else None
            self._curves[run.slot, metric, axis] = sign, curve
        return curve

    def forget_but(self, metrics: set[str], axis: str) -> None:
        """Let go of curves that are not drawn."""
        for key in [key for key in self._curves if key[1] not in metrics or key[2] != axis]:
            del self._curves[key]

    @staticmethod
    def _clock_series(run: ComparedRun, axis: str) -> Series | None:
        return {"time": run.view.clock, "wall": run.view.wall}.get(axis)

    def _ends_of(self, run: ComparedRun, axis: str) -> tuple[float, float] | None:
        """The places of the first and the last step of a run that have values."""
        ends = [curve.steps[[0, -1]] for curve in run.view.series.values() if len(curve)]
        if not ends:
            return None
        first = max(min(float(first) for first, _ in ends), float(run.begins))
        last = max(float(last) for _, last in ends)
        places = self.place(run, np.array([min(first, last), last]), axis)
        return (float(places[0]), float(places[1])) if places is not None else None

    def ends(self, axis_name: str) -> Mapping[str, tuple[float, float]]:
        """Between which places the crosshair reads each run."""
        axis = self.axis(axis_name)
        return {run.letter: ends for run in self.runs if (ends := self._ends_of(run, axis)) is not None}

    def extent(self) -> tuple[float, float]:
        """First and last place where any run has a value."""
        every = list(self.ends(self.axis_name).values())
        return (min(first for first, _ in every), max(last for _, last in every)) if every else (0.0, 0.0)

    def whole(self, first: float, last: float, looking: ViewState) -> tuple[float, float]:
        """All places that have a value, with room to grow where a run is live."""
        return self.limits.fit_growing(first, last, self._planned(last))

    def _planned(self, last: float) -> float | None:
        """The place where the axis may end: what is planned for live runs, what there is of the others."""
        axis, live = self.axis(self.axis_name), [run for run in self.runs if run.view.live]
        if not live:
            return last
        if axis in CLOCKS:
            return None
        plans = [(run, run.view.plan.steps) for run in live if run.view.plan is not None and run.view.plan.steps]
        places = [self.place_of(run, float(steps), axis) for run, steps in plans]
        return max([last, *(place for place in places if place is not None)]) if len(plans) == len(live) else None

    def short(self, step: float, axis_name: str) -> str:
        """What a place is called where it is one of several."""
        axis = self.axis(axis_name)
        if axis in CLOCKS:
            return time_label(step / FINE)
        return f"epoch {step / self.epoch:.2f}" if axis == "epochs" else f"{step:,.0f}"

    def words(self, step: float, axis_name: str) -> str:
        """A place: a step, an epoch, a time."""
        axis = self.axis(axis_name)
        words = self.short(step, axis_name)
        return f"{words} of training" if axis == "time" else f"{words} since the start" if axis == "wall" else (
            words if axis == "epochs" else f"step {words}"
        )


def _epoch(run: ComparedRun) -> int:
    """Steps in one epoch of a run; 1 where nobody knows."""
    plan = run.view.plan
    return max(1, plan.steps_per_epoch) if plan is not None else 1
