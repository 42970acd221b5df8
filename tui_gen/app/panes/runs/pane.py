"""The Runs pane: a table of the runs of a folder, sorted, filtered and marked; what is done with them is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import Input, Static

from tui_gen.app.background import away
from tui_gen.app.panes.asking import ForkAsked, RunOpened, RunResumeAsked, RunsAsked
from tui_gen.app.panes.base import Belongings, Entry
from tui_gen.app.panes.filtered import FilterPane
from tui_gen.app.panes.runs.looking import SAVED_EVERY, Results
from tui_gen.app.panes.runs.table import RunTable
from tui_gen.history.run_facts import FACTS, ordered
from tui_gen.history.run_filter import FilterError, Found, RunFilter
from tui_gen.history.run_list import MANY, RunList
from tui_gen.history.run_settings import RunSettings
from tui_gen.places import distinction
from tui_gen.runs import RESUMABLE, RunError, folders, standing
from tui_gen.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tui_gen.catalog import Catalog
    from tui_gen.history.run_facts import RunRow
    from tui_gen.runs import RunInfo
    from tui_gen.view import RunView

MOST_ENTRIES = 200
"""Runs in the command palette, at most."""
FIRST, AT_ONCE = 0.03, 0.2
"""Seconds of reading after which what is known is shown: the first time, and later."""
SEEN = 0.1
"""Seconds in which what was known is painted before all runs are looked at: both want the interpreter."""
PART, REST = 0.04, 0.5
"""Seconds for which logs are gone through before what was found is shown; after a key, in which that rests."""
MOST_FOUND = 64
"""Beginnings of filters whose runs are remembered while one is typed."""
WIDE = 90
"""Cells in which a line is enough to tell about a run."""


class RunsPane(FilterPane):
    """The runs of a folder, newest first. Looks at the folder every two seconds while it is on screen."""

    HELP = """
## Runs

Every run of the runs folder, the newest first, with its state (`▶` running, `‖` paused, `✔` finished, `■` stopped,
`✖` failed, `!` interrupted: its worker is gone), what it is judged by, its best value and course. The run that is shown
has a `›`, marked ones have a `◆`.

- **Enter** (or a second click) shows a run: live ones with full control, past ones with everything they produced
- **Space** marks runs, so do **Shift** and the arrows, and a click before the name; **a** marks all that match
- **c** compares the marked runs; **r** resumes runs from their last checkpoints, **F** forks one: a new run goes on
  from there; **x** stops live ones with a checkpoint; **Delete** removes past ones, after a question
- `*` gives a star, **t** tags, **n** a note, **e** another name; **i** tells all about a run; **o** copies its
  folder
