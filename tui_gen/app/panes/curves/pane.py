"""A pane of curves: plots in a grid with one crosshair, window and x axis for all. What is drawn, others say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace
from textual.geometry import Size

from tui_gen.app.panes.base import Pane
from tui_gen.app.panes.curves.bar import PlotBar, switches
from tui_gen.app.panes.curves.grid import PlotGrid, SectionNames
from tui_gen.app.panes.curves.looking import SMOOTHINGS, Across, ViewState, frame_options
from tui_gen.app.panes.curves.plot import PlotView
from tui_gen.app.panes.curves.sections import MOST, in_sections, section_of
from tui_gen.draw.axes import panned, zoomed
from tui_gen.draw.canvas import Mark
from tui_gen.draw.curves import Level
from tui_gen.draw.series import Series
from tui_gen.marks import noted
from tui_gen.verdicts.panels import Panel

COUNTS = (0, 1, 2, 3, 4, 6, 9)
"""How many plots can be asked for; 0 is as many as have room."""
MOUSE_PAUSE = 0.05
"""Seconds that mouse moves are gathered for: a plot is drawn at most that often for them."""


class CurvesPane(Pane):
    """A subclass composes `bar` and `grid`, sets `panels`, says what is in them, and draws by `draw_plots`.

    Its actions are bound by `curves.keys.bindings`.
    """

    def __init__(self, across: Across, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.looking = ViewState()
        self.panels: list[Panel] = []
        self.across = across
        self._first = 0
        self._plot_count = 0
        self._current_title = ""
        self._resting_cursor: float | None = None  # where the crosshair stays when the mouse leaves
        self._waiting = False
        self._drawn_for: Size | None = None
        self.bar = PlotBar()
        self.plots = [PlotView() for _ in range(MOST)]
        self.grid = PlotGrid(*self.plots)

    def on_mount(self) -> None:
        self.app.theme_changed_signal.subscribe(self, self._recolour)
        self.redraw()

    def _recolour(self, _theme: object) -> None:
        for plot in self.plots:
            plot.recolour()

    # -- what a subclass says

    def redraw(self) -> None:
        """Draw what has a place. Cheap when nothing is visible. Override."""

    def draw_now(self) -> None:
        self.redraw()

    def curves(self, panel: Panel) -> Mapping[str, Series]:
        """The series of a panel's curves, by the metrics of these. Override."""
        return {}

    def marks(self) -> list[Mark]:
        """What happened, to be marked in every plot."""
        return []

    def levels(self, panel: Panel) -> list[Level]:
        """The figures to come to, of a panel."""
        return []

    # -- drawing

    def start_over(self) -> None:
        """Something else is shown from now on: look at all of it."""
        self.looking = replace(
            self.looking, window=None, follow=None, heights={}, cursor=None, anchor=None, group="", alone=""
        )
        self._resting_cursor = None
        self._first = 0
        for plot in self.plots:
            plot.forget()

    def draw_plots(self) -> None:
        """Draw every plot that has a place."""
        panels, looking = self.shown_panels(), self.looking
        self.grid.lay_out(list(map(section_of, panels)), bool(self._plot_count), self._counts(), self.folded)
        axis, marks = self.across.axis(looking.x_axis), self._with_range(self.marks())
        options = frame_options(looking, self.across, marks)
        current = self.current
        for plot, panel in zip(self.plots, panels):
            its = replace(options, levels=self.levels(panel), y_window=looking.heights.get(panel.title))
            plot.draw(panel, self.curves(panel), its, chosen=len(panels) > 1 and panel is current)
        place = self._first, len(panels), len(self.chosen_panels())
        self.bar.show(switches(looking, axis, *place), self.at_crosshair(marks))
        self._drawn_for = self.size

    def _with_range(self, marks: list[Mark]) -> list[Mark]:
        """Marks, and where a range of steps was begun."""
        anchors = [] if self.looking.anchor is None else [Mark(self.looking.anchor, "range", "b ends the range here")]
        return anchors + marks

    def groups(self) -> list[str]:
        """The sections that there are, in the order of their plots."""
        return list(in_sections(self.panels))

    @property
    def folded(self) -> list[str]:
        """The sections that are folded; none while only one is looked at."""
        return [name for name in self.groups() if name in self.looking.folded] if not self._one_section else []

    @property
    def _one_section(self) -> bool:
        return self.looking.group in self.groups() or bool(self.looking.alone)

    def chosen_panels(self) -> list[Panel]:
        """The panels of the section that is chosen; without one, of all that are not folded, section by section."""
        sections = in_sections(self.panels)
        if self.looking.group in sections:
            return sections[self.looking.group]
        folded = () if self.looking.alone else self.looking.folded
        return [panel for name, panels in sections.items() if name not in folded for panel in panels]

    def shown_panels(self) -> list[Panel]:
        """The panels on screen now; more than asked for or fit are reached with page up and down."""
        panels = self.chosen_panels()
        for place, panel in enumerate(panels):
            if panel.title == self.looking.alone:
                self._first = place
                return [panel]
        self._first = max(0, min(self._first, len(panels) - 1))
        count = self._fitting(panels[self._first :])
        while self._first and count + self._first == len(panels) and self._fitting(panels[self._first - 1 :]) > count:
            self._first, count = self._first - 1, count + 1  # the last page is as full as others
        return panels[self._first : self._first + count]

    def _fitting(self, panels: Sequence[Panel]) -> int:
        """How many of these are on one page."""
        sections = list(map(section_of, panels))
        room = self.grid.room(bool(self._plot_count), self._counts(), self.folded)
        return room.fit(sections, self._plot_count or MOST) if sections else 0

    def _counts(self) -> dict[str, int]:
        """How many plots each section has that has a name on screen."""
        return {} if self._one_section else {name: len(its) for name, its in in_sections(self.panels).items()}

    def fold(self, section: str) -> None:
        """Fold a section, or unfold it; the last one stays open."""
        folded = self.looking.folded ^ {section}
        if not folded.issuperset(self.groups()):
            self._first = 0
            self.look(folded=folded)

    def action_fold(self) -> None:
        """Fold the section of the plot that is chosen."""
        current = self.current
        if current is not None and not self._one_section:
            self.fold(section_of(current))

    def action_unfold(self) -> None:
        """No section is folded."""
        self.look(folded=frozenset())

    def on_section_names_picked(self, message: SectionNames.Picked) -> None:
        message.stop()
        self.fold(message.section)

    @property
    def current(self) -> Panel | None:
        """The panel that keys for one plot, and F1, are about."""
        panels = self.shown_panels()
        return next((panel for panel in panels if panel.title == self._current_title), panels[0] if panels else None)

    def at_crosshair(self, marks: Sequence[Mark]) -> str:
        """What the crosshair stands on: step, epoch, and the text of a mark within a column of it."""
        cursor = self.looking.cursor
        if cursor is None:
            return ""
        note = self.across.words(cursor, self.looking.x_axis)
        where = partial(self.across.short, axis_name=self.looking.x_axis)
        return " · ".join([note, *noted(marks, cursor, self._column(cursor), where)])

    def _limits(self) -> tuple[float, float] | None:
        drawing = self.plots[0].drawing
        return drawing.frame.x_limits if drawing else None

    def _column(self, step: float) -> float:
        """Steps in the column of a step."""
        return abs(self._moved(step, 1) - step)

    def column_about(self, step: float) -> tuple[float, float]:
        """From which step to which the column goes whose middle a step is."""
        return self._moved(step, -0.5), self._moved(step, 0.5)

    def _moved(self, step: float, columns: float) -> float:
        """The step so many columns of the first plot away from one."""
        drawing = self.plots[0].drawing
        if drawing is None or not drawing.frame.area.width:
            return step + columns
        frame = drawing.frame
        part = frame.x_scale.part(step, frame.x_limits)
        return frame.x_scale.step_at(part + columns / frame.area.width, frame.x_limits)

    def look(self, **changes: Any) -> None:
        self.looking = replace(self.looking, **changes)
        self.redraw()

    # -- actions

    def action_log(self) -> None:
        self.look(log_y=not self.looking.log_y)
        self.refresh_bindings()

    def action_whole(self) -> None:
        self.look(whole=not self.looking.whole)

    def action_x_axis(self) -> None:
        """The next of steps, epochs, training time and wall time."""
        axes = self.across.axes()
        self.across.reset()
        self.look(x_axis=axes[(axes.index(self.across.axis(self.looking.x_axis)) + 1) % len(axes)])

    def action_log_x(self) -> None:
        self.look(log_x=not self.looking.log_x)

    def action_zero_phase(self) -> None:
        self.look(zero_phase=not self.looking.zero_phase)

    def action_group(self) -> None:
        """The metrics of the next phase alone; after the last, all."""
        groups = ["", *self.groups()]
        if len(groups) > 2:
            now = groups.index(self.looking.group) if self.looking.group in groups else 0
            self._first = 0
            self.look(group=groups[(now + 1) % len(groups)], alone="")

    def action_smooth(self, by: int) -> None:
        self.look(smoothing=min(max(self.looking.smoothing + by, 0), len(SMOOTHINGS) - 1))

    def action_zoom(self, factor: float, centre: float | None = None) -> None:
        """Show `factor` times as many steps, about `centre`: the crosshair, or the middle."""
        limits = self._limits()
        if limits is None:
            return
        centre = self.looking.cursor if centre is None else centre
        self._see(self.across.zoomed(limits, factor, centre, self.across.scale(self.looking)))

    def action_pan(self, fraction: float) -> None:
        limits = self._limits()
        if limits is not None and self.looking.window:
            window = self.across.panned(limits, fraction, self.across.scale(self.looking))
            self.look(window=window, follow=None)

    def _see(self, window: tuple[float, float], **changes: Any) -> None:
        """Fix the window, as far as there are values; all of them is no window."""
        self.look(window=self.across.within(window, self.across.scale(self.looking)), follow=None, **changes)

    def action_zoom_values(self, factor: float) -> None:
        """Show `factor` times as much of the values of the plot that is chosen, about the middle."""
        self._see_values(lambda heights: zoomed(heights, factor))

    def action_pan_values(self, fraction: float) -> None:
        self._see_values(lambda heights: panned(heights, fraction))

    def _see_values(self, change: Callable[[tuple[float, float]], tuple[float, float]]) -> None:
        current = self.current
        plot = next((plot for plot in self.plots if plot.display and plot.panel == current), None)
        if plot is not None and plot.drawing is not None and plot.panel is not None:
            frame = plot.drawing.frame
            low, high = (frame.scale.inverse(height) for height in change(frame.heights))
            if math.isfinite(low) and math.isfinite(high) and low < high:
                self.look(heights={**self.looking.heights, plot.panel.title: (low, high)})

    def action_range(self) -> None:
        """Begin a range of steps at the crosshair, or show the range that was begun."""
        anchor, cursor = self.looking.anchor, self.looking.cursor
        if anchor is None or cursor is None:
            if cursor is None:
                self.action_cursor(1)
            self.look(anchor=self.looking.cursor)
        else:
            self._see((min(anchor, cursor), max(anchor, cursor)), anchor=None)

    def action_reset(self) -> None:
        self._resting_cursor = None
        self.across.reset()
        self.look(window=None, follow=None, heights={}, cursor=None, anchor=None)

    def action_follow(self) -> None:
        """Show the newest steps only: as many as the window holds, or a fifth of all."""
        self.across.reset()
        if self.looking.follow:
            self.look(follow=None, window=None)
            return
        (first, last), window = self.across.extent(), self.looking.window
        self.look(follow=max(10.0, window[1] - window[0] if window else (last - first) / 5), window=None)

    def action_cursor(self, columns: int) -> None:
        limits = self._limits()
        if limits is None:
            return
        first, last = self.across.extent()
        start = self.looking.cursor
        if start is None:
            start = min(last, limits[1]) if columns < 0 else max(first, limits[0])
        else:
            target = round(self._moved(start, columns))
            start = target if abs(target - start) >= 1 else round(start) + (1 if columns > 0 else -1)
        self._resting_cursor = min(max(start, first, limits[0]), last, limits[1])
        self.look(cursor=self._resting_cursor)

    def action_cursor_end(self, end: bool) -> None:
        limits = self._limits()
        if limits is not None:
            first, last = self.across.extent()
            self._resting_cursor = min(last, limits[1]) if end else max(first, limits[0])
            self.look(cursor=self._resting_cursor)

    def action_clear(self) -> None:
        """No range, no crosshair, no plot alone: one of them a time."""
        if self.looking.anchor is not None:
            self.look(anchor=None)
        elif self.looking.cursor is not None:
            self._resting_cursor = None
            self.look(cursor=None)
        else:
            self.action_alone()

    def action_alone(self) -> None:
        """All the room for the plot that is chosen, or all plots again."""
        current = self.current
        if current is not None:
            title = "" if self.looking.alone else current.title
            self._current_title = current.title
            self.look(alone=title)

    def action_choose(self, by: int) -> None:
        """The next plot, or the one before; past the last on screen, other metrics."""
        panels, current = self.shown_panels(), self.current
        if current is None:
            return
        place = panels.index(current) + by
        if not 0 <= place < len(panels):
            self.action_panel(by)
            panels = self.shown_panels()
            place = 0 if by > 0 else len(panels) - 1
        self._current_title = panels[place].title
        self.redraw()

    def action_panel(self, by: int) -> None:
        count, total = len(self.shown_panels()), len(self.chosen_panels())
        if not count or count >= total:
            return
        if by > 0:
            self._first = self._first + count if self._first + count < total else 0
        else:
            self._first = max(self._first - count, 0) if self._first > 0 else total - 1
        if self.looking.alone:
            self._current_title = self.chosen_panels()[self._first].title
            self.looking = replace(self.looking, alone=self._current_title)
        self.redraw()

    def action_count(self) -> None:
        panels = self.chosen_panels()
        most = self.grid.room(True, self._counts(), self.folded).fit(list(map(section_of, panels)), MOST)
        most = min(most, len(panels))
        self._plot_count = next((count for count in COUNTS if self._plot_count < count <= most), 0)
        self.look(alone="")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # without a crosshair and the like, Escape is somebody else's
        looking = self.looking
        return action != "clear" or looking.cursor is not None or looking.anchor is not None or bool(looking.alone)

    # -- the mouse, and other sizes

    def on_plot_view_pointed(self, message: PlotView.Pointed) -> None:
        message.stop()
        if message.kept:
            self._choose(message.plot)
            self._resting_cursor = None if message.step is None else float(round(message.step))
            self.grid.focus()
        step = self._resting_cursor if message.step is None else float(round(message.step))
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
        self.redraw()

    def on_plot_view_dragged(self, message: PlotView.Dragged) -> None:
        """The part that was dragged over, from now on: its steps, and its values where it is a box."""
        message.stop()
        self._choose(message.plot)
        box = {} if message.values is None else {self._current_title: message.values}
        self._see(message.steps, heights={**self.looking.heights, **box})

    def on_plot_view_moved(self, message: PlotView.Moved) -> None:
        """The picture was dragged along."""
        message.stop()
        self._choose(message.plot)
        self.action_pan(-message.across)
        if message.up and self._current_title in self.looking.heights:
            self.action_pan_values(-message.up)

    def on_plot_view_doubled(self, message: PlotView.Doubled) -> None:
        """All the room for this plot, or all plots again."""
        message.stop()
        self._choose(message.plot)
        self.action_alone()

    def _choose(self, plot: PlotView) -> None:
        if plot.panel is not None:
            self._current_title = plot.panel.title

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
        if self.size != self._drawn_for:
            self.redraw()
