"""How the curves are looked at: what is chosen by keys and mouse, and which steps are in view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tui_gen.draw.axes import GROW_X, Limits, beginning, panned, zoomed
from tui_gen.draw.canvas import Mark
from tui_gen.draw.clock import Clock, time_label
from tui_gen.draw.frames import FrameOptions
from tui_gen.draw.xscale import XScale

if TYPE_CHECKING:
    from tui_gen.view import RunView

SMOOTHINGS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
CLOCKS = {"time": "time", "wall": "wall time"}
"""The axes of time: that of training, and that of the clock on the wall, pauses and all; and what they are called."""
NARROWEST = 2.0
"""Steps that are in view at least."""


class ViewState(msgspec.Struct, frozen=True):
    """What is chosen. `window` is a fixed range of steps; `follow` shows only the newest so many; `heights` are fixed
    limits of values, by the title of the plot; `cursor` is the crosshair's step and `anchor` where a range of steps was
    begun; without `bands` averages are drawn alone; `group` is the section that alone has plots, `folded` are those
    that have none, and `alone` is the title of the only plot there is.
    """

    log_x: bool = False
    log_y: bool = False
    smoothing: int = 3
    zero_phase: bool = False
    bands: bool = True
    whole: bool = False
    x_axis: str = "steps"
    window: tuple[float, float] | None = None
    follow: float | None = None
    heights: Mapping[str, tuple[float, float]] = msgspec.field(default_factory=dict)
    cursor: float | None = None
    anchor: float | None = None
    group: str = ""
    folded: frozenset[str] = frozenset()
    alone: str = ""


class Across:
    """The x axis that all plots share, so that a step is in the same column of each."""

    def __init__(self) -> None:
        self._view: RunView | None = None
        self.limits = Limits(GROW_X)
        self._clocks: dict[str, tuple[int, Clock]] = {}

    def show(self, view: RunView | None) -> None:
        """The x axis of this run from now on."""
        self._view = view
        self._clocks.clear()
        self.limits.reset()

    def reset(self) -> None:
        """Choose the limits anew."""
        self.limits.reset()

    @property
    def epoch(self) -> int:
        """Steps in one epoch; 1 before anybody knows."""
        plan = self._view.plan if self._view else None
        return max(1, plan.steps_per_epoch) if plan else 1

    def clock(self, axis: str) -> Clock:
        """The time by step of an axis of time; false before anything was measured."""
        if self._view is None:
            return Clock([], [])
        series = self._view.wall if axis == "wall" else self._view.clock
        revision, clock = self._clocks.get(axis, (-1, None))
        if clock is None or revision != series.revision:
            clock = Clock(series.steps, series.values)
            self._clocks[axis] = series.revision, clock
        return clock

    def ends(self, axis_name: str) -> Mapping[str, tuple[float, float]]:
        """Between which steps the crosshair reads curves, by their names; all along where nothing is said."""
        return {}

    def axes(self) -> list[str]:
        """What can stand below: epochs and times where the run knows them."""
        return ["steps", *(["epochs"] if self.epoch > 1 else []), *(axis for axis in CLOCKS if self.clock(axis))]

    def axis(self, axis_name: str) -> str:
        """What stands below: as chosen, where the run knows it."""
        return axis_name if axis_name in self.axes() else "steps"

    def scale(self, looking: ViewState) -> XScale:
        """Where steps stand."""
        axis = self.axis(looking.x_axis)
        return XScale(looking.log_x, self.clock(axis) if axis in CLOCKS else None)

    def extent(self) -> tuple[float, float]:
        """First and last step that has a value."""
        curves = self._view.series.values() if self._view is not None else ()
        ends: list[np.ndarray] = [curve.steps[[0, -1]] for curve in curves if len(curve)]
        if not ends:
            return 0.0, 0.0
        return min(float(first) for first, _ in ends), max(float(last) for _, last in ends)

    def window(self, looking: ViewState) -> tuple[float, float]:
        """The steps in view."""
        if looking.window is not None:
            return looking.window
        first, last = self.extent()
        if looking.follow and last - first > looking.follow:
            return self.limits.fit_page(last, looking.follow)
        return self.whole(first, last, looking)

    def whole(self, first: float, last: float, looking: ViewState) -> tuple[float, float]:
        """All steps that have a value, from the first to the last, with room to grow while it is live."""
        clock = self.scale(looking).clock
        if clock is not None:  # in time, so that the axis stands still while the speed, and with it the end, changes
            live = self._view is not None and self._view.live
            end = clock.seconds(last)
            lo, hi = self.limits.fit_growing(clock.seconds(first), end, None if live else end)
            return clock.step(lo), clock.step(hi)
        plan = self._view.plan if self._view is not None else None
        return self.limits.fit_growing(first, last, float(plan.steps) if plan and plan.steps else None)

    def begin(self, scale: XScale) -> float:
        """Where all of it begins: at step 0 where values begin near it, though none has a value."""
        first, last = self.extent()
        if scale.log:
            return first
        if (clock := scale.clock) is not None:
            return clock.step(beginning(clock.seconds(first), clock.seconds(last)))
        return beginning(first, last)

    def zoomed(
        self, limits: tuple[float, float], factor: float, centre: float | None, scale: XScale
    ) -> tuple[float, float]:
        """The limits with `factor` times as much between them, about a step (their middle unless told)."""
        limits = (limits[0], min(limits[1], max(self.extent()[1], limits[0] + 1)))
        lo, hi = (float(place) for place in scale.places(np.array(limits)))
        middle = None if centre is None else float(scale.places(np.array([centre]))[0])
        lo, hi = (float(step) for step in scale.steps(np.array(zoomed((lo, hi), factor, middle))))
        return lo, hi

    def panned(self, limits: tuple[float, float], fraction: float, scale: XScale) -> tuple[float, float]:
        """The limits moved by a part of what is between them, as far as all of it goes."""
        places = scale.places(np.array([self.begin(scale), self.extent()[1], *limits]))
        first, last, lo, hi = (float(place) for place in places)
        shift = (hi - lo) * fraction
        shift = min(max(shift, min(first - lo, 0.0)), max(last - hi, 0.0)) if first < last else 0.0
        lo, hi = (float(step) for step in scale.steps(np.array(panned((lo, hi), shift / (hi - lo)))))
        return lo, hi

    def within(self, window: tuple[float, float], scale: XScale) -> tuple[float, float] | None:
        """A window kept inside the data and not narrower than two steps; None for all of it."""
        first, last = self.begin(scale), self.extent()[1]
        lo, hi = max(window[0], first), min(window[1], last)
        if hi - lo < NARROWEST:
            middle = min(max((window[0] + window[1]) / 2, first), last)
            lo, hi = middle - NARROWEST / 2, middle + NARROWEST / 2
        return None if lo <= first and hi >= last else (lo, hi)

    def short(self, step: float, axis_name: str) -> str:
        """What a step is called where it is one of several."""
        return f"{step:,.0f}"

    def words(self, step: float, axis_name: str) -> str:
        """A step, its epoch and its time: `step 40 · epoch 0.40 · 12s`."""
        words = f"step {step:,.0f}"
        if self.epoch > 1:
            words += f" · epoch {step / self.epoch:.2f}"
        axis = "wall" if self.axis(axis_name) == "wall" else "time"
        if clock := self.clock(axis):
            words += f" · {time_label(clock.seconds(step))}"
        return words


def frame_options(looking: ViewState, across: Across, marks: Sequence[Mark] = ()) -> FrameOptions:
    """How every plot is drawn for whoever looks in this way; figures to come to, and fixed heights, are a plot's own.
    """
    axis = across.axis(looking.x_axis)
    return FrameOptions(
        smoothing=SMOOTHINGS[looking.smoothing],
        zero_phase=looking.zero_phase,
        bands=looking.bands,
        log_x=looking.log_x,
        log_y=looking.log_y,
        whole=looking.whole,
        x_window=across.window(looking),
        cursor=looking.cursor,
        unit=float(across.epoch if axis == "epochs" else 1),
        clock=across.clock(axis) if axis in CLOCKS else None,
        marks=marks,
        ends=across.ends(looking.x_axis),
        called=partial(across.short, axis_name=looking.x_axis),
    )