- **w** exports a run (a report, a film, weights, tables …); **p** plays it again as if it were live
- **s** sorts by the next column, **S** turns the order round; a click on a header does both; **Q** shows the queue
- **/** filters: words, and `model:vae lr<1e-3 state:finished star best<100 -tag:old`; `or` between them, `-` before one
"""
    DEFAULT_CSS = """
    RunsPane > Static { height: 2; padding: 0 1; color: $quiet; }
    RunsPane.wide > Static { height: 1; }
    RunsPane > Static.wrong { color: $text-error; }
    """
    BINDINGS = [
        Binding("slash", "filter", "Filter", id="runs.filter"),
        Binding("c", "compare", "Compare", id="runs.compare"),
        Binding("r", "resume", "Resume", id="runs.resume"),
        Binding("F", "fork", "Fork", show=False, id="runs.fork"),
        Binding("x", "ask('stop')", "Stop", id="runs.stop"),
        Binding("delete", "ask('delete')", "Delete", id="runs.delete"),
        Binding("Q,shift+q", "app.open_pane('queue')", "Queue", show=False, id="runs.queue"),
        Binding("s", "sort", "Sort", id="runs.sort"),
        Binding("S,shift+s", "turn_round", "Turn the order round", show=False, id="runs.turn_round"),
        Binding("a", "mark_all", "Mark all", id="runs.mark_all"),
        Binding("asterisk", "ask('star')", "Star", id="runs.star"),
        Binding("t", "ask('tag')", "Tags", id="runs.tag"),
        Binding("n", "ask('note')", "Note", id="runs.note"),
        Binding("e", "ask('rename')", "Rename", id="runs.rename"),
        Binding("i", "ask('details')", "Details", id="runs.details"),
        Binding("w", "ask('export')", "Export", id="runs.export"),
        Binding("p", "ask('replay')", "Replay", id="runs.replay"),
        Binding("o", "ask('folder')", "Folder", id="runs.folder"),
        Binding("escape", "clear_filter", "Clear the filter", show=False, id="runs.clear_filter"),
    ]
    PERIOD = 2.0

    @classmethod
    def of(cls, belongings: Belongings, id: str) -> Self:
        """The runs of the workbench's folder."""
        return cls(belongings.root, belongings.catalog, id=id)

    def __init__(
        self, root: Path, catalog: Catalog | None = None, *, id: str | None = "runs", classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.runs, self.results = RunList(root), Results(root)
        if catalog is not None:
            self.results.set_catalog(catalog)
        self.rows: list[RunInfo] = []
        self._all: list[RunRow] = []
        """The same, with what is known of each."""
        self.table = RunTable(self._moved)
        self.settings = RunSettings(looks=False)
        self._busy = self._was_listed = self._finding = self._again = False
        self._save_time = -math.inf
        self._problem = ""
        self._touch_time = 0.0
        """When somebody did something here last."""
        self._filter_text = ""
        self._reading: set[str] = set()
        """Settings for which the configs are being looked through."""
        self._listed_text = ""
        """The filter as of the last list."""
        self._matches: Found = {}
        """What is left of the runs by the terms that were typed."""
        self._wrong = ""
        """Why what is typed is no filter."""
        self._order: tuple[str, bool] = ("", False)

    def compose(self) -> ComposeResult:
        """Filter, table, and a line about the run under the cursor."""
        yield self.filter_line()
        yield self.table
        yield Static("", markup=False)

    def on_mount(self) -> None:
        """Show what is known from the last time, look at once, then every two seconds while on screen."""
        self.set_interval(self.PERIOD, self.look)
        if self.display and (rows := self.runs.begin(FIRST)):
            self.rows = rows
            self._know_more()
            self.set_timer(SEEN, self.look)
        else:
            self.look()

    def on_unmount(self) -> None:
        """Keep what was found."""
        self.runs.save()
        self.results.save()

    def entries(self) -> Iterable[Entry]:
        """Every run, to be opened, also before this pane was on screen and has looked at it; every order."""
        for info in self.rows[:MOST_ENTRIES]:
            call = partial(self.post_message, RunOpened(Path(info.path)))
            name = " ".join(dict.fromkeys((info.name, distinction(Path(info.path).name))))
            yield Entry(f"Open run: {name}", call, f"{info.state}, step {info.step:,}", here=False)
        if not self.rows:
            with contextlib.suppress(RunError):
                for _, path in folders(self.runs.root)[:MOST_ENTRIES]:
                    call = partial(self.post_message, RunOpened(Path(path)))
                    yield Entry(f"Open run: {clean(Path(path).name)}", call, "", here=False)
        for name, fact in FACTS.items():
            yield Entry(f"Sort runs by: {name}", partial(self.sort_by, name), fact.help)

    def runs_changed(self) -> None:
        """Look again, into every run."""
        self.look(whole=True)

    def set_catalog(self, catalog: Catalog) -> None:
        """Other models and recipes are known from now on."""
        self.results.set_catalog(catalog)

    # -- looking

    def look(self, whole: bool = False) -> None:
        """Read the folder, away from the UI's thread; nothing happens off screen or while a look is under way."""
        self._again = self._again or whole
        if self.display and not self._busy and self.size:
            self.run_worker(self._look(), exit_on_error=False)

    async def _look(self) -> None:
        self._busy, any_news = True, False
        try:
            while True:
                whole, self._again = self._again, False
                near = {row.info.path for row in self.table.on_screen}
                seconds = math.inf if whole else AT_ONCE if self._was_listed else FIRST
                rows = await away(self.runs.refresh, whole, near, seconds)
                if not self.is_attached:
                    return
                news = rows is not self.rows or not self._was_listed or self._problem != self.runs.problem
                if news:
                    before = {id(info) for info in self.rows}
                    for info in rows:
                        if id(info) not in before:
                            self.settings.forget(info.path)
                self.rows, self._was_listed, self._problem = rows, True, self.runs.problem
                if news:
                    self._know_more()
                any_news = any_news or news
                if not (self.runs.unread or self._again):
                    break
            if self.runs.unsaved and time.monotonic() - self._save_time > SAVED_EVERY:
                self._save_time = time.monotonic()
                await away(self.runs.save)
        finally:
            self._busy = False
        if any_news and not self._finding:
            self.run_worker(self._find(), exit_on_error=False)

    async def _find(self) -> None:
        """What the runs came to, those on screen first; a part at a time, not while keys are pressed nor off screen."""
        self._finding = True
        try:
            while self.is_attached and self.display:
                while (waits := self._touch_time + REST - time.monotonic()) > 0:
                    await asyncio.sleep(waits)
                near = [row.info for row in self.table.on_screen]
                paths = {info.path for info in near}
                rest = [info for info in self.rows if info.path not in paths]
                if await away(self.results.find, [*near, *rest], PART) and self.is_attached:
                    self._know_more()
                if not self.results.pending:
                    break
            self._tell()
        finally:
            self._finding = False

    def on_show(self) -> None:
        self.look()
        if self.results.pending and not self._finding:
            self.run_worker(self._find(), exit_on_error=False)

    def show_run(self, view: RunView | None) -> None:
        """Mark the run that is shown."""
        super().show_run(view)
        self.table.open_is(str(view.path) if view is not None else "")

    def update_view(self, parts: set[str]) -> None:
        """The shown run's own row follows its view, between looks at the folder."""
        if "status" not in parts or self.view is None:
            return
        for info in self.rows:
            now = self.view.state, self.view.step, self.view.reason
            if info.path == str(self.view.path) and (info.state, info.step, info.reason) != now:
                info.state, info.step, info.reason = now
                self.results.row(info).forget()
                self.table.draw_anew(info.path)

    # -- listing

    def _filtered(self) -> list[RunRow]:
        """The rows that match, in order.

        Where what is typed is no filter, what stands before its last word is.
        """
        boxes = self.query(Input)
        text = boxes.first(Input).value if boxes else ""
        rows = self._all
        if text != self._filter_text:
            self._filter_text, self._touch_time = text, time.monotonic()
        if text == self._listed_text or len(self._matches) > MOST_FOUND:  # something else than the filter is another
            self._matches.clear()
        self._listed_text = text
        self._wrong, matching = "", rows
        for part in (text, text.rstrip().rpartition(" ")[0], ""):
            try:
                run_filter = RunFilter(part)
                if self._reads_settings(run_filter, len(rows)):
                    return self.table.rows
                matching = run_filter.matching(rows, self.settings, self._matches)
                break
            except FilterError as error:
                self._wrong = self._wrong or str(error)
        name, down = self._order
        return ordered(matching, name, self.settings, down) if name else matching

    def _reads_settings(self, run_filter: RunFilter, count: int) -> bool:
        """Whether the configs of many runs have to be looked through first: that is done away from the UI's thread."""
        keys = [key for key in run_filter.settings if not self.settings.has(key)]
        if not keys or count < MANY:
            return False

        if not self._reading.issuperset(keys):
            self._reading.update(keys)
            self.run_worker(self._read_settings(keys), exit_on_error=False)
        return True

    async def _read_settings(self, keys: list[str]) -> None:
        def look(paths: list[str]) -> None:
            for key in keys:
                self.settings.find_all(paths, key)

        try:
            await away(look, [info.path for info in self.rows])
        finally:
            self._reading.difference_update(keys)
        self.list_anew()

    def _know_more(self) -> None:
        """Something about the runs is another."""
        self._all = [self.results.row(info) for info in self.rows]
        self._matches.clear()
        self.table.measure(self._all)
        self.list_anew()

    def list_anew(self) -> None:
        """Show the runs that match."""
        if not self.query(Static):
            return
        rows = self._filtered()
        self.table.show_rows(rows, *self._order)
        self._tell()

    def _tell(self) -> None:
        """The title, and the line below."""
        live = sum(info.live for info in self.rows)
        mark_count = len(self._marked())
        hidden_count = len(self.rows) - len(self.table.rows)
        details = [f"{live} live"] * bool(live) + [f"{mark_count} marked"] * bool(mark_count)
        counts = [f"{len(self.table.rows):,} of {len(self.rows):,}"] * bool(hidden_count)
        counts += ["reading…"] * bool(self.results.pending)
        self.set_title(", ".join(details), " · ".join(counts))
        self._describe()

    def _marked(self) -> list[RunRow]:
        """The marked rows that are listed, in their order."""
        paths = self.table.marked
        return [row for row in self.table.rows if row.info.path in paths] if paths else []

    def _chosen(self) -> list[RunRow]:
        """What an action is about: the marked rows, else the one under the cursor."""
        current = self.table.current
        return self._marked() or ([current] if current is not None else [])

    @property
    def highlighted(self) -> str:
        """The path of the row under the cursor, or an empty text."""
        return self.table.current.info.path if self.table.current is not None else ""

    def _describe(self) -> None:
        line = self.query_one(Static)
        row = self.table.current
        if self.runs.problem or self._wrong:
            text = self.runs.problem or self._wrong
        elif row is None:
            text = "No runs match." if self.rows else "No runs yet: F5 starts one." if self._was_listed else ""
        else:
            text = described(row)
        line.set_class(bool(self._wrong), "wrong")
        if str(line.content) != text:
            line.update(Content(text), layout=False)

    def on_resize(self, event: events.Resize) -> None:
        """A wide pane tells about a run in one line."""
        self.set_class(event.size.width >= WIDE, "wide")

    def _moved(self) -> None:
        """The cursor or the marks are others."""
        self._touch_time = time.monotonic()
        self._tell()
        self.refresh_bindings()

    # -- doing

    def on_run_table_opened(self, event: RunTable.Opened) -> None:
        event.stop()
        self.post_message(RunOpened(Path(self.highlighted)))

    def on_run_table_sorted(self, event: RunTable.Sorted) -> None:
        """Sort by the column, or turn its order round."""
        event.stop()
        self.sort_by(event.name)

    def sort_by(self, name: str) -> None:
        """Sort by a column; a second time the other way, a third time as it was at first, the newest first."""
        first = FACTS[name].down
        before, down = self._order
        self._order = (name, first) if before != name else (name, not first) if down == first else ("", False)
        self.list_anew()

    def action_sort(self) -> None:
        """Sort by the next column."""
        names = ["", *(column.name for column in self.table.columns if column.name != "course")]
        place = names.index(self._order[0]) if self._order[0] in names else 0
        name = names[(place + 1) % len(names)]
        self._order = (name, FACTS[name].down) if name else ("", False)
        self.list_anew()

    def action_turn_round(self) -> None:
        """The same column the other way."""
        name, down = self._order
        self._order = (name, not down) if name else ("age", True)
        self.list_anew()

    def action_mark_all(self) -> None:
        """Mark all that match, or none."""
        self.table.mark_all()

    def action_clear_filter(self) -> None:
        """No marks; where there are none, no filter."""
        if self.table.marked and not self.query_one(Input).has_focus:
            self.table.unmark()
        else:
            super().action_clear_filter()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with the marked rows, or the one under the cursor."""
        if action not in ("resume", "ask", "compare", "mark_all", "fork"):
            return True
        rows = self._chosen() if self.is_mounted else []
        what = parameters[0] if parameters else action
        match what:
            case "resume":
                able = any(row.info.state in RESUMABLE for row in rows)
            case "stop":
                able = any(row.info.live for row in rows)
            case "delete":
                able = any(not row.info.live for row in rows)
            case "compare":
                able = len(rows) > 1
            case "note" | "rename" | "details" | "export" | "replay" | "fork":
                able = len(rows) == 1
            case _:
                able = bool(rows)
        return True if able else None

    def action_resume(self) -> None:
        """Go on with it, or with all that are marked and can go on."""
        paths = [Path(row.info.path) for row in self._chosen() if row.info.state in RESUMABLE]
        self.post_message(RunResumeAsked(paths[0]) if len(paths) == 1 else RunsAsked("resume", paths))

    def action_fork(self) -> None:
        """A new run from its newest checkpoint."""
        self.post_message(ForkAsked(Path(self._chosen()[0].info.path)))

    def action_ask(self, what: str) -> None:
        """Something is to be done with the marked runs, or the one under the cursor."""
        rows = self._chosen()
        if what in ("stop", "delete"):  # a live run is never deleted, one that ended is not stopped
            rows = [row for row in rows if row.info.live == (what == "stop")]
        if rows:
            self.post_message(RunsAsked(what, [Path(row.info.path) for row in rows]))

    def action_compare(self) -> None:
        """Compare the marked runs."""
        from tui_gen.app.panes.compare.asking import CompareAsked

        self.post_message(CompareAsked([Path(row.info.path) for row in self._chosen()]))

    def focus_inside(self) -> None:
        self.table.focus()


def described(row: RunRow) -> str:
    """A run in a line or two: what it trains and came to, when, and what people say of it."""
    info = row.info
    parts = [f"{info.model} on {info.dataset}" if info.model else row.folder]
    if info.live and (words := standing(info.reason)):
        parts.append(words)
    if not info.live and info.state:
        then, today = time.localtime(info.updated), time.localtime()
        day = "" if then[:3] == today[:3] else time.strftime("%d %b ", then)
        parts += [info.reason] if info.reason else []
        parts.append(f"{day}{time.strftime('%H:%M:%S', then)}")  # no time that passes: it would be drawn anew
    parts += [f"tags {' '.join(info.tags)}"] if info.tags else []
    parts += [f"{info.notes} note{'s' * (info.notes > 1)}: i shows them"] if info.notes else []
    return clean(" · ".join(parts))
