"""The panes come in after the first frame: at once what somebody came for, then what else is on screen, then the rest.

Panes that nobody sees wait until the log is read and drawn, or somebody presses a key, and are put in their places
without a paint: opening a run takes as long as what is seen of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

from tui_gen.app.background import away
from tui_gen.app.panes.base import Belongings, Pane, class_of, make
from tui_gen.app.panes.registry import PANES, row
from tui_gen.app.shell import arrangement, empty_frames, keys
from tui_gen.app.shell.settings import read_keys
from tui_gen.app.steering import comparing
from tui_gen.app.terminal.private import lay_out

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from textual.geometry import Region

    from tui_gen.app.first_look import FirstLook
    from tui_gen.app.panes.losses.pane import LossesPane
    from tui_gen.app.shell.settings import Settings
    from tui_gen.app.shell.stage import Controls, Stage
    from tui_gen.app.steering.form_actions import FormActions
    from tui_gen.app.steering.local import Crew, LocalRuns
    from tui_gen.app.terminal.app import TerminalApp
    from tui_gen.speeds import Pace

LONG = 0.5
"""Seconds after which empty panes are shown rather than nothing."""
ON_ITS_WAY = 0.02
"""Seconds in which a frame goes out before anything else begins: a thread writes it, and waits for its turn each time
where others import and read."""
LONGEST = 2.0
"""Seconds that panes off the screen wait for a long log to be read, and curves for the panes around them."""


class Furnishing:
    """Brings the panes into a workbench: into `app`, the `stage` of those who deal with runs, with keys as `controls`.

    With a `run` to show, that is the pane that it is looked at in, or all on screen where there was a first `look` at
    it; else those in which one is put together or opened. The others follow when these are drawn. `crew` and
    `form_actions` deal with runs and with the form.
    """

    crew: Crew
    form_actions: FormActions

    def __init__(
        self, app: TerminalApp, stage: Stage, controls: Controls, run: Path | None, look: FirstLook | None
    ) -> None:
        self.app, self.stage, self.controls, self.run, self.look = app, stage, controls, run, look
        self.looking = run is not None
        """Whether the workbench was opened to look at a run."""
        self._batch = contextlib.ExitStack()
        self._panes: dict[str, Pane] = {}
        self._curves_at: Region | None = None
        """Where the curves of the run that was opened were in the first frame."""

    def pane(self, name: str) -> Pane | None:
        """A pane by its id, once it is in its place."""
        return self._panes.get(name)

    def hold(self) -> None:
        """Paint nothing before the run is there that is to be looked at, unless that takes long: its first frame then
        is not behind one of empty panes, which is as large.
        """
        self._batch.enter_context(self.app.batch_update())
        self.app.set_timer(LONGEST if self._looked else LONG, self._batch.close)

    async def begin(self, runs: LocalRuns, replay: Pace | None) -> None:
        """What the first frame did without, and is seen first: the panes on screen, and the run."""
        workspace, conductor = self.stage.workspace, self.crew.conductor
        runs.before_panes(self.stage, self.crew, self.looking)
        with contextlib.nullcontext() if self.looking else self.app.batch_update():
            if self.run is not None:  # before the panes: they would be drawn once without it
                await conductor.open(self.run, pace=replay)
            for frame in self._first(self.looking):
                await self._bring_in(frame)
            workspace.rearrange()
            here = workspace.active
            if self.app.focused is None and here is not None and not self._frames([here]):
                here.focus_inside()
            if conductor.view is not None:
                self._draw_at_once()
                self._curves_at = self._place_of_curves()
            elif self.run is not None:
                workspace.use_layout(arrangement.EDIT)
        self.app.call_later(self._batch.close)  # after what gives the focus, so that the first frame shows it
        runs.after_panes(self.stage)

    def _first(self, looking: bool) -> list[Pane]:
        """The panes on screen that come first: where a run is to be looked at, the one that this is done in; else those
        that show no run, and need no numpy. All, where there is none of these, or somebody sees the curves already.
        """
        shown, watched = self.stage.workspace.on_screen, self.stage.workspace.run_pane
        if self._looked:
            return shown
        idle = {place.id for place in PANES if not place.watches}
        first = [pane for pane in shown if (pane.id == watched if looking else pane.id in idle)]
        return first or shown

    def _draw_at_once(self) -> None:
        """Have the first frame with the run hold its curves: plots find out their places in one layout after another.
        """
        for _ in range(2):
            lay_out(self.app.screen)
            for pane in self.stage.workspace.on_screen:
                pane.draw_now()

    @property
    def _looked(self) -> bool:
        """Whether somebody sees curves already."""
        return self.look is not None and self.look.drawn

    @property
    def _losses(self) -> LossesPane | None:
        return cast("LossesPane | None", self.pane("losses"))

    def _place_of_curves(self) -> Region | None:
        losses = self._losses
        return losses.grid.region if losses is not None and losses in self.stage.workspace.on_screen else None

    def _remember_curves(self) -> None:
        """For a first look the next time."""
        look, losses = self.look, self._losses
        if look is not None and losses is not None and self._curves_at:
            from tui_gen.app.shell.look_memory import seen

            look.remember(self.app.size, seen(self.app, losses, self._curves_at))

    async def go_on(self, beat: Callable[[float], None]) -> None:
        """The other panes on screen; once there is time, those that are not. About once a second there is a `beat`."""
        workspace, crew = self.stage.workspace, self.crew
        painted = asyncio.Event()
        self.app.call_after_refresh(painted.set)
        await painted.wait()
        await asyncio.sleep(ON_ITS_WAY)
        crew.follower.run(beat)
        if not self.looking:
            self.stage.run_worker(crew.stock.begin(looking=False), exit_on_error=False)
        await self._imported(frames := self._frames(workspace.on_screen))
        with self.app.batch_update():
            for frame in frames:
                await self._bring_in(frame)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(crew.follower.at_rest.wait(), LONGEST)
        if self.looking:
            await crew.stock.take_kept()
        while frames := self._frames(workspace.on_screen) or self._frames(workspace.panes):
            await self._imported(frames[:1])
            await self._bring_in(frames[0])
        if self.looking:
            self.stage.run_worker(crew.stock.begin(looking=True), exit_on_error=False)

    async def finish(self, settings: Settings, compare: Sequence[Path]) -> None:
        """What needs all panes: runs to compare, the config of the one shown, the user's keys; and what went wrong."""
        from tui_gen import runs

        stage, session = self.stage, self.crew.session
        if compare:
            comparing.show(stage, compare)
        if stage.view is not None:
            await self.crew.conductor.show_config()
        if stage.models is not None:
            empty_frames.remember(stage.models.first_rows())
        self._remember_curves()
        keymap, key_problems = read_keys({binding.id for binding in keys.all_bindings(self.controls) if binding.id})
        if keymap:
            self.app.set_keymap(keys.given_way(self.controls, keymap))
            key_problems += keys.clashes(self.controls, keymap)
        for problem in ["\n".join(key_problems), settings.problem, runs.unwritable(session.root)]:
            if problem:
                stage.notices.tell(problem, "warning")
        stage.themes.complete()
        if stage.themes.problems:
            stage.notices.tell("Themes that could not be read:\n" + "\n".join(stage.themes.problems), "warning")
        for problem in session.catalog.problems:
            stage.notices.note("warning", problem)

    @staticmethod
    def _frames(panes: Sequence[Pane]) -> list[Pane]:
        """Those that are still empty."""
        return [pane for pane in panes if isinstance(pane, empty_frames.EmptyFrame)]

    @staticmethod
    async def _imported(frames: Sequence[Pane]) -> None:
        """Import the classes of panes in a thread: meanwhile keys are answered, and what is read comes on screen."""
        for frame in frames:
            if (place := row(frame.id)) is not None:
                await away(class_of, place)

    async def _bring_in(self, frame: Pane) -> None:
        """Put a pane in the place of its empty frame."""
        place, workspace = row(frame.id), self.stage.workspace
        assert place is not None
        pane = make(place, Belongings(self.crew.session.catalog, self.crew.session.root))
        pane.display = frame.display
        await frame.remove()
        await workspace.mount(pane)
        self._panes[place.id] = pane
        self.crew.follower.introduce(pane)
        self.form_actions.on_form_changed()  # it may have told of its recipe before it was known here
        pane.show_card(self.form_actions.card)
        if self.app.focused is None and workspace.last_pane == pane.id and pane.display:
            pane.focus_inside()
