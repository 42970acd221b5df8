"""The panes come in after the first frame: at once what somebody came for, then what else is on screen, then the rest.

Panes that nobody sees wait until the log is read and drawn, or somebody presses a key, and are put in their places
without a paint: opening a run takes as long as what is seen of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from typing import TYPE_CHECKING, cast

from tui_gen.app.background import away
from tui_gen.app.panes.base import Belongings, Pane, class_of, make
from tui_gen.app.panes.registry import PANES, row
from tui_gen.app.shell import arrangement, keys, placeholders
from tui_gen.app.shell.settings import read_keys
from tui_gen.app.steering import comparing
from tui_gen.app.terminal.app import TerminalApp
from tui_gen.app.terminal.private import lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tui_gen.app.panes.form.pane import FormPane
    from tui_gen.app.panes.models import ModelsPane
    from tui_gen.app.panes.samples.pane import SamplesPane
    from tui_gen.app.shell.notices import Notices
    from tui_gen.app.shell.settings import Settings
    from tui_gen.app.shell.stage import Stage
    from tui_gen.app.shell.status import StatusBar
    from tui_gen.app.shell.themes import Themes
    from tui_gen.app.shell.workspace import Workspace
    from tui_gen.app.steering.announcing import Announcer
    from tui_gen.app.steering.conductor import Conductor
    from tui_gen.app.steering.follower import PaneFollower
    from tui_gen.app.steering.form_actions import FormActions
    from tui_gen.app.steering.session import Session
    from tui_gen.app.steering.stock import Stock
    from tui_gen.app.terminal.pacing import Pacer
    from tui_gen.speeds import Pace

LONG = 0.5
"""Seconds after which empty panes are shown rather than nothing."""
LONGEST = 2.0
"""Seconds that panes off the screen wait for a long log to be read."""


class Furnishing(TerminalApp):
    """A part of the workbench: how its panes come to be there."""

    status: StatusBar
    themes: Themes
    settings: Settings
    workspace: Workspace
    notices: Notices
    pacer: Pacer
    session: Session
    form_actions: FormActions
    announcer: Announcer | None = None
    """Who calls somebody; some moments after the first frame."""
    stock: Stock
    conductor: Conductor
    follower: PaneFollower
    form: FormPane | None
    models: ModelsPane | None
    samples: SamplesPane | None
    complete: bool
    looking: bool
    _given: tuple[Path, list[str], Path | None, Pace | None]
    _compare: Sequence[Path]
    _held: contextlib.ExitStack
    _furnished: bool

    if TYPE_CHECKING:  # the workbench's own

        def make_parts(self) -> None: ...

        def show_newcomers_around(self) -> None: ...

        def beat(self, quiet_for: float) -> None: ...

    def hold(self) -> None:
        """Paint nothing before the run is there that is to be looked at, unless that takes long: its first frame then
        is not behind one of empty panes, which is as large.
        """
        self._held.enter_context(self.batch_update())
        self.set_timer(LONG, self._held.close)

    def make_session(self, root: Path, model_dirs: list[str]) -> Session:
        """The dealings with the runs in a folder."""
        from tui_gen import catalog
        from tui_gen.app.steering.session import Session

        return Session(root, model_dirs, catalog.read(model_dirs, checked=not self.looking))

    async def furnish(self) -> None:
        """What the first frame did without: the catalogue, the dealings with runs, the panes on screen.

        With a run to show, that is the one that it is looked at in, else those in which one is put together or opened;
        the others follow when these are drawn.
        """
        from tui_gen.app.steering.conductor import Conductor
        from tui_gen.app.steering.follower import PaneFollower
        from tui_gen.app.steering.stock import Stock

        root, model_dirs, open_run, replay = self._given
        self.session = self.make_session(root, model_dirs)
        stage = cast("Stage", self)
        self.stock = Stock(stage, self.session)
        self.conductor = Conductor(stage, self.session)
        conductor, faulty = self.conductor, self.notices.fault_in
        self.follower = PaneFollower(
            self.workspace, self.status, self.wire, self.pacer, conductor.state_changed, faulty, conductor.all_read
        )
        self.make_parts()
        self._furnished = True
        if open_run is None:
            self.run_worker(self.stock.begin(looking=False), exit_on_error=False)
        with contextlib.nullcontext() if self.looking else self.batch_update():
            for frame in self._first(open_run is not None):
                await self._bring_in(frame)
            self.workspace.rearrange()
            here = self.workspace.active
            if self.focused is None and here is not None and not self._frames([here]):
                here.focus_inside()
            if open_run is not None:
                await self.conductor.open(open_run, pace=replay)
                if self.conductor.view is None:
                    self.workspace.use_layout(arrangement.EDIT)
                else:
                    self._draw_at_once()
        self._held.close()

    def _first(self, looking: bool) -> list[Pane]:
        """The panes on screen that come first: where a run is to be looked at, the one that this is done in; else those
        that show no run, and need no numpy. All, where there is none of these.
        """
        shown, watched = self.workspace.on_screen, self.workspace.run_pane
        idle = {place.id for place in PANES if not place.watches}
        first = [pane for pane in shown if (pane.id == watched if looking else pane.id in idle)]
        return first or shown

    def _draw_at_once(self) -> None:
        """Have the first frame with the run hold its curves: plots find out their places in one layout after another.
        """
        for _ in range(2):
            lay_out(self.screen)
            for pane in self.workspace.on_screen:
                pane.draw_now()

    async def furnish_rest(self) -> None:
        """The other panes on screen; once there is time, those that are not; and what needs all of them."""
        from tui_gen import runs

        painted = asyncio.Event()
        self.call_after_refresh(painted.set)
        await painted.wait()
        self.follower.run(self.beat)
        await self._imported(frames := self._frames(self.workspace.on_screen))
        with self.batch_update():
            for frame in frames:
                await self._bring_in(frame)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.follower.at_rest.wait(), LONGEST)
        if self.looking:
            await self.stock.take_kept()
        while frames := self._frames(self.workspace.on_screen) or self._frames(self.workspace.panes):
            await self._imported(frames[:1])
            await self._bring_in(frames[0])
        if self.looking:
            self.run_worker(self.stock.begin(looking=True), exit_on_error=False)
        stage = cast("Stage", self)
        if self._compare:
            comparing.show(stage, self._compare)
        if self.conductor.view is not None:
            await self.conductor.show_config()
        if self.models is not None:
            placeholders.remember(self.models.first_rows())
        keymap, key_problems = read_keys({binding.id for binding in keys.all_bindings(stage) if binding.id})
        if keymap:
            self.set_keymap(keys.given_way(stage, keymap))
        for problem in [*key_problems, self.settings.problem, runs.unwritable(self.session.root)]:
            if problem:
                self.notices.tell(problem, "warning")
        if self.themes.problems:
            self.notices.tell("Themes that could not be read:\n" + "\n".join(self.themes.problems), "warning")
        for problem in self.session.catalog.problems:
            self.notices.note("warning", problem)
        self.show_newcomers_around()
        announcing = await away(importlib.import_module, "tui_gen.app.steering.announcing")  # it needs numpy
        self.announcer = announcing.Announcer(self, self.notices)
        self.complete = True

    @staticmethod
    def _frames(panes: Sequence[Pane]) -> list[Pane]:
        """Those that are still empty."""
        return [pane for pane in panes if isinstance(pane, placeholders.EmptyFrame)]

    @staticmethod
    async def _imported(frames: Sequence[Pane]) -> None:
        """Import the classes of panes in a thread: meanwhile keys are answered, and what is read comes on screen."""
        for frame in frames:
            if (place := row(frame.id)) is not None:
                await away(class_of, place)

    async def _bring_in(self, frame: Pane) -> None:
        """Put a pane in the place of its empty frame."""
        place = row(frame.id)
        assert place is not None
        pane = make(place, Belongings(self.session.catalog, self.session.root))
        pane.display = frame.display
        await frame.remove()
        await self.workspace.mount(pane)
        match pane.id:
            case "form":
                self.form = cast("FormPane", pane)
            case "models":
                self.models = cast("ModelsPane", pane)
            case "samples":
                self.samples = cast("SamplesPane", pane)
        self.follower.introduce(pane)
        self.form_actions.on_form_changed()  # it may have told of its recipe before it was known here
        pane.show_card(self.form_actions.card)
        if self.focused is None and self.workspace.last_pane == pane.id and pane.display:
            pane.focus_inside()
