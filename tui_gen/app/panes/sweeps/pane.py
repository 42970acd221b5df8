"""The Sweeps pane: the sweeps of the runs folder, and of one its trials as a table and as parallel coordinates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import OptionList, Static

from tui_gen import runs, sweeps
from tui_gen.app.background import away
from tui_gen.app.panes.asking import RunOpened
from tui_gen.app.panes.base import Belongings, Entry
from tui_gen.app.panes.compare.asking import CompareAsked
from tui_gen.app.panes.listing import ListPane
from tui_gen.app.panes.queue import rows
from tui_gen.app.panes.queue.pane import QueueSettingsAsked, QueueTold
from tui_gen.app.panes.sweeps.plot import SweepPlot
from tui_gen.queue import queueing
from tui_gen.runs import RunError
from tui_gen.search import asking, specs
from tui_gen.search.specs import SweepLine
from tui_gen.states import queue_look, themed
from tui_gen.sweeps import SweepResult, SweepTable
from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.view import RunView

OVERLAID = 8
"""Runs whose curves are laid over each other, at most."""
TALL = 18
"""Rows from which on table and plot have room at once."""
LOOKS = {"stopped": "cancelled", "over": "done", "broken": "failed", "in the queue": "waiting"}
"""Which state of an entry of the queue a sweep's looks like."""
NOTHING = "No sweep is here yet: Ctrl+F5 varies settings of what the form describes."


class SweepsLook(NamedTuple):
    """What was read: all sweeps, the one that is shown, and why nothing could be."""

    lines: list[SweepLine]
    table: SweepTable | None
    problem: str = ""


