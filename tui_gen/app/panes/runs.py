"""The Runs pane: live and past runs of the runs folder; open, resume, stop, delete."""

from __future__ import annotations

import os
import time
from functools import partial
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui_gen import runs
from tui_gen.app.background import away
from tui_gen.app.panes.base import Belongings, Entry
from tui_gen.app.panes.filtered import FilterPane
from tui_gen.progress import steps as steps_words
from tui_gen.states import state_look, themed
from tui_gen.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tui_gen.runs import RunInfo
    from tui_gen.view import RunView

OFFERED = 200
"""Runs in the command palette, at most."""
AROUND = 15
"""Looks in which every run that has ended is looked into once, whatever its log says."""
SETTLING = 5
"""Looks until a new run has all the files that make it one."""


class RunList:
    """The runs of a folder, read again only where files changed: cheap enough for every two seconds.

    Of a run that has ended the log tells: it grows where the run goes on. Its other files are looked at in turn.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.problem = ""
        self._known: dict[str, tuple[list[float], list[float], RunInfo]] = {}
        self._looks = 0
        self._folders: list[tuple[float, str]] = []
        self._changed = 0
        """The time of the folder of all runs, as of the last look."""
        self._anew = 0
        """Looks in which all of it is still to be read."""

    def refresh(self, whole: bool = False) -> list[RunInfo]:
        """As `runs.list_runs`; `whole` looks into every run. `problem` tells why the folder cannot be read."""
        self._looks += 1
        self._find(whole or self._looks % AROUND == 1)
        self._known = {
            path: self._read(path, created, whole or (self._looks + number) % AROUND == 0)
            for number, (created, path) in enumerate(self._folders)
        }
        return [info for _, _, info in self._known.values()]

    def _find(self, whole: bool) -> None:
        """Which folders are runs: looked for where some came or went, and a while longer, until they are complete."""
        try:
            changed = os.stat(self.root).st_mtime_ns
        except OSError:
            changed = 0
        if changed != self._changed:
            self._changed, self._anew = changed, SETTLING
        elif not self._anew and not whole and not self.problem:
            return
        self._anew = max(0, self._anew - 1)
        self.problem = ""
        try:
            self._folders = runs.folders(self.root)
        except runs.RunError as error:
            self.problem, self._folders = str(error), []

    def _read(self, path: str, created: float, whole: bool) -> tuple[list[float], list[float], RunInfo]:
        known = self._known.get(path)
        signs = [created, *_stamp(path, "events.jsonl")]
        if known is not None and known[0] == signs and not known[2].live and not whole:
            return known
        stamp = _stamp(path, "config.toml", "events.jsonl", "worker.json", "worker.lock")
        if known is not None and known[1] == stamp and not known[2].live:
            return signs, stamp, known[2]
        return signs, stamp, runs.info_of(path, created)


def _stamp(path: str, *names: str) -> list[float]:
    """The times and sizes of some files of a run: where its row is another, one of them is."""
    stamp = []
    for name in names:
        try:
            status = os.stat(f"{path}/{name}")
            stamp += [status.st_mtime, float(status.st_size)]
        except OSError:
            stamp += [0.0, 0.0]
    return stamp


class RunOpened(Message):
    """A run was chosen to be shown."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path


class RunResumeAsked(RunOpened):
    """A run that ended is to go on."""


class RunStopAsked(RunOpened):
    """A live run is to stop with a checkpoint."""


class RunDeleteAsked(RunOpened):
    """A run's directory is to be removed."""


