"""The losses pane: live curves of the shown run in up to four panels, with one crosshair and one window for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from textual.app import ComposeResult

from tui_gen.app.panes.base import NO_RUN, Belongings, Pane
from tui_gen.app.panes.losses.bar import PlotBar
from tui_gen.app.panes.losses.going import GoingLine, figure, going
from tui_gen.app.panes.losses.grid import Empty, PlotGrid
from tui_gen.app.panes.losses.keys import BINDINGS, HELP
from tui_gen.app.panes.losses.marks import marks_of, noted
from tui_gen.app.panes.losses.plot import PlotView
from tui_gen.draw.axes import GROW_X, Limits, panned, zoomed
from tui_gen.draw.canvas import Mark
from tui_gen.draw.clock import Clock, time_label
from tui_gen.draw.curves import Level, Options
from tui_gen.goals import Goal, goals_of
from tui_gen.panels import Panel, panels_of
from tui_gen.progress import preparation

if TYPE_CHECKING:
    from tui_gen.catalog import Catalog
    from tui_gen.view import RunView

SMOOTHINGS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
MOST = 4
LEAST_WIDTH, LEAST_HEIGHT = 44, 11
"""The smallest plot that gets a place of its own, in cells."""
ASKED_WIDTH, ASKED_HEIGHT = 30, 7
"""The same where somebody asked for that many plots."""
LEAST_TOLD = 12
"""The least height of the pane, frame and all, that has a row for how the run goes."""
MOUSE_PAUSE = 0.05
"""Seconds that mouse moves are gathered for: a plot is drawn at most that often for them."""


@dataclass(frozen=True)
class ViewState:
    """How the curves are looked at. `window` is a fixed range of steps; `follow` shows only the newest so many."""

    log_y: bool = False
    smoothing: int = 3
    whole: bool = False
    x_axis: str = "steps"
    window: tuple[float, float] | None = None
    follow: float | None = None
    cursor: float | None = None


class LossesPane(Pane):
    """Curves of every metric of the shown run."""

    HELP = HELP
    BINDINGS: ClassVar = BINDINGS

    DEFAULT_CSS = """
    LossesPane.empty PlotGrid, LossesPane.empty PlotBar { display: none; }
    LossesPane Empty { display: none; }
    LossesPane.empty Empty { display: block; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.looking = ViewState()
        self.panels: list[Panel] = []
        self.catalog: Catalog | None = None
        self.goals: list[Goal] = []
        self._names: tuple[str, ...] = ()
        self._word: tuple[object, ...] = ()  # the model's and the recipe's, on the order and what shares a plot
        self._first = 0
        self._asked = 0
        self._x = Limits(GROW_X)  # one for all plots, so that a step is in the same column of each
        self._kept: float | None = None  # where the crosshair stays when the mouse leaves
        self._waiting = False
        self._going = GoingLine()
        self._bar = PlotBar()
        self._plots = [PlotView() for _ in range(MOST)]
        self._grid = PlotGrid(*self._plots)
        self._empty = Empty()

    @classmethod
    def of(cls, belongings: Belongings, id: str) -> Self:
        """The pane, with what recipes say of their figures."""
        pane = cls(id=id)
        pane.catalog = belongings.catalog
        return pane

    def set_catalog(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._aim()
        self._redraw()

    def compose(self) -> ComposeResult:
        yield self._going
        yield self._bar
        yield self._grid
        yield self._empty

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, self._recolour)
        self._redraw()

    def _recolour(self, _theme: object) -> None:
        for plot in self._plots:
            plot.recolour()

    # -- the run

    def show_run(self, view: RunView | None) -> None:
        super().show_run(view)
        self.looking = replace(self.looking, window=None, follow=None, cursor=None)
        self._kept = None
        self._names = ()
        self._first = 0
        self._aim()
        self._x.reset()
        for plot in self._plots:
            plot.forget()
        self._redraw()

    def _aim(self) -> None:
        """Look up what the run that is shown should reach."""
        view, catalog = self.view, self.catalog
        self.goals = goals_of(view.path / "config.toml", catalog) if view is not None and catalog is not None else []

    @property
    def goal(self) -> Goal | None:
        """What the run is judged by: of what its recipe states, the first that its log has."""
        return next((goal for goal in self.goals if goal.curve in self._names), None)

    def update_view(self, changed: set[str]) -> None:
        if changed & {"series", "marks", "status"} and (changed != {"status"} or not self._names):
            self._redraw()

    def _words(self) -> str:
        view = self.view
        if view is None:
            return NO_RUN
        if view.progress is not None:
            return preparation(view.progress)
        if view.live:
            return f"The run is {view.state}. Its first values appear here."
        return f"The run is {view.state} and has no values." + (f"\n{view.reason}" if view.reason else "")

    # -- drawing

    def _redraw(self) -> None:
        """Draw every plot that has a place. Cheap when nothing is visible."""
        if not self.is_mounted:
            return
        names = tuple(self.view.series) if self.view else ()
        plan = self.view.plan if self.view else None
        judged, together = (plan.judged, plan.together) if plan else ([], [])
        first = next((goal.curve for goal in self.goals if goal.curve in names), "")
        if (names, judged, together, first) != (self._names, *self._word):
            self._names, self._word = names, (judged, together, first)
            self.panels = panels_of(names, judged, together, first)
        going_now = going(self.view, self.goal) if self.view is not None else None
        self._going.show(going_now, self.size.height >= LEAST_TOLD)
        self.set_class(not names, "empty")
        if not names:
            self._empty.say(self._words())
            return
        shown = self.shown_panels()
        self._arrange(len(shown))
        options = Options(
            smoothing=SMOOTHINGS[self.looking.smoothing],
            log_y=self.looking.log_y,
            whole=self.looking.whole,
            x_window=self._window(),
            cursor=self.looking.cursor,
            unit=float(self._epoch() if self._x_axis() == "epochs" else 1),
            clock=self._clock() if self._x_axis() == "time" else None,
            marks=marks_of(self.view) if self.view is not None else (),
        )
        series = self.view.series if self.view is not None else {}
        for plot, panel in zip(self._plots, shown):
            plot.draw(panel, series, replace(options, levels=self._levels(panel)))
        self._bar.show(self._switches(), self._note(options.marks))

    def _levels(self, panel: Panel) -> list[Level]:
        """The figures to come to that belong to one of a panel's curves, each value once."""
        metrics = {curve.metric for curve in panel.curves}
        goals = {goal.level: goal for goal in reversed(self.goals) if goal.curve in metrics}
        return [Level(value, figure(goal)) for value, goal in goals.items() if value is not None]

    def _epoch(self) -> int:
        """Steps in one epoch; 1 before anybody knows."""
        plan = self.view.plan if self.view else None
        return max(1, plan.steps_per_epoch) if plan else 1

    def _clock(self) -> Clock:
        """Training time by step; false before anything was measured."""
        view = self.view
        return Clock(view.clock.steps, view.clock.values) if view else Clock([], [])

    def _x_axes(self) -> list[str]:
        """What can stand below: epochs and time where the run knows them."""
        return ["steps", *(["epochs"] if self._epoch() > 1 else []), *(["time"] if self._clock() else [])]

    def _x_axis(self) -> str:
        """What stands below: as chosen, where the run knows it."""
        chosen = self.looking.x_axis
        return chosen if chosen != "steps" and chosen in self._x_axes() else "steps"

    def _window(self) -> tuple[float, float]:
        """The steps that all plots show."""
        if self.looking.window is not None:
            return self.looking.window
        first, last = self._extent()
        follow = self.looking.follow
        if follow and last - first > follow:
            return self._x.fit_page(last, follow)
        plan = self.view.plan if self.view is not None else None
        return self._x.fit_growing(first, last, float(plan.steps) if plan and plan.steps else None)

    def room(self) -> int:
        """How many plots have room."""
        width, height = self._grid.size
        least_width, least_height = self._least()
        return max(1, min(MOST, max(1, width // least_width) * max(1, height // least_height)))

    def _least(self) -> tuple[int, int]:
        return (ASKED_WIDTH, ASKED_HEIGHT) if self._asked else (LEAST_WIDTH, LEAST_HEIGHT)

    def shown_panels(self) -> list[Panel]:
        """The panels on screen now; more than asked for or fit are reached with page up and down."""
        count = min(self._asked or MOST, self.room(), len(self.panels))
        self._first = min(self._first, max(0, len(self.panels) - count))
        return self.panels[self._first : self._first + count]

    def _arrange(self, count: int) -> None:
        """Give `count` plots a place: in as few columns as the height allows, two before the plots get too wide."""
        width, height = self._grid.size
        least_width, least_height = self._least()
        columns = next((n for n in range(1, count) if -(-count // n) * least_height <= height), count)
        if columns == 1 and count > 1 and width >= 2 * least_width and width >= 6 * height:
            columns = 2
        columns = min(columns, max(1, width // least_width))
        if count == MOST and width >= 2 * least_width and height >= 2 * least_height:
            columns = 2
        if self._grid.styles.grid_size_columns != columns:
            self._grid.styles.grid_size_columns = columns
        for i, plot in enumerate(self._plots):
            if plot.display != (i < count):
                plot.display = i < count

    def _switches(self) -> list[tuple[str, str]]:
        looking = self.looking
        smoothing = SMOOTHINGS[looking.smoothing]
        count = len(self.shown_panels())
        parts = []
        if count < len(self.panels):
            last = self._first + count
            which = f"{last}" if count == 1 else f"{self._first + 1}–{last}"
            parts += [("◀", "panel(-1)"), (f"{which}/{len(self.panels)}", ""), ("▶", "panel(1)")]
        parts += [("log" if looking.log_y else "linear", "log"), ("−", "smooth(-1)")]
        parts += [(f"EMA {smoothing:g}" if smoothing else "no EMA", ""), ("+", "smooth(1)")]
        parts.append((self._x_axis(), "x_axis"))
        parts.append(("everything" if looking.whole else "outliers clipped", "whole"))
        if looking.follow:
            parts.append(("following", "follow"))
        if looking.window or looking.follow:
            parts.append(("show all", "reset"))
        return parts

    def _note(self, marks: Sequence[Mark]) -> str:
        """What the crosshair stands on: step, epoch, and the text of a mark within a column of it."""
        cursor = self.looking.cursor
        if cursor is None:
            return ""
        note = f"step {cursor:,.0f}"
        if self._epoch() > 1:
            note += f" · epoch {cursor / self._epoch():.2f}"
        if clock := self._clock():
            note += f" · {time_label(clock.seconds(cursor))}"
        return " · ".join([note, *noted(marks, cursor, self._column())])

    def _limits(self) -> tuple[float, float] | None:
        drawn = self._plots[0].drawn
        return drawn.frame.x_limits if drawn else None

    def _column(self) -> float:
        """Steps in one column of the first plot."""
        drawn = self._plots[0].drawn
        if drawn is None or not drawn.frame.area.width:
            return 1.0
        lo, hi = drawn.frame.x_limits
        return (hi - lo) / drawn.frame.area.width

    def _extent(self) -> tuple[float, float]:
        """First and last step that has a value."""
        some = [series.steps for series in self.view.series.values() if len(series)] if self.view else []
        if not some:
            return 0.0, 0.0
        return min(float(steps[0]) for steps in some), max(float(steps[-1]) for steps in some)

    def _look(self, **changes: Any) -> None:
        self.looking = replace(self.looking, **changes)
        self._redraw()

    # -- actions

    def action_log(self) -> None:
        self._look(log_y=not self.looking.log_y)
        self.refresh_bindings()

    def action_whole(self) -> None:
        self._look(whole=not self.looking.whole)

    def action_x_axis(self) -> None:
        """The next of steps, epochs and time."""
        axes = self._x_axes()
        self._look(x_axis=axes[(axes.index(self._x_axis()) + 1) % len(axes)])

    def action_smooth(self, by: int) -> None:
        self._look(smoothing=min(max(self.looking.smoothing + by, 0), len(SMOOTHINGS) - 1))

    def action_zoom(self, factor: float, centre: float | None = None) -> None:
        """Show `factor` times as many steps, about `centre`: the crosshair, or the middle."""
        limits = self._limits()
        if limits is None:
            return
        first, last = self._extent()
        limits = (limits[0], min(limits[1], max(last, limits[0] + 1)))
        window = zoomed(limits, factor, self.looking.cursor if centre is None else centre)
        self._see(window, first, last)

    def action_pan(self, fraction: float) -> None:
        limits = self._limits()
        if limits is None or not self.looking.window:
            return
        first, last = self._extent()
        shift = (limits[1] - limits[0]) * fraction
        shift = min(max(shift, first - limits[0]), last - limits[1]) if first < last else 0.0
        self._look(window=panned(limits, shift / (limits[1] - limits[0])), follow=None)

    def _see(self, window: tuple[float, float], first: float, last: float) -> None:
        """Fix the window, kept inside the data and not narrower than two steps; all of it is no window."""
        lo, hi = max(window[0], first), min(window[1], last)
        if hi - lo < 2:
            middle = min(max((window[0] + window[1]) / 2, first), last)
            lo, hi = middle - 1, middle + 1
        whole = lo <= first and hi >= last
        self._look(window=None if whole else (lo, hi), follow=None)

    def action_reset(self) -> None:
        self._kept = None
        self._x.reset()
        self._look(window=None, follow=None, cursor=None)

    def action_follow(self) -> None:
        """Show the newest steps only: as many as the window holds, or a fifth of all."""
        self._x.reset()
        if self.looking.follow:
            self._look(follow=None, window=None)
            return
        first, last = self._extent()
        window = self.looking.window
        self._look(follow=max(10.0, window[1] - window[0] if window else (last - first) / 5), window=None)

    def action_cursor(self, columns: int) -> None:
        limits = self._limits()
        if limits is None:
            return
        first, last = self._extent()
        start = self.looking.cursor
        if start is None:
            start = min(last, limits[1]) if columns < 0 else max(first, limits[0])
        else:
            # at least one step, and a whole one
            by = max(1.0, self._column() * abs(columns))
            start = round(start + (by if columns > 0 else -by))
        self._kept = min(max(start, first, limits[0]), last, limits[1])
        self._look(cursor=self._kept)

    def action_cursor_end(self, end: bool) -> None:
        limits = self._limits()
        if limits is not None:
            first, last = self._extent()
            self._kept = min(last, limits[1]) if end else max(first, limits[0])
            self._look(cursor=self._kept)

    def action_clear(self) -> None:
        self._kept = None
        self._look(cursor=None)

    def label(self, words: str, action: str) -> str:
        """The scale that the key would give."""
        if action == "log" and self.looking.log_y:
            return "Losses on a linear scale" if len(words) > 3 else "Linear"
        return words

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # without a crosshair, Escape is somebody else's
        return action != "clear" or self.looking.cursor is not None

    def action_panel(self, by: int) -> None:
        count = len(self.shown_panels())
        if not count or count >= len(self.panels):
            return
        last = len(self.panels) - count
        if by > 0:
            self._first = 0 if self._first >= last else min(self._first + count, last)
        else:
            self._first = last if self._first <= 0 else max(self._first - count, 0)
        self._redraw()

    def action_count(self) -> None:
        self._asked = (self._asked + 1) % (MOST + 1)
        self._redraw()

    # -- the mouse, and other sizes

    def on_plot_view_pointed(self, message: PlotView.Pointed) -> None:
        message.stop()
        if message.kept:
            self._kept = None if message.step is None else float(round(message.step))
            self._grid.focus()
        step = self._kept if message.step is None else float(round(message.step))
        if step == self.looking.cursor:
            return
        self.looking = replace(self.looking, cursor=step)
        self._redraw_soon()

    def _redraw_soon(self) -> None:
        if not self._waiting:
            self._waiting = True
            self.set_timer(MOUSE_PAUSE, self._redraw_now)

    def _redraw_now(self) -> None:
        self._waiting = False
        self._redraw()

    def on_plot_view_dragged(self, message: PlotView.Dragged) -> None:
        message.stop()
        self._see((message.first, message.last), *self._extent())

    def on_plot_view_wheeled(self, message: PlotView.Wheeled) -> None:
        message.stop()
        if message.sideways:
            self.action_pan(0.1 * message.amount)
        else:
            self.action_zoom(0.8 if message.amount > 0 else 1.25, message.step)

    def on_plot_view_resized(self, message: PlotView.Resized) -> None:
        message.stop()
        self._redraw_soon()

    def on_resize(self) -> None:
        self._redraw()