class SweepsPane(ListPane):
    """Lists sweeps, and shows one. Looks at its files once a second while it is on screen."""

    HELP = """
## Sweeps

A sweep tries settings: each trial is a run. The list has the sweeps of this folder, the newest first; **Enter** shows
one, **Backspace** goes back.

- **Enter** on a trial shows its run; **c** copies its settings to the form; **o** overlays the curves of the best
- **p** changes between the table, parallel coordinates, and both. Each line of these is a trial: it crosses every axis
  where its setting is, and the last one at what it reached, the best at the top. The brighter, the better; `◆` marks
  the trial under the cursor. The settings that matter most stand next to the metric
- **w** writes the config of the best trial as TOML, for `tui-gen --run`
- **s** goes on with a sweep that was stopped; **x** stops it, its runs with checkpoints
- **Ctrl+F5** begins another

The line below says how much each setting matters: its share of what the metric varies by (fANOVA). On the command line:
`tui-gen sweep`.
"""
    BINDINGS = [
        Binding("p", "plot", "Plot", id="sweeps.plot"),
        Binding("w", "write", "Write the best", id="sweeps.write"),
        Binding("o", "overlay", "Overlay curves", id="sweeps.overlay"),
        Binding("c", "settings", "Its settings", id="sweeps.settings"),
        Binding("s", "go_on", "Go on", id="sweeps.go_on"),
        Binding("x", "stop", "Stop", id="sweeps.stop"),
        Binding("backspace", "back", "All sweeps", id="sweeps.back"),
    ]

    @classmethod
    def of(cls, belongings: Belongings, id: str) -> Self:
        """The sweeps of the workbench's folder."""
        return cls(belongings.root, id=id)

    def __init__(self, root: Path, *, id: str | None = "sweeps", classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.root = Path(root)
        self.snapshot: SweepsLook | None = None
        self.sweep = ""
        """The sweep whose trials are shown; empty for the list of all."""
        self.form = "auto"
        """`table`, `plot`, `both`, or `auto`: what there is room for."""
        self._form_now = "table"
        self._stamp: object = None
        self._places: dict[str, int] = {}
        self._list_of = ""

    def compose(self) -> ComposeResult:
        """The plot, the list, and what matters."""
        yield SweepPlot()
        yield OptionList()
        yield Static("", markup=False)

    def on_mount(self) -> None:
        """No plot before there is one."""
        self.query_one(SweepPlot).display = False

    def open_sweep(self, name: str) -> None:
        """Show the trials of a sweep; of an empty name, the list of all."""
        self.sweep = name
        self._stamp = None
        self.look()

    # -- looking

    def _now(self) -> tuple[object, ...]:
        """What is another where something of what is shown is."""
        names = tuple(specs.names(self.root))
        return names, self.sweep, specs.stamp(self.root, self.sweep), queueing.stamp(self.root)

    def beat(self, quiet_for: float) -> None:
        """About once a second on screen: look where a file changed, or a trial is open."""
        table = self.snapshot.table if self.snapshot is not None else None
        if (table is not None and table.over < len(table.results)) or self._now() != self._stamp:
            self.look()

    async def read(self) -> None:
        """The sweeps, and the trials of the one that is shown."""
        self._stamp = self._now()
        self.snapshot = await away(read, self.root, self.sweep)

    # -- what is seen

    @property
    def table(self) -> SweepTable | None:
        """The trials that are shown."""
        table = self.snapshot.table if self.snapshot is not None else None
        return table if table is not None and table.group == self.sweep else None

    def list_anew(self) -> None:
        """Show the sweeps, or the trials of one, and as much of the plot as there is room for."""
        if not self.is_mounted or not self.query(OptionList) or self.snapshot is None:
            return
        options, table = self.query_one(OptionList), self.table
        self._divide(table)
        width = max(20, options.size.width - 2)
        mark = self.view.path.name if self.view is not None else ""
        prompts = (
            rows.result_rows(table, width, mark) if table is not None
            else {line.name: _line(line, width) for line in self.snapshot.lines}
        )  # fmt: skip
        is_same, self._list_of = self._list_of == self.sweep, self.sweep
        self.put(prompts, self.highlighted if is_same else 0)
        self._places = {id: place for place, id in enumerate(prompts)}
        line = self._current_line
        over = "" if line is None or line.state == "over" else f"{line.over} of {line.total} over"
        state = ", ".join(filter(None, (line.state if line is not None else "", over)))
        self.set_title(" · ".join(filter(None, (self.sweep, state))), table.metric if table is not None else "")
        self._describe()
        self.refresh_bindings()

    def _divide(self, table: SweepTable | None) -> None:
        """What is on screen: the table, the plot, or both."""
        plot, options = self.query_one(SweepPlot), self.query_one(OptionList)
        form = self.form
        if form == "auto":
            form = "both" if self.size.height >= TALL else "table"
        self._form_now = form
        plot.display = table is not None and form != "table"
        is_list = table is None or form != "plot"
        options.styles.height = "1fr" if is_list else 1  # the trial under the cursor stays in view
        self._plot()

    def _plot(self) -> None:
        table = self.table
        place = self._places.get(self.highlighted) if table is not None else None
        self.query_one(SweepPlot).show(table, place if table is not None and place is not None else None)

    @property
    def result(self) -> SweepResult | None:
        """The trial under the cursor."""
        table = self.table
        if table is None or not self.is_mounted or not self.query(OptionList):
            return None
        place = self._places.get(self.highlighted)
        return table.results[place] if place is not None and place < len(table.results) else None

    @property
    def _current_line(self) -> SweepLine | None:
        """The sweep that is shown, or under the cursor."""
        if self.snapshot is None or not self.is_mounted or not self.query(OptionList):
            return None
        name = self.sweep or self.highlighted
        return next((line for line in self.snapshot.lines if line.name == name), None)

    def _describe(self) -> None:
        text = self._words()
        foot = self.query_one(Static)
        if str(foot.content) != text:
            foot.update(Content(text))
            foot.display = bool(text)

    def _words(self) -> str:
        if self.snapshot is None:
            return ""
        if self.snapshot.problem:
            return clean(self.snapshot.problem)
        if not self.snapshot.lines:
            return NOTHING
        table, result = self.table, self.result
        if table is None:
            line = self._current_line
            return clean(line.words) if line is not None else ""
        from tui_gen.sweep_plot import importance_words

        way = "the higher the better" if table.better == "higher" else "the lower the better"
        about = (result.reason or result.run) if result is not None else ""
        return " · ".join(filter(None, (importance_words(table), way if table.metric else "", clean(about))))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Tell about the trial, and mark it in the plot."""
        event.stop()
        self._plot()
        self._describe()
        self.refresh_bindings()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Show a sweep, or the run of a trial."""
        event.stop()
        if self.table is None:
            self.open_sweep(event.option.id or "")
            return
        result = self.result
        path = result.path(self.root) if result is not None else None
        if path is not None and runs.is_run(path):
            self.post_message(RunOpened(path))
        else:
            self.post_message(QueueTold("This trial has no run yet." if path is None else "Its run was deleted."))

    def show_run(self, view: RunView | None) -> None:
        """Mark the trial whose run is shown."""
        super().show_run(view)
        self.list_anew()

    def entries(self) -> Iterable[Entry]:
        """Every sweep."""
        for line in self.snapshot.lines[:50] if self.snapshot is not None else ():
            yield Entry(clean(f"Show the sweep {line.name}"), partial(self.open_sweep, line.name), clean(line.words))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with what is shown."""
        table, line = self.table, self._current_line
        has_best = table is not None and table.best is not None
        able = {
            "plot": table is not None,
            "write": has_best,
            "overlay": has_best,
            "settings": self.result is not None and bool(self.result.run),
            "go_on": line is not None and line.state == "stopped",
            "stop": line is not None and line.state == "running",
            "back": bool(self.sweep),
        }
        return (able[action] or None) if action in able else True

    # -- what is done

    def _do(self, work: Callable[[], str]) -> None:
        self.run_worker(self._done(work), exit_on_error=False)

    async def _done(self, work: Callable[[], str]) -> None:
        from tui_gen.config import ConfigError

        try:
            self.post_message(QueueTold(await away(work)))
        except (RunError, ConfigError, OSError) as error:
            self.post_message(QueueTold(str(error), "error"))
        self.look()

    def action_plot(self) -> None:
        """The table, the plot, or both."""
        forms = ["table", "plot", "both"]
        self.form = forms[(forms.index(self._form_now) + 1) % len(forms)]
        self.list_anew()

    def action_back(self) -> None:
        """The list of all sweeps."""
        self.open_sweep("")

    def action_overlay(self) -> None:
        """Compare the best runs: curves, settings, samples."""
        results = self.table.results if self.table is not None else []
        paths = [result.path(self.root) for result in results if result.best is not None]
        self.post_message(CompareAsked([path for path in paths if path is not None][:OVERLAID]))

    def action_settings(self) -> None:
        """Copy the settings of the trial's run to the form."""
        result = self.result
        path = result.path(self.root) if result is not None else None
        if path is not None:
            try:
                text = (path / runs.CONFIG).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                self.post_message(QueueTold(f"cannot read {path / runs.CONFIG}: {error}", "error"))
                return
            self.post_message(QueueSettingsAsked(text, path.name))

    def action_write(self) -> None:
        """Write the config of the best trial where one says."""
        self.run_worker(self._write(), exit_on_error=False)

    async def _write(self) -> None:
        from tui_gen.app.widgets.path_dialog import PathDialog

        table = self.table
        if table is None:
            return
        place = await self.app.push_screen_wait(
            PathDialog("The config of the best trial as TOML", f"{runs.slug(table.group)}-best.toml", save=True)
        )
        if place is not None:
            self._do(partial(_written, self.root, table, Path(place)))

    def action_go_on(self) -> None:
        """Have this machine go on with it."""
        line = self._current_line
        if line is not None:
            self._do(partial(_gone_on, self.root, line.name))

    def action_stop(self) -> None:
        """Stop it, its runs with checkpoints."""
        line = self._current_line
        if line is not None:
            self._do(partial(_stopped, self.root, line.name))

    def focus_inside(self) -> None:
        self.query_one(OptionList).focus()


def read(root: Path, name: str) -> SweepsLook:
    """The sweeps of a folder, and the table of one of them."""
    try:
        queue = queueing.read(root)
        groups = sweeps.groups(queue)
        lines = [specs.line_of(root, spec_name) for spec_name in specs.names(root)]
        for group in groups:
            entries = [entry for entry in queue.entries if entry.group == group]
            over = sum(not entry.open for entry in entries)
            keys = ", ".join(dict.fromkeys(key for entry in entries for key in entry.values))
            lines.append(SweepLine(group, "in the queue" if over < len(entries) else "over", over, len(entries), keys))
        table = None
        if name in groups:
            table = sweeps.results(root, queue, name)
        elif name:
            table = specs.results(root, name)
        return SweepsLook(lines, table)
    except RunError as error:
        return SweepsLook([], None, str(error))


def _line(line: SweepLine, width: int) -> Content:
    look = queue_look(LOOKS.get(line.state, line.state))
    end = f"{line.over}/{line.total}"
    name = clean(line.name)
    settings = clean(line.words)
    room = max(4, width - len(end) - 17 - len(name))
    settings = settings if len(settings) <= room else f"{settings[: room - 1]}…"
    return Content.assemble(
        (f"{look.sign} ", f"bold {themed(look.tone)}"), (f"{line.state:<12}", themed(look.tone)), (name, "bold"), " ",
        (f"{settings:<{room}} ", "$quiet"), end,
    )  # fmt: skip


def _written(root: Path, table: SweepTable, path: Path) -> str:
    runs.write_atomic(path, sweeps.best_config(root, table).encode())
    return f"Wrote {path}: tui-gen --run {path} trains it."


def _gone_on(root: Path, name: str) -> str:
    asking.refuse_without_optuna()
    asking.begin(root, specs.read(root, name))
    return f"{name} goes on."


def _stopped(root: Path, name: str) -> str:
    asking.stop(root, name)
    return f"{name} stops, its runs with checkpoints."
