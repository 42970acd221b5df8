"""The workbench of another machine's runs: the ordinary one, on a mirror, that tells how the link is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_gen.app.background import away
from tui_gen.app.steering.watching import FarSession
from tui_gen.app.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tui_gen.app.panes.asking import ForkAsked, RunsAsked
    from tui_gen.app.panes.compare.asking import CompareAsked
    from tui_gen.app.panes.queue.pane import QueueWorkAsked
    from tui_gen.app.steering.session import Session
    from tui_gen.remote.watcher import Watcher
    from tui_gen.view import RunView

QUIET = 1.0
"""Seconds without news of a run after which it is looked at less often."""
MOST_COMPARISONS = 8
"""Runs of a comparison that are kept up to date; of more, what is here is shown."""


class FarWorkbench(Workbench):
    """As the workbench, with the runs that a `watcher` mirrors."""

    WATCHING = True

    def __init__(self, watcher: Watcher, model_dirs: list[str] | None = None, **more: Any) -> None:
        super().__init__(watcher.root, model_dirs, **more)
        self.watcher, self._looking = watcher, more.get("open_run") is not None
        self.status.place = str(watcher.dialling.place)
        self._trouble = ""
        self._broken = False
        watcher.on_log = self._heard

    def make_session(self, root: Path, model_dirs: list[str]) -> Session:
        """The dealings with the mirrored runs."""
        from tui_gen import catalog

        return FarSession(self.watcher, model_dirs, catalog.read(model_dirs))

    async def furnish(self) -> None:
        """What the first frame did without; the list of runs first, unless one is to be shown."""
        if not self._looking:
            self.workspace.open("runs", focus=False)
        await super().furnish()
        if self.conductor.view is None:
            self.workspace.open("runs")

    def show_run(self, view: RunView | None) -> None:
        """Every pane shows this run from now on, or none; then there are the others to choose from."""
        layout = self.workspace.layout_name
        super().show_run(view)
        if view is None:
            self.workspace.use_layout(layout)
            self.workspace.open("runs")

    def _heard(self, run: str) -> None:
        """Something was added to a run's log, says the watcher's thread: who looks rarely, as it was quiet, looks now.
        """
        view = self.view
        if view is not None and view.path.name == run and self.follower.quiet_for > QUIET:
            self.call_later(self.follower.hurry)

    def beat(self, quiet_for: float) -> None:
        """About once a second: also, how the link is."""
        trouble = self.watcher.trouble
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble and not self._broken:
                self.notices.tell(f"{trouble}. What is shown stays, and runs go on.", "warning")
            elif not trouble:
                self.notices.tell(f"The link to {self.watcher.host} is back.")
            self._broken = bool(trouble)
            self.status.place_trouble = trouble
            self.status.update_text()
        if reading := self.watcher.reading:
            self.notices.say(reading)
        super().beat(quiet_for)

    @property
    def _far(self) -> FarSession:
        assert isinstance(self.session, FarSession)
        return self.session

    def _with_log(self, path: Path, then: Coroutine[Any, Any, Any]) -> None:
        """Do something with a run once all of it is here."""

        async def work() -> None:
            self.notices.say(f"reading {path.name} from {self.watcher.host}…")
            try:
                await away(self._far.fetch, path)
            except OSError as error:
                then.close()
                self.notices.tell(error.strerror or str(error), "error")
                return
            finally:
                self.notices.say("")
            await then

        self.run_worker(work(), exit_on_error=False)

    def action_export(self) -> None:
        """Ask how the run that is shown is to be exported, once its previews are here."""
        from tui_gen.app.steering.exporting import Exporter

        if (view := self.view) is not None:
            self._with_log(view.path, Exporter(self, self.conductor).ask(view.path))

    def on_runs_asked(self, message: RunsAsked) -> None:
        """Something is to be done with runs of the list; what is read of them is sent for first."""
        from tui_gen.app.steering.keeping import Keeper

        message.prevent_default()
        work = Keeper(self, self.conductor).do(message)
        if message.what in ("export", "note"):
            self._with_log(message.paths[0], work)
        else:
            self.run_worker(work, exit_on_error=False)

    def on_compare_asked(self, message: CompareAsked) -> None:
        """Runs are to be compared, once their logs are here."""
        message.prevent_default()
        self.run_worker(self._compare_runs(message), exit_on_error=False)

    async def _compare_runs(self, message: CompareAsked) -> None:
        from tui_gen.app.steering import comparing

        here = []
        for path in message.paths[:MOST_COMPARISONS]:
            self.notices.say(f"reading {path.name} from {self.watcher.host}…")
            try:
                await away(self._far.attach, path)
                here.append(path)
            except OSError as error:
                self.notices.tell(error.strerror or str(error), "error")
        self.notices.say("")
        if len(message.paths) > MOST_COMPARISONS:
            self.notices.tell(f"{MOST_COMPARISONS} runs of another machine are compared at once.", "warning")
        if here:
            comparing.show(self, here)

    def on_fork_asked(self, message: ForkAsked) -> None:
        """A run is to be forked: that is done where its checkpoints are."""
        message.prevent_default()
        self.notices.tell(self._far.no_fork(message.path), "warning")

    def on_queue_work_asked(self, message: QueueWorkAsked) -> None:
        """The queue is to be trained: that is a thing of this machine, and this is not its folder."""
        message.prevent_default()
        if not message.found:
            self.notices.tell(self._far.no_queue(), "warning")

    def action_roll_back(self) -> None:
        """Go back with the run shown: that is done where its checkpoints are."""
        if self.view is not None:
            self.notices.tell(self._far.no_rollback(self.view.path), "warning")
