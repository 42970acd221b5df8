"""The Queue pane: what is trained one after another; moved, taken out, held, opened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static

from tui_gen import sweeps
from tui_gen.app.background import away
from tui_gen.app.panes.asking import RunOpened, RunsAsked
from tui_gen.app.panes.base import Belongings, Entry
from tui_gen.app.panes.compare.asking import CompareAsked
from tui_gen.app.panes.listing import ListPane
from tui_gen.app.panes.queue import rows
from tui_gen.queue import queueing
from tui_gen.queue.queue_view import QueueLook, QueueReader
from tui_gen.runs import RunError
from tui_gen.sweeps import SweepTable
from tui_gen.text import clean

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel

    from tui_gen.queue.queue_view import QueuePlace
    from tui_gen.view import RunView

OVERLAID = 8
"""Runs of a sweep whose curves are laid over each other, at most."""
AGAIN = 15
"""Beats after which the ends are predicted anew where the file is as it was."""


class QueueTold(Message):
    """Something was done to the queue, or could not be: words for a notice."""

    def __init__(self, words: str, severity: SeverityLevel = "information") -> None:
        super().__init__()
        self.words, self.severity = words, severity


class QueueSettingsAsked(Message):
    """The settings of an entry are wanted in the form."""

    def __init__(self, config: str, name: str) -> None:
        super().__init__()
        self.config, self.name = config, name


class QueueWorkAsked(Message):
    """What is in the queue is to be trained on this machine; `everything`, also what others added. Where nobody asked
    for it, `found` says that there was a queue when the workbench was opened.
    """

    def __init__(self, everything: bool = False, found: bool = False) -> None:
        super().__init__()
        self.everything, self.found = everything, found


class QueuePane(ListPane):
    """The queue of the runs folder. Looks at its file once a second while it is on screen."""

    HELP = """
## Queue

What is trained one after another on each device, whoever looks on; below it what waits, in its order, then what is
over. On the right how far it is and when it is expected to end: by its own pace, or by runs like it.

- **Shift+F5** adds what the form describes
- **Enter** shows the run of an entry; **c** copies its settings to the form
- **Shift+↑ ↓** (or **K J**) move what waits, **t** to the top
- **Delete** takes an entry out; **x** stops the one that is trained, with a checkpoint; **a** adds it once more
- **h** holds the queue: what is trained goes on, nothing more is begun; **h** again lets it go on
- **w** adds a sweep: the form's settings with several values for some; **v** compares what came of the sweep that an
  entry belongs to, the best first, with a `★`, and goes back; there **o** overlays the curves of the best
- **s** starts it where nobody trains it, as after a restart on another machine; **C** takes out all that is over

