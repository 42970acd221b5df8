"""What the workbench does with what a run has recorded: replays and exports, by keys, menus and the palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_gen.app.shell.replay_bar import playback_of
from tui_gen.speeds import USUAL

if TYPE_CHECKING:
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.steering.conductor import Conductor
    from tui_gen.app.steering.follower import PaneFollower
    from tui_gen.view import RunView


RECORDED = ("replay", "export", "replay_speed", "replay_jump")
"""Actions on what the run that is shown has recorded."""


def replayable(view: RunView | None, action: str) -> bool | None:
    """Whether an action of `RECORDED` can be done now to this run; None for no, as Textual has it."""
    if action == "replay":
        return True if view is not None and not view.live else None
    if action == "export":
        return True if view is not None else None
    return True if view is not None and view.replaying else None


class RecordActions:
    """The actions on what the run shown has recorded."""

    def __init__(self, stage: Stage, conductor: Conductor, follower: PaneFollower) -> None:
        self.stage, self.conductor, self.follower = stage, conductor, follower

    def paused_replay(self) -> bool:
        """Pause the replay that is shown, or let it go on; False where none is."""
        playing = playback_of(self.stage.view)
        if playing is not None:
            playing.toggle()
            self._replay_told()
        return playing is not None

    def action_replay(self) -> None:
        """Play the run that is shown from its beginning."""
        view = self.stage.view
        if view is not None:
            self.stage.run_worker(self.conductor.open(view.path, pace=USUAL), exit_on_error=False, group="open")

    def action_export(self) -> None:
        """Ask how the run that is shown is to be exported, and have that done."""
        from tui_gen.app.steering.exporting import Exporter

        view = self.stage.view
        if view is not None:
            self.stage.run_worker(Exporter(self.stage, self.conductor).ask(view.path), exit_on_error=False)

    def action_replay_speed(self, direction: int) -> None:
        """Play faster, or slower."""
        if (playing := playback_of(self.stage.view)) is not None:
            playing.change_speed(direction)
            self._replay_told()

    def action_replay_jump(self, direction: int) -> None:
        """Go on, or back, by a part of the run."""
        if (playing := playback_of(self.stage.view)) is not None:
            playing.jump_by(direction)
            self._replay_told()

    def _replay_told(self) -> None:
        self.follower.hurry()
        self.stage.status.update_text()
        self.stage.refresh_bindings()
