"""What the workbench is made of for another machine's runs: they are mirrored, and it is told how the link is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tui_gen.app.background import away
from tui_gen.app.steering.far_session import FarSession
from tui_gen.app.steering.forker import Forker
from tui_gen.app.steering.form_actions import FormActions
from tui_gen.app.steering.local import LocalRuns, Parts
from tui_gen.app.steering.queue_keeper import QueueKeeper
from tui_gen.app.steering.replaying import RecordActions
from tui_gen.app.steering.run_actions import RunActions

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from tui_gen.app.panes.asking import ForkAsked, RunsAsked
    from tui_gen.app.panes.compare.asking import CompareAsked
    from tui_gen.app.panes.queue.pane import QueueWorkAsked
    from tui_gen.app.shell.settings import Settings
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.steering.conductor import Conductor
    from tui_gen.app.steering.follower import PaneFollower
    from tui_gen.app.steering.local import Crew
    from tui_gen.remote.watcher import Watcher

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


class FarRuns(LocalRuns):
    """The runs that a `watcher` mirrors, and what a workbench is made of for them."""

    watching = True

    def __init__(self, watcher: Watcher, model_dirs: list[str] | None = None) -> None:
        super().__init__(watcher.root, list(model_dirs or []))
        self.watcher = watcher
        self.place = str(watcher.dialling.place)
        self._trouble = ""
        self._broken = False

    def session(self, checked: bool) -> FarSession:
        """The dealings with the mirrored runs."""
        from tui_gen import catalog

        return FarSession(self.watcher, self.model_dirs, catalog.read(self.model_dirs, checked=checked))

    def parts(self, stage: Stage, crew: Crew, settings: Settings) -> Parts:
        """As here, with what is read of a run sent for first, and what needs its own machine refused."""
        assert isinstance(crew.session, FarSession)
        fetching = Fetching(stage, crew.session, self.watcher.host)
        records = FarRecordActions(stage, crew.conductor, crew.follower, fetching)
        return Parts(
            records,
            FarRunActions(stage, crew.conductor, records.paused_replay, fetching),
            FormActions(stage, crew.session, crew.stock),
            FarQueueKeeper(stage, crew.session, crew.conductor, settings),
            FarForker(stage, crew.session, crew.conductor),
        )

    def before_panes(self, stage: Stage, crew: Crew, looking: bool) -> None:
        """The list of runs comes first, unless one is to be shown."""

        def hear(run: str) -> None:
            """Something was added to a run's log, says the watcher's thread: who looks rarely, as it was quiet, looks
            now.
            """
            view = stage.view
            if view is not None and view.path.name == run and crew.follower.quiet_for > QUIET:
                stage.call_later(crew.follower.hurry)

        self.watcher.on_log = hear
        if not looking:
            stage.workspace.open("runs", focus=False)

    def after_panes(self, stage: Stage) -> None:
        """Where no run is shown, there are those to choose from."""
        if stage.view is None:
            stage.workspace.open("runs")

    def none_shown(self, stage: Stage) -> None:
        """There are the others to choose from."""
        stage.workspace.open("runs")

    def beat(self, stage: Stage) -> None:
        """About once a second: how the link is."""
        trouble = self.watcher.trouble
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble and not self._broken:
                stage.notices.tell(f"{trouble}. What is shown stays, and runs go on.", "warning")
            elif not trouble:
                stage.notices.tell(f"The link to {self.watcher.host} is back.")
            self._broken = bool(trouble)
            stage.status.place_trouble = trouble
            stage.status.update_text()
        if reading := self.watcher.reading:
            stage.notices.say(reading)
