"""Whose runs a workbench deals with, and who does it: those of this machine. `app/far_runs.py` has another's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tui_gen.app.shell import arrangement
from tui_gen.app.steering.forker import Forker
from tui_gen.app.steering.form_actions import FormActions
from tui_gen.app.steering.queue_keeper import QueueKeeper
from tui_gen.app.steering.replaying import RecordActions
from tui_gen.app.steering.run_actions import RunActions

if TYPE_CHECKING:
    from pathlib import Path

    from tui_gen.app.shell.settings import Settings
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.steering.conductor import Conductor
    from tui_gen.app.steering.follower import PaneFollower
    from tui_gen.app.steering.session import Session
    from tui_gen.app.steering.stock import Stock


class Crew(NamedTuple):
    """Those who deal with runs in the workbench's place."""

    session: Session
    stock: Stock
    conductor: Conductor
    follower: PaneFollower


class Parts(NamedTuple):
    """What keys, menus and panes ask for, one a subject."""

    record_actions: RecordActions
    run_actions: RunActions
    form_actions: FormActions
    queue_keeper: QueueKeeper
    forker: Forker


class LocalRuns:
    """The runs in a folder of this machine, and what a workbench is made of for them."""

    place = ""
    """Where the runs are, as the status bar says it: nothing, on this machine."""
    watching = False
    """Whether a workbench begins without the panes in which a run is put together."""

    def __init__(self, root: Path, model_dirs: list[str]) -> None:
        self.root, self.model_dirs = root, model_dirs

    def session(self, checked: bool) -> Session:
        """The dealings with the runs; with `checked`, the catalogue is compared with the models' files first."""
        from tui_gen import catalog
        from tui_gen.app.steering.session import Session

        return Session(self.root, self.model_dirs, catalog.read(self.model_dirs, checked=checked))

    def parts(self, stage: Stage, crew: Crew, settings: Settings) -> Parts:
        """Those who do what is asked for."""
        records = RecordActions(stage, crew.conductor, crew.follower)
        return Parts(
            records,
            RunActions(stage, crew.conductor, records.paused_replay),
            FormActions(stage, crew.session, crew.stock),
            QueueKeeper(stage, crew.session, crew.conductor, settings),
            Forker(stage, crew.session, crew.conductor),
        )

    def before_panes(self, stage: Stage, crew: Crew, looking: bool) -> None:
        """The panes are about to come in: those on screen first."""

    def after_panes(self, stage: Stage) -> None:
        """Those on screen that come first are there, with the run that was to be shown, if any."""

    def none_shown(self, stage: Stage) -> None:
        """No run is shown any more: have on screen what one goes on with."""
        if stage.workspace.layout_name == "watch":
            stage.workspace.use_layout(arrangement.EDIT)

    def beat(self, stage: Stage) -> None:
        """About once a second."""
