"""The Compare pane: two to twelve runs beside each other, as curves and as tables."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from msgspec.structs import replace
from textual.app import ComposeResult
from textual.binding import Binding

from tui_gen import runs
from tui_gen.app.panes.base import Belongings, Entry
from tui_gen.app.panes.compare.across import AcrossRuns
from tui_gen.app.panes.compare.heading import PageTabs, RunsKey
from tui_gen.app.panes.compare.help import HELP, NOTHING
from tui_gen.app.panes.compare.samples import SamplesPage
from tui_gen.app.panes.compare.table import TableView
from tui_gen.app.panes.curves.grid import Empty
from tui_gen.app.panes.curves.keys import bindings
from tui_gen.app.panes.curves.pane import CurvesPane
from tui_gen.app.panes.curves.plot import DARK, LIGHT
from tui_gen.app.panes.losses.shown import figure
from tui_gen.app.terminal.found import shows_ascii
from tui_gen.draw.canvas import Mark, legend_glyph
from tui_gen.draw.curves import Level
from tui_gen.draw.series import Series
from tui_gen.history.comparison import LEAST, MOST, ComparedRun, metrics_of, of_paths, shared_levels
from tui_gen.history.comparison_rows import TableCell, results_rows, settings_rows
from tui_gen.marks import marks_of
from tui_gen.states import state_look
from tui_gen.text import clean
from tui_gen.verdicts.glossary import about_all, model_of
from tui_gen.verdicts.panels import HEALTH, Curve, Panel, split

if TYPE_CHECKING:
    from tui_gen.catalog import Catalog
    from tui_gen.view import RunView

MOST_ENTRIES = 200
"""Runs in the command palette, at most."""
PAGES = ("curves", "samples", "settings", "results")
READING = 0.4
"""Seconds to the first frame while logs are read; to each one after it twice as many: most of the time is for reading.
"""
COMMON_MARKS = "edit", "fork", "resume", "rollback"
"""What happened in runs that is marked: of all that may happen in twelve of them, what tells them apart."""


class ComparePane(CurvesPane):
    """Curves of several runs over each other, in which settings these differ, and what came of them."""

    HELP = HELP
    BINDINGS: ClassVar = [
        Binding("v", "page(1)", "Page", key_display="v V", id="compare.page"),
        *bindings("compare"),
        Binding("w", "bands", "All values behind the averages", show=False, id="compare.bands"),
        Binding("V", "page(-1)", "Page before", show=False, id="compare.page_before"),
    ]

    def __init__(self, catalog: Catalog, root: Path, *, id: str | None = None) -> None:
        self.over = AcrossRuns()
        super().__init__(self.over, id=id)
        self.catalog, self.root = catalog, root
        self.compared: list[ComparedRun] = []
        self.looking = replace(self.looking, bands=False)
        self.page = PAGES[0]
        self._reading = False
        self._names: tuple[object, ...] = ()
        self._tabs = PageTabs(PAGES)
        self._key = RunsKey(self._colour)
        self._table = TableView(self._colour)
        self._samples = SamplesPage(self.over, self._colour)
        self._empty = Empty()

    @classmethod
    def of(cls, belongings: Belongings, id: str) -> Self:
        """The pane, with what settings are declared."""
        return cls(belongings.catalog, belongings.root, id=id)

    def compose(self) -> ComposeResult:
        """Pages, runs, and what is on each page."""
        yield self._tabs
        yield self._key
        yield self.bar
        yield self.grid
        yield self._samples
        yield self._table
        yield self._empty

    def on_mount(self) -> None:
        """Colours of the theme."""
        super().on_mount()
        self.app.theme_changed_signal.subscribe(self, self._recolour_runs)

    def _recolour_runs(self, _theme: object) -> None:
        self._table.refresh()
        self._key.refresh()
        self._samples.recolour()

    def set_catalog(self, catalog: Catalog) -> None:
        """Other settings are declared from now on."""
        self.catalog = catalog
        self.redraw()

    # -- which runs

    def compare(self, paths: Sequence[Path]) -> None:
        """Show these runs from now on."""
        before = {run.path: run.view for run in self.compared}
        if self.view is not None:
            before[self.view.path] = self.view
        self.compared = of_paths(paths, self.catalog, before)
        self.set_title(f"{len(self.compared)} runs" if self.compared else "")
        if len(set(paths)) > MOST:
            self.notify(f"Only the first {MOST} of these runs are compared.", severity="warning")
        self._names = ()
        self.over.show_runs(self.compared)
        self.start_over()
        self._samples.start_over()
        self.refresh_bindings()
        self.redraw()
        self._read_on()

    def add(self, path: Path) -> None:
        """Compare with one more run: with those that are compared, or with the run that is shown."""
        before = [run.path for run in self.compared]
        if not before and self.view is not None:
            before = [self.view.path]
        self.compare([*before, path])

    def leave_out(self, path: Path) -> None:
        """Compare with one run less."""
        self.compare([run.path for run in self.compared if run.path != path])

    def entries(self) -> Iterable[Entry]:
        """The pages, every run that could be left out, and every run that could be added."""
        for page in PAGES if self.compared else ():
            yield Entry(f"Compare: {page}", partial(self.show_page, page), "a page of the Compare pane")
        for run in self.compared if len(self.compared) > LEAST else ():
            leave_out = partial(self.leave_out, run.path)
            yield Entry(f"Compare without: {run.letter} {run.name}", leave_out, "in the Compare pane")
        paths = {run.path for run in self.compared} or ({self.view.path} if self.view is not None else set())
        try:
            folders = runs.folders(self.root)
        except runs.RunError:
            return
        for _, path in folders[: MOST_ENTRIES + len(paths)]:
            if Path(path) not in paths:
                name = f"Compare with: {clean(Path(path).name)}"
                yield Entry(name, partial(self.add, Path(path)), "in the Compare pane")

    def show_run(self, view: RunView | None) -> None:
        """The run that is shown is read by somebody else: once is enough."""
        super().show_run(view)
        if view is not None:
            for run in self.compared:
                if run.path == view.path:
                    run.view = view

    # -- reading

    @property
    def _others(self) -> list[RunView]:
        """The runs that nobody else reads."""
        return [run.view for run in self.compared if run.view is not self.view]

    def _read_on(self) -> None:
        """Read what is new, and draw it as it comes."""
        if not self._reading and self.is_mounted:
            self._reading = True
            self.run_worker(self._read(), exit_on_error=False)

    async def _read(self) -> None:
        """Read all logs up to their ends, a part of each in turn; keys come in between."""
        try:
            draw_time, pause, changed, waiting = time.monotonic(), READING, True, self._others
            while waiting:
                for view in waiting:
                    changed |= bool(view.poll())
                    await asyncio.sleep(0)
                waiting = [view for view in self._others if view.behind]
                if waiting and time.monotonic() - draw_time > pause:
                    self.redraw()
                    draw_time, pause = time.monotonic(), 2 * pause
            if changed:
                self.redraw()
        finally:
            self._reading = False

    def beat(self, quiet_for: float) -> None:
        """Look whether the other runs went on."""
        if self.compared and not self._reading:
            news = [view.poll() for view in self._others]
            if any(view.behind for view in self._others):
                self._read_on()
            elif any(news):
                self.redraw(urgent=False)

    def update_view(self, parts: set[str]) -> None:
        """The run that is shown may be one of those that are compared."""
        if any(run.view is self.view for run in self.compared):
            self.redraw(urgent=False)

    def on_show(self) -> None:
        self._read_on()

    # -- drawing

    def _colour(self, slot: int) -> str:
        hues = DARK if self.app.current_theme.dark else LIGHT
        return hues[slot % len(hues)]

    def redraw(self, urgent: bool = True) -> None:
        """Draw the page that is shown, `urgent` where somebody asked for it. Cheap when nothing is visible."""
        if not self.is_mounted:
            return
        self._make_room()
        if not self.compared:
            self._empty.say(NOTHING)
            return
        if not self.size.width:
            return
        heads = self._heads()
        self._tabs.show(self.page, self._states())
        self._key.show(heads)
        self.over.axis_name = self.looking.x_axis
        if self.page == "curves":
            self._draw_curves()
        elif self.page == "samples":
            self._samples.show(self.compared, self.over.axis(self.looking.x_axis), urgent)
        else:
            settings = self.page == "settings"
            rows = settings_rows(self.compared, self.catalog) if settings else results_rows(self.compared)
            self._table.show([TableCell(""), *heads], rows)

    def _make_room(self) -> None:
        """Display what the page has."""
        page = self.page if self.compared else ""
        for part in (self.bar, self.grid, self._key):
            part.display = page == "curves"
        self._tabs.display = bool(page)
        self._samples.display = page == "samples"
        self._table.display = page in ("settings", "results")
        self._empty.display = not page

    def _heads(self) -> list[TableCell]:
        """The runs, each with its glyph, its letter and its name."""
        plain = shows_ascii(self)
        heads = []
        for run in self.compared:
            live = f" {state_look(run.view.state).sign}" if run.view.live else ""
            text = f"{legend_glyph(run.slot, plain)} {run.letter} {run.name}{live}"
            heads.append(TableCell(text, f"run.{run.slot}"))
        return heads

    def _states(self) -> str:
        """What has to be said of all of them."""
        behind = sum(view.behind for view in self._others)
        words = [f"reading {behind} of {len(self.compared)}…"] if behind else []
        silent = [run.letter for run in self.compared if not run.view.series and not run.view.behind]
        if silent:
            words.append(f"no values yet: {', '.join(silent)}")
        forks = [(run, run.twin) for run in self.compared if run.twin is not None]
        words += [f"{run.letter} parts from {twin.letter} at step {run.begins:,}" for run, twin in forks]
        return " · ".join(words)

    def _draw_curves(self) -> None:
        names = tuple((run.slot, name) for run in self.compared for name in run.view.series)
        if names != self._names:
            self._names = names
            self.panels = [self._panel(metric) for metric in metrics_of(self.compared)]
        panels = self.shown_panels()
        self.over.forget_but({panel.title for panel in panels}, self.over.axis(self.looking.x_axis))
        self.draw_plots()

    def _panel(self, metric: str) -> Panel:
        """A metric of all runs that have it."""
        validation, phase, _ = split(metric)
        smooth = not validation and phase != HEALTH
        has = [run for run in self.compared if metric in run.view.series]
        lacks = [run.letter for run in self.compared if run not in has]
        note = f"(not in {', '.join(lacks)})" if lacks else ""
        return Panel(metric, tuple(Curve(run.letter, run.letter, run.slot, smooth) for run in has), False, note)

    def curves(self, panel: Panel) -> Mapping[str, Series]:
        """The metric's series, by the letters of the runs."""
        axis = self.over.axis(self.looking.x_axis)
        curves_by_run = {run.letter: self.over.curve_of(run, panel.title, axis) for run in self.compared}
        return {letter: series for letter, series in curves_by_run.items() if series is not None}

    def levels(self, panel: Panel) -> list[Level]:
        """The figures that the metric of all these runs should come to."""
        goals = shared_levels(panel.title, self.compared)
        return [Level(goal.level, figure(goal)) for goal in goals if goal.level is not None]

    def marks(self) -> list[Mark]:
        """What happened in the runs, and where they part."""
        axis, marks = self.over.axis(self.looking.x_axis), list[Mark]()
        for run in self.compared:
            own = [mark for mark in marks_of(run.view) if mark.kind in COMMON_MARKS and mark.kind != "fork"]
            if run.origin is not None:
                other = run.twin.letter if run.twin is not None else clean(run.origin.name or run.origin.run)
                step = run.begins if run.twin is not None else run.origin.step
                changes = [mark.text for mark in own if mark.kind == "edit" and mark.step == step]
                own = [mark for mark in own if mark.text not in changes or mark.step != step]
                own.append(Mark(step, "fork", ": ".join([f"parts from {other}", *changes])))
            places = [(mark, self.over.place_of(run, mark.step, axis)) for mark in own if mark.step >= run.begins]
            marks += [Mark(at, mark.kind, f"{run.letter}: {mark.text}") for mark, at in places if at is not None]
        return marks

    # -- actions

    def action_page(self, by: int) -> None:
        """The next page, or the one before."""
        self.show_page(PAGES[(PAGES.index(self.page) + by) % len(PAGES)])

    def show_page(self, page: str) -> None:
        """Show another page; the keyboard follows."""
        inside = self.has_focus_within
        self.page = page
        self.redraw()
        if inside:
            self.focus_inside()
        self.refresh_bindings()

    def focus_inside(self) -> None:
        """What the page is about."""
        if not self.compared:
            super().focus_inside()
        elif self.page == "samples":
            self._samples.focus_inside()
        else:
            (self.grid if self.page == "curves" else self._table).focus()

    def on_page_tabs_picked(self, message: PageTabs.Picked) -> None:
        """A page was clicked."""
        message.stop()
        self.show_page(message.page)
        self.focus_inside()

    def action_bands(self) -> None:
        """What the values span, behind their averages, or averages alone."""
        self.look(bands=not self.looking.bands)

    def action_x_axis(self) -> None:
        """The next of steps, epochs, training time and wall time; what is in view there is chosen anew."""
        self.looking = replace(self.looking, window=None, follow=None, cursor=None, anchor=None)
        super().action_x_axis()

    def label(self, words: str, action: str) -> str:
        """The scale that the key would give."""
        return "Linear" if action == "log" and self.looking.log_y else words

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Curves are looked at where there are any."""
        if not self.compared:
            return None
        if action == "page" or (action == "x_axis" and self.page == "samples"):
            return True
        return super().check_action(action, parameters) if self.page == "curves" else None

    def help(self) -> tuple[str, str]:
        """What the chosen plot's metric is by the models' text, before what this pane can do."""
        current, words = self.current, ""
        if self.page == "curves" and current is not None:
            for run in self.compared:
                words = words or about_all([current.title], model_of(run.path), self.catalog)
        here = self.at_crosshair(self.marks()) if self.page == "curves" else ""
        return self.title, "\n\n".join(filter(None, (here, words, self.HELP)))