class RunsPane(FilterPane):
    """The runs of a folder, newest first. Looks at the folder every two seconds while it is on screen."""

    HELP = """
## Runs

Every run of the runs folder, the newest first, with its state: `▶` running, `‖` paused, `✔` finished, `■` stopped,
`✖` failed, `!` interrupted (its worker is gone). The run that is shown has a `›`.

- **Enter** shows a run: live ones with full control, past ones with everything they produced
- **r** resumes a stopped, failed or interrupted run from its last checkpoint
- **x** stops a live run with a checkpoint; **Delete** removes a past one, after a question
- **/** filters by words: state, model, dataset, name
"""
    DEFAULT_CSS = """
    RunsPane > OptionList {
        height: 1fr; border: none; padding: 0; background: $background; scrollbar-size-vertical: 1;
    }
    RunsPane > OptionList:focus { border: none; }
    RunsPane > Static { height: auto; max-height: 3; padding: 0 1; color: $quiet; }
    """
    BINDINGS = [
        Binding("slash", "filter", "Filter", id="runs.filter"),
        Binding("r", "resume", "Resume", id="runs.resume"),
        Binding("x", "stop", "Stop", id="runs.stop"),
        Binding("delete", "delete", "Delete", id="runs.delete"),
        Binding("escape", "clear_filter", show=False, id="runs.clear_filter"),
    ]
    PERIOD = 2.0

    @classmethod
    def of(cls, belongings: Belongings, id: str) -> Self:
        """The runs of the workbench's folder."""
        return cls(belongings.root, id=id)

    def __init__(self, root: Path, *, id: str | None = "runs", classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.runs = RunList(root)
        self.rows: list[RunInfo] = []
        self._busy = self._looked = False
        self._problem = ""
        self._prompts: dict[str, Content] = {}

    def compose(self) -> ComposeResult:
        """Filter, list, and a line about the highlighted run."""
        yield self.filter_line()
        yield OptionList()
        yield Static("", markup=False)

    def on_mount(self) -> None:
        """Look at once, then every two seconds while on screen."""
        self.set_interval(self.PERIOD, self.look)
        self.look()

    def entries(self) -> Iterable[Entry]:
        """Every run, to be opened."""
        for info in self.rows[:OFFERED]:
            call = partial(self.post_message, RunOpened(Path(info.path)))
            yield Entry(
                f"Open run: {info.name} {info.path[-4:]}", call, f"{info.state}, step {info.step:,}", here=False
            )

    def runs_changed(self) -> None:
        """Look again, into every run."""
        self.look(whole=True)

    def look(self, whole: bool = False) -> None:
        """Read the folder, away from the UI's thread; nothing happens off screen or while a look is under way."""
        if self.display and not self._busy and self.size:
            self.run_worker(self._look(whole), exit_on_error=False)

    async def _look(self, whole: bool) -> None:
        self._busy = True
        try:
            rows = await away(self.runs.refresh, whole)
        finally:
            self._busy = False
        if not self.is_attached:
            return
        changed = rows != self.rows or not self._looked or self._problem != self.runs.problem
        self.rows, self._looked, self._problem = rows, True, self.runs.problem
        if changed:
            self.list_anew()

    def on_show(self) -> None:
        """Back on screen."""
        self.look()

    def on_resize(self) -> None:
        """Rows are as wide as the pane."""
        self.list_anew()

    def show_run(self, view: RunView | None) -> None:
        """Mark the run that is shown."""
        super().show_run(view)
        self.list_anew()

    def update_view(self, changed: set[str]) -> None:
        """The shown run's own row follows its view, between looks at the folder."""
        if "status" not in changed or self.view is None:
            return
        for info in self.rows:
            if info.path == str(self.view.path) and (info.state, info.step) != (self.view.state, self.view.step):
                info.state, info.step, info.reason = self.view.state, self.view.step, self.view.reason
                self.list_anew()

    def _filtered(self) -> list[RunInfo]:
        texts = (f"{row.state} {row.model} {row.dataset} {row.name} {Path(row.path).name}" for row in self.rows)
        return list(compress(self.rows, self.matching(texts)))

    def list_anew(self) -> None:
        """Show the runs that match."""
        if not self.is_mounted or not self.query(OptionList):
            return
        options = self.query_one(OptionList)
        rows = self._filtered()
        prompts = {info.path: self._row(info, max(20, options.size.width - 2)) for info in rows}
        if list(prompts) != list(self._prompts):
            kept = self.highlighted
            options.clear_options()
            options.add_options([Option(prompt, id=path) for path, prompt in prompts.items()])
            self._prompts = prompts
            if prompts:
                options.highlighted = list(prompts).index(kept) if kept in prompts else 0
        else:
            for path, prompt in prompts.items():
                if prompt != self._prompts[path]:
                    options.replace_option_prompt(path, prompt)
            self._prompts = prompts
        live = sum(info.live for info in self.rows)
        hidden = len(self.rows) - len(rows)
        self.set_title(f"{live} live" if live else "", f"{len(rows)} of {len(self.rows)}" if hidden else "")
        self._describe()

    def _row(self, info: RunInfo, width: int) -> Content:
        """One line: sign, state, name, progress."""
        mark = "›" if self.view is not None and info.path == str(self.view.path) else " "
        steps = steps_words(info.step, info.steps if width >= 60 else None)
        look = state_look(info.state)
        name = clean(info.name if width < 60 else f"{info.name}  {info.model} on {info.dataset}")
        tail = clean(Path(info.path).name.rsplit("-", 1)[-1])
        name = f"{name} {tail}"
        room = max(4, width - len(steps) - 16)
        name = name if len(name) <= room else f"{name[: room - len(tail) - 2]}… {tail}" if room > 12 else name[:room]
        return Content.assemble(
            (mark, "bold"),
            (f"{look.sign} ", f"bold {themed(look.tone)}"),
            (f"{clean(info.state):<11}", themed(look.tone)),
            " ",
            f"{name:<{room}} ",
            (steps, "$quiet"),
        )

    @property
    def highlighted(self) -> str:
        """The path of the row under the cursor, or an empty text."""
        options = self.query_one(OptionList)
        if options.highlighted is None or options.highlighted >= options.option_count:
            return ""
        return options.get_option_at_index(options.highlighted).id or ""

    def _info(self) -> RunInfo | None:
        path = self.highlighted
        return next((info for info in self.rows if info.path == path), None)

    def _describe(self) -> None:
        line = self.query_one(Static)
        info = self._info()
        if self.runs.problem:
            text = self.runs.problem
        elif info is None:
            text = "No runs match." if self.rows else "No runs yet: F5 starts one." if self._looked else ""
        else:
            text = f"{info.model} on {info.dataset}" if info.model else Path(info.path).name
            if not info.live:
                then, today = time.localtime(info.updated), time.localtime()
                day = "" if then[:3] == today[:3] else time.strftime("%d %b ", then)
                text += f" · {info.reason}" if info.reason else ""
                text += f" · {day}{time.strftime('%H:%M:%S', then)}"  # no time that passes: it would be drawn anew
        text = clean(text)
        if str(line.content) != text:
            line.update(Content(text))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Tell about the row."""
        event.stop()
        self._describe()
        self.refresh_bindings()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Show the run."""
        event.stop()
        self.post_message(RunOpened(Path(event.option.id or "")))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with the row under the cursor."""
        if action in ("resume", "stop", "delete"):
            info = self._info() if self.is_mounted and self.query(OptionList) else None
            if info is None:
                return None
            if action == "resume":
                return True if info.state in ("stopped", "failed", "interrupted") else None
            return True if info.live == (action == "stop") else None
        return True

    def action_resume(self) -> None:
        """Go on with it."""
        self.post_message(RunResumeAsked(Path(self.highlighted)))

    def action_stop(self) -> None:
        """Stop it."""
        self.post_message(RunStopAsked(Path(self.highlighted)))

    def action_delete(self) -> None:
        """Remove it."""
        self.post_message(RunDeleteAsked(Path(self.highlighted)))

    def focus_inside(self) -> None:
        """The list."""
        self.query_one(OptionList).focus()
