"""What the workbench does with what a run has recorded: replays and exports, by keys, menus and the palette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui_gen.app.shell.replay_bar import playback_of
from tui_gen.speeds import USUAL

if TYPE_CHECKING:
    from tui_gen.app.shell.status import StatusBar
    from tui_gen.app.steering.conductor import Conductor
    from tui_gen.app.steering.follower import PaneFollower


class RecordActions:
    """A part of the workbench: the actions on what the run shown has recorded."""

    status: StatusBar
    conductor: Conductor
    follower: PaneFollower

    def paused_replay(self) -> bool:
        """Pause the replay that is shown, or let it go on; False where none is."""
        playing = playback_of(self.status.view)
        if playing is not None:
            playing.toggle()
            self._replay_told()
        return playing is not None

    def action_replay(self) -> None:
        """Play the run that is shown from its beginning."""
        view, app = self.status.view, self._app()
        if view is not None:
            app.run_worker(self.conductor.open(view.path, pace=USUAL), exit_on_error=False, group="open")

    def action_export(self) -> None:
        """Ask how the run that is shown is to be exported, and have that done."""
        from tui_gen.app.steering.exporting import Exporter

        view, app = self.status.view, self._app()
        if view is not None:
            app.run_worker(Exporter(app, self.conductor).ask(view.path), exit_on_error=False)

    def action_replay_speed(self, direction: int) -> None:
        """Play faster, or slower."""
        if (playing := playback_of(self.status.view)) is not None:
            playing.change_speed(direction)
            self._replay_told()

    def action_replay_jump(self, direction: int) -> None:
        """Go on, or back, by a part of the run."""
        if (playing := playback_of(self.status.view)) is not None:
            playing.jump_by(direction)
            self._replay_told()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether there is something to replay or to export, and a replay to change."""
        if action == "replay":
            return True if self.status.view is not None and not self.status.view.live else None
        if action == "export":
            return True if self.status.view is not None else None
        if action in ("replay_speed", "replay_jump"):
            return True if self.status.view is not None and self.status.view.replaying else None
        base: Any = super()
        return bool(base.check_action(action, parameters))

    def _replay_told(self) -> None:
        self.follower.hurry()
        self.status.update_text()
        self._app().refresh_bindings()

    def _app(self) -> Any:
        return self