A run that fails stops nothing. One whose worker was killed is resumed. Runs that are not in the queue are waited for.
"""
    BINDINGS = [
        Binding("shift+up,K,shift+k", "move('up')", "Up", id="queue.up"),
        Binding("shift+down,J,shift+j", "move('down')", "Down", id="queue.down"),
        Binding("t", "move('top')", "To the top", id="queue.top"),
        Binding("h", "hold", "Hold", id="queue.hold"),
        Binding("v", "compare", "Results", id="queue.compare"),
        Binding("o", "overlay", "Overlay curves", id="queue.overlay"),
        Binding("w", "app.sweep", "Sweep", id="queue.sweep"),
        Binding("s", "start", "Start", id="queue.start"),
        Binding("x", "stop", "Stop", id="queue.stop"),
        Binding("a", "again", "Again", id="queue.again"),
        Binding("delete", "remove", "Take out", id="queue.remove"),
        Binding("c", "settings", "Its settings", show=False, id="queue.settings"),
        Binding("C,shift+c", "clear", "Take out what is over", show=False, id="queue.clear"),
    ]

    @classmethod
    def of(cls, belongings: Belongings, id: str) -> Self:
        """The queue of the workbench's folder."""
        return cls(belongings.root, id=id)

    def __init__(self, root: Path, *, id: str | None = "queue", classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.root = Path(root)
        self.reader = QueueReader(self.root)
        self.snapshot: QueueLook | None = None
        self.problem = ""
        self.group = ""
        """The sweep whose results are shown in place of the queue."""
        self.results: SweepTable | None = None
        self._compares = False
        self._stamp = (-1, 0, 0)
        self._beats = 0

    def compose(self) -> ComposeResult:
        """The list, and a line about the entry under the cursor."""
        yield OptionList()
        yield Static("", markup=False)

    async def on_mount(self) -> None:
        """What was left of the queue when this machine was restarted, say, goes on."""
        if queueing.file_of(self.root).exists():
            self.post_message(QueueWorkAsked(found=True))

    def beat(self, quiet_for: float) -> None:
        """About once a second on screen: look where the file changed, or something is trained."""
        self._beats += 1
        training = self.snapshot is not None and bool(self.snapshot.queue.of("running"))
        if training or queueing.stamp(self.root) != self._stamp or self._beats % AGAIN == 0:
            self.look()

    def runs_changed(self) -> None:
        """Some run was deleted, say."""
        if self.display:
            self.look()

    async def read(self) -> None:
        """The queue, and what came of the sweep that is asked about."""
        try:
            self._stamp = queueing.stamp(self.root)
            self.snapshot, self.problem = await away(self.reader.look), ""
            self.results = await away(self._results_of, self.snapshot, self.group) if self.group else None
        except RunError as error:
            self.problem = str(error)

    def _results_of(self, snapshot: QueueLook, group: str) -> SweepTable | None:
        table = sweeps.results(self.root, snapshot.queue, group)
        return table if table.results else None

    def list_anew(self) -> None:
        """Show the entries, or what came of a sweep; only what differs is drawn."""
        if not self.is_mounted or not self.query(OptionList) or self.snapshot is None:
            if self.problem:
                self._describe()
            return
        options = self.query_one(OptionList)
        width = max(20, options.size.width - 2)
        mark = self.view.path.name if self.view is not None else ""
        if self.results is not None:
            prompts = rows.result_rows(self.results, width, mark)
        else:
            prompts = {str(place.entry.id): rows.row(place, width, mark) for place in self.snapshot.places}
        is_other, self._compares = self._compares != (self.results is not None), self.results is not None
        before, at = ("", 0) if is_other and self._compares else (self.highlighted, options.highlighted or 0)
        self.put(prompts, before if before in prompts else at)
        waiting = len(self.snapshot.queue.of("waiting"))
        state = "held" if self.snapshot.queue.held else ""
        details = [self.results.group, self.results.metric] if self.results is not None else []
        self.set_title(" · ".join(filter(None, [*details, state])), f"{waiting} waiting" if waiting else "")
        self._describe()
        self.refresh_bindings()

    def show_run(self, view: RunView | None) -> None:
        """Mark the entry whose run is shown."""
        super().show_run(view)
        self.list_anew()

    @property
    def place(self) -> QueuePlace | None:
        """The entry under the cursor."""
        if self.snapshot is None or not self.is_mounted or not self.query(OptionList):
            return None
        id = self.highlighted
        return next((place for place in self.snapshot.places if str(place.entry.id) == id), None)

    def _describe(self) -> None:
        line = self.query_one(Static)
        text = rows.about(self.snapshot, self.place, self.problem, self.results)
        if str(line.content) != text:
            line.update(Content(text))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Tell about the entry."""
        event.stop()
        self._describe()
        self.refresh_bindings()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Show its run; where it has none yet, its settings are what there is of it."""
        event.stop()
        place = self.place
        if place is None:
            return
        path = place.entry.path(self.root)
        if path is not None and place.run_state:
            self.post_message(RunOpened(path))
        else:
            self.post_message(QueueTold(f"{place.entry.id} ({place.entry.name}) has not begun: c shows its settings."))

    def entries(self) -> Iterable[Entry]:
        """Every entry whose run can be shown."""
        for place in self.snapshot.places[:50] if self.snapshot is not None else ():
            path = place.entry.path(self.root)
            if path is not None and place.run_state:
                call = partial(self.post_message, RunOpened(path))
                name = clean(f"Open from the queue: {place.entry.id} {place.entry.name}")
                yield Entry(name, call, place.state, here=False)

    def label(self, words: str, action: str) -> str:
        """What holding it, or comparing, once more would do."""
        if action == "compare" and self.group:
            return "The queue"
        return "Let it go on" if action == "hold" and self.snapshot is not None and self.snapshot.queue.held else words

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with the entry under the cursor."""
        snapshot, place = self.snapshot, self.place
        state = place.entry.state if place is not None else ""
        able = {
            "move": state == "waiting" and not self.group,
            "overlay": len(self._paths()) > 1,
            "compare": bool(self.group) or bool(place is not None and place.entry.group),
            "hold": snapshot is not None and (bool(snapshot.places) or snapshot.queue.held),
            "start": snapshot is not None and bool(snapshot.standing and snapshot.queue.of("waiting")),
            "stop": state == "running",
            "again": bool(state) and place is not None and not place.entry.open,
            "remove": state not in ("", "running"),
            "settings": bool(state),
            "clear": snapshot is not None and any(not other.entry.open for other in snapshot.places),
        }
        return (able[action] or None) if action in able else True

    # -- what is done to it

    def _do(self, work: Callable[[], str], train: bool = False) -> None:
        """Change the file away from the UI's thread, say what came of it, and look again; `train` what is in it then.
        """
        self.run_worker(self._done(work, train), exit_on_error=False)

    async def _done(self, work: Callable[[], str], train: bool) -> None:
        try:
            if words := await away(work):
                self.post_message(QueueTold(words))
            if train:
                self.post_message(QueueWorkAsked())
        except RunError as error:
            self.post_message(QueueTold(str(error), "error"))
        self.look()

    def _with_id(self, work: Callable[[int], str], train: bool = False) -> None:
        if (place := self.place) is not None:
            self._do(partial(work, place.entry.id), train)

    def action_move(self, where: str) -> None:
        """Move it among what waits."""

        def move(id: int) -> str:
            queueing.move(self.root, id, where)
            return ""

        self._with_id(move)

    def action_compare(self) -> None:
        """Show what came of the sweep that an entry belongs to, or the queue again."""
        place = self.place
        self.group = "" if self.group or place is None else place.entry.group
        if not self.group:
            self.results = None
            self.list_anew()
        self.look()

    def _paths(self) -> list[Path]:
        """The runs of the sweep whose results are shown that have some, the best first; no more than can be compared.
        """
        results = self.results.results if self.results is not None else []
        paths = [result.path(self.root) for result in results if result.best is not None]
        return [path for path in paths if path is not None][:OVERLAID]

    def action_overlay(self) -> None:
        """Compare the best runs of the sweep: curves, settings, samples."""
        self.post_message(CompareAsked(self._paths()))

    def action_remove(self) -> None:
        """Take it out."""

        def remove(id: int) -> str:
            entries = queueing.remove(self.root, [id])
            return f"Taken out of the queue: {id} ({entries[0].name})."

        self._with_id(remove)

    def action_again(self) -> None:
        """Add it once more."""

        def again(id: int) -> str:
            entry = queueing.again(self.root, id)
            return f"Added once more, as {entry.id} ({entry.name})."

        self._with_id(again, train=True)

    def action_hold(self) -> None:
        """Begin nothing more, or go on."""
        on_hold = self.snapshot is not None and not self.snapshot.queue.held

        def hold() -> str:
            queueing.hold(self.root, on_hold)
            return "The queue is held: nothing more is begun." if on_hold else "The queue goes on."

        self._do(hold, train=not on_hold)

    def action_start(self) -> None:
        """Train it here."""
        if self.snapshot is not None and self.snapshot.queue.held:
            self.action_hold()
        else:
            self.post_message(QueueWorkAsked(everything=True))

    def action_stop(self) -> None:
        """Stop the run that is trained; the queue goes on with the next."""
        place = self.place
        path = place.entry.path(self.root) if place is not None else None
        if path is not None:
            self.post_message(RunsAsked("stop", [path]))

    def action_settings(self) -> None:
        """Copy its settings to the form."""
        if (place := self.place) is not None:
            self.post_message(QueueSettingsAsked(place.entry.config, place.entry.name))

    def action_clear(self) -> None:
        """Take out all that is over."""

        def clear() -> str:
            count = queueing.clear(self.root)
            return f"Taken out of the queue: {count} that {'is' if count == 1 else 'are'} over."

        self._do(clear)

    def focus_inside(self) -> None:
        self.query_one(OptionList).focus()
