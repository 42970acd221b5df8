"""What the workbench does with the run shown, and with runs that panes name: by keys, menus, and what panes ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tui_gen.app.steering import comparing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tui_gen.app.panes.asking import RunOpened, RunResumeAsked, RunsAsked
    from tui_gen.app.panes.compare.asking import CompareAsked
    from tui_gen.app.panes.form.pane import LiveEditAsked
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.steering.conductor import Conductor


class RunActions:
    """The actions that steer runs. The conductor decides; here only stands who is asked.

    `paused_replay` pauses the replay that is shown, or lets it go on, and says whether there is one.
    """

    def __init__(self, stage: Stage, conductor: Conductor, paused_replay: Callable[[], bool]) -> None:
        self.stage, self.conductor, self.paused_replay = stage, conductor, paused_replay

    def action_pause(self) -> None:
        """Pause the run shown, or let it go on."""
        view = self.conductor.view
        if view is not None and not self.paused_replay():
            self.action_ask("resume" if view.state == "paused" else "pause")

    def action_ask(self, op: str) -> None:
        """A request to the run shown."""
        self.stage.run_worker(self.conductor.ask(op), exit_on_error=False)

    def action_stop(self) -> None:
        """Stop the run shown, with a checkpoint; or a replay of it."""
        view = self.conductor.view
        if view is not None and view.replaying:
            return self.open(view.path)
        self.stage.run_worker(self.conductor.stop(), exit_on_error=False)

    def action_resume(self) -> None:
        """Go on with the run shown."""
        if self.conductor.view is not None:
            self.stage.run_worker(self.conductor.resume(self.conductor.view.path), exit_on_error=False)

    def action_roll_back(self) -> None:
        """Go back with the run shown, after a question."""
        from tui_gen.app.steering import going_back

        self.stage.run_worker(going_back.ask(self.conductor), exit_on_error=False)

    def action_close_run(self) -> None:
        """Show no run."""
        self.conductor.close_shown()

    def open(self, path: str | Path) -> None:
        """Show a run."""
        self.stage.run_worker(self.conductor.open(Path(path)), exit_on_error=False, group="open", exclusive=True)

    def on_run_opened(self, message: RunOpened) -> None:
        """A run is to be shown."""
        self.open(message.path)

    def on_run_resume_asked(self, message: RunResumeAsked) -> None:
        """A run is to go on."""
        self.stage.run_worker(self.conductor.resume(message.path), exit_on_error=False)

    def on_runs_asked(self, message: RunsAsked) -> None:
        """Something is to be done with runs of the list."""
        from tui_gen.app.steering.keeping import Keeper

        self.stage.run_worker(Keeper(self.stage, self.conductor).do(message), exit_on_error=False)

    def on_compare_asked(self, message: CompareAsked) -> None:
        """Runs are to be compared."""
        comparing.show(self.stage, message.paths)

    def on_live_edit_asked(self, message: LiveEditAsked) -> None:
        """A live value is to change."""
        self.stage.run_worker(self.conductor.edit(message.key, message.value), exit_on_error=False)

    def on_models_wanted(self) -> None:
        """The model files that the run shown names are to be read."""
        self.stage.run_worker(self.conductor.use_models(), exit_on_error=False)
