"""The workbench of another machine's runs: the ordinary one, on a mirror, that tells how the link is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_gen.app.background import away
from tui_gen.app.steering.forker import Forker
from tui_gen.app.steering.queue_keeper import QueueKeeper
from tui_gen.app.steering.replaying import RecordActions
from tui_gen.app.steering.run_actions import RunActions
from tui_gen.app.steering.watching import FarSession
from tui_gen.app.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from tui_gen.app.panes.asking import ForkAsked, RunsAsked
    from tui_gen.app.panes.compare.asking import CompareAsked
    from tui_gen.app.panes.queue.pane import QueueWorkAsked
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.steering.conductor import Conductor
    from tui_gen.app.steering.follower import PaneFollower
    from tui_gen.app.steering.session import Session
    from tui_gen.remote.watcher import Watcher
    from tui_gen.view import RunView

QUIET = 1.0
"""Seconds without news of a run after which it is looked at less often."""
MOST_COMPARISONS = 8
"""Runs of a comparison that are kept up to date; of more, what is here is shown."""


class Fetching:
    """Sends for what is read of runs."""

    def __init__(self, stage: Stage, session: FarSession, host: str) -> None:
        self.stage, self.session, self.host = stage, session, host

    def with_log(self, path: Path, then: Coroutine[Any, Any, Any]) -> None:
        """Do something with a run once all of it is here."""

        async def work() -> None:
            self.stage.notices.say(f"reading {path.name} from {self.host}…")
            try:
                await away(self.session.fetch, path)
            except OSError as error:
                then.close()
                self.stage.notices.tell(error.strerror or str(error), "error")
                return
            finally:
                self.stage.notices.say("")
            await then

        self.stage.run_worker(work(), exit_on_error=False)

    async def logs(self, paths: Sequence[Path]) -> list[Path]:
        """Those of some runs of which the log is here now, and kept up to date."""
        here = []
        for path in paths:
            self.stage.notices.say(f"reading {path.name} from {self.host}…")
            try:
                await away(self.session.attach, path)
                here.append(path)
            except OSError as error:
                self.stage.notices.tell(error.strerror or str(error), "error")
        self.stage.notices.say("")
        return here


class FarRecordActions(RecordActions):
    """As here, with the previews sent for."""

    def __init__(self, stage: Stage, conductor: Conductor, follower: PaneFollower, fetching: Fetching) -> None:
        super().__init__(stage, conductor, follower)
        self.fetching = fetching

    def action_export(self) -> None:
        """Ask how the run that is shown is to be exported, once its previews are here."""
        from tui_gen.app.steering.exporting import Exporter

        if (view := self.stage.view) is not None:
            self.fetching.with_log(view.path, Exporter(self.stage, self.conductor).ask(view.path))


class FarRunActions(RunActions):
    """As here, with what is read sent for, and what needs checkpoints refused."""

    def __init__(
        self, stage: Stage, conductor: Conductor, paused_replay: Callable[[], bool], fetching: Fetching
    ) -> None:
        super().__init__(stage, conductor, paused_replay)
        self.fetching = fetching

    def on_runs_asked(self, message: RunsAsked) -> None:
        """Something is to be done with runs of the list; what is read of them is sent for first."""
        from tui_gen.app.steering.keeping import Keeper

        work = Keeper(self.stage, self.conductor).do(message)
        if message.what in ("export", "note"):
            self.fetching.with_log(message.paths[0], work)
        else:
            self.stage.run_worker(work, exit_on_error=False)

    def on_compare_asked(self, message: CompareAsked) -> None:
        """Runs are to be compared, once their logs are here."""
        self.stage.run_worker(self._compare_runs(message.paths), exit_on_error=False)

    async def _compare_runs(self, paths: Sequence[Path]) -> None:
        from tui_gen.app.steering import comparing

        here = await self.fetching.logs(paths[:MOST_COMPARISONS])
        if len(paths) > MOST_COMPARISONS:
            self.stage.notices.tell(f"{MOST_COMPARISONS} runs of another machine are compared at once.", "warning")
        if here:
            comparing.show(self.stage, here)

    def action_roll_back(self) -> None:
        """Go back with the run shown: that is done where its checkpoints are."""
        if (view := self.stage.view) is not None:
            self.stage.notices.tell(self.fetching.session.no_rollback(view.path), "warning")


class FarForker(Forker):
    """Says that runs are forked where their checkpoints are."""

    session: FarSession

    def on_fork_asked(self, message: ForkAsked) -> None:
        """A run is to be forked."""
        self.stage.notices.tell(self.session.no_fork(message.path), "warning")


class FarQueueKeeper(QueueKeeper):
    """Says that a queue is trained on its own machine: this is not its folder."""

    session: FarSession

    def on_queue_work_asked(self, message: QueueWorkAsked) -> None:
        """The queue is to be trained."""
        if not message.found:
            self.stage.notices.tell(self.session.no_queue(), "warning")


class FarWorkbench(Workbench):
    """As the workbench, with the runs that a `watcher` mirrors."""

    WATCHING = True

    def __init__(self, watcher: Watcher, model_dirs: list[str] | None = None, **more: Any) -> None:
        super().__init__(watcher.root, model_dirs, **more)
        self.watcher = watcher
        self.status.place = str(watcher.dialling.place)
        self._trouble = ""
        self._broken = False
        watcher.on_log = self._heard

    def make_session(self, root: Path, model_dirs: list[str]) -> Session:
        """The dealings with the mirrored runs."""
        from tui_gen import catalog

        return FarSession(self.watcher, model_dirs, catalog.read(model_dirs, checked=not self.looking))

    def make_parts(self) -> None:
        """As here, with what is read of a run sent for first, and what needs its own machine refused."""
        super().make_parts()
        assert isinstance(self.session, FarSession)
        fetching = Fetching(self, self.session, self.watcher.host)
        self.record_actions = FarRecordActions(self, self.conductor, self.follower, fetching)
        self.run_actions = FarRunActions(self, self.conductor, self.record_actions.paused_replay, fetching)
        self.queue_keeper = FarQueueKeeper(self, self.session, self.conductor, self.settings)
        self.forker = FarForker(self, self.session, self.conductor)

    async def furnish(self) -> None:
        """What the first frame did without; the list of runs first, unless one is to be shown."""
        if not self.looking:
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
