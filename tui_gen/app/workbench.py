"""The workbench: wires menu, panes, status and keys together. What panes and runs do is theirs to decide.

Textual looks for handlers and actions on the app, by name: what concerns the whole screen stands here, the rest in
its parts, one a subject.
"""

from __future__ import annotations

import gc
import importlib
import os
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.geometry import Size
from textual.screen import Screen

from tui_gen.app import garbage
from tui_gen.app.background import away
from tui_gen.app.panes.base import Pane
from tui_gen.app.panes.registry import PANES
from tui_gen.app.shell import empty_frames, keys
from tui_gen.app.shell.actions import ALONE, BINDINGS, MENUS, NEED_RUN, enabled, label, possible
from tui_gen.app.shell.guard import Guard
from tui_gen.app.shell.layout_memory import LayoutMemory
from tui_gen.app.shell.menu import DropDown, Menu, MenuBar
from tui_gen.app.shell.notices import Notices, report
from tui_gen.app.shell.parts import made_of
from tui_gen.app.shell.replay_bar import ReplayBar
from tui_gen.app.shell.settings import Settings
from tui_gen.app.shell.status import StatusBar
from tui_gen.app.shell.themes import Themes
from tui_gen.app.shell.workspace import Workspace
from tui_gen.app.steering.forker import Forker
from tui_gen.app.steering.form_actions import FormActions
from tui_gen.app.steering.furnishing import Furnishing
from tui_gen.app.steering.local import Crew, LocalRuns
from tui_gen.app.steering.pages import Pages
from tui_gen.app.steering.queue_keeper import QueueKeeper
from tui_gen.app.steering.replaying import RECORDED, RecordActions, replayable
from tui_gen.app.steering.run_actions import RunActions
from tui_gen.app.terminal.app import TerminalApp
from tui_gen.app.terminal.pacing import Pacer
from tui_gen.text import clean, clean_lines

if TYPE_CHECKING:
    from textual.app import SystemCommand

    from tui_gen.app.first_look import FirstLook
    from tui_gen.app.panes.form.pane import FormPane
    from tui_gen.app.panes.models import ModelsPane
    from tui_gen.app.panes.samples.pane import SamplesPane
    from tui_gen.app.steering.announcing import Announcer
    from tui_gen.app.steering.conductor import Conductor
    from tui_gen.app.steering.follower import PaneFollower
    from tui_gen.app.steering.session import Session
    from tui_gen.app.steering.stock import Stock
    from tui_gen.catalog import Catalog
    from tui_gen.draw.terminal import Terminal
    from tui_gen.speeds import Pace
    from tui_gen.view import RunView


def _commands() -> type:
    from tui_gen.app.shell.palette import Commands

    return Commands


@made_of(
    pages=Pages,
    run_actions=RunActions,
    form_actions=FormActions,
    queue_keeper=QueueKeeper,
    forker=Forker,
    record_actions=RecordActions,
)
class Workbench(TerminalApp):
    """The app, the `Stage` of those who act on it, and their `Controls`. `runs` is the folder of the runs, or who deals
    with those of elsewhere; `open_run` is shown at once, or replayed with `replay`; `compare` are compared; `budget` is
    what live data may take of the link, in bytes/s.

    The first frame needs little: `session`, `stock`, `conductor` and `follower`, the parts that deal with runs, and the
    panes, come right after it.
    """

    TITLE = "tui-gen"
    CSS_PATH = "app.tcss"
    COMMANDS = {_commands}
    BINDINGS: ClassVar[list[BindingType]] = [*BINDINGS]

    session: Session
    stock: Stock
    conductor: Conductor
    follower: PaneFollower
    announcer: Announcer | None = None
    """Who calls somebody; some moments after the first frame."""

    def __init__(
        self,
        runs: Path | LocalRuns,
        model_dirs: list[str] | None = None,
        *,
        open_run: Path | None = None,
        compare: Sequence[Path] = (),
        replay: Pace | None = None,
        terminal: Terminal | None = None,
        theme: str | None = None,
        budget: float | None = None,
        first_look: FirstLook | None = None,
    ) -> None:
        self.settings = Settings()
        self.themes = Themes(self, self.settings)
        super().__init__(terminal, first_look.screen if first_look is not None else None)
        self.pages = Pages(self)
        # As runs.create and runs.find name runs: whole paths, for what draws pictures stands in another folder.
        self.runs = LocalRuns(Path(os.path.realpath(runs)), list(model_dirs or [])) if isinstance(runs, Path) else runs
        self.furnishing = Furnishing(self, self, self, open_run, first_look)
        round_trip = terminal.round_trip if terminal is not None else None
        self.pacer = Pacer(round_trip, budget, lambda: self.wire.bytes_written)
        self.wire.limit = budget
        self.wire.when_dropped.append(self.pacer.drop)
        self._replay, self._compare = replay, compare
        self._furnished = False
        self.complete = False
        """Whether every pane is in its place."""
        self._leaving = False
        rows = empty_frames.remembered()
        first = [empty_frames.EmptyFrame(row.id, rows if row.id == "models" else None) for row in PANES]
        self._layouts = LayoutMemory(self.settings)
        self.workspace = Workspace(
            *first, shares=self._layouts.shares, favourites=self._layouts.favourites, id="workspace"
        )
        self.menu_bar = MenuBar(MENUS, id="menu")
        self.status = StatusBar(id="status")
        self.status.place = self.runs.place
        self.notices = Notices(self, self.workspace, self.status)
        self._guard = Guard()
        self.themes.use(theme)

    # -- building

    def compose(self) -> ComposeResult:
        """Menu, panes, status, keys."""
        watching = self.runs.watching or self.furnishing.looking
        self.workspace.prepare(Size(self.size.width, self.size.height - 3), watching=watching)
        yield self.menu_bar
        yield self.workspace
        yield ReplayBar(self.status, lambda: self.follower.hurry())
        yield self.status
        yield keys.KeyBar(self, id="keys")
        if self.furnishing.looking:
            self.furnishing.hold()

    async def on_ready(self) -> None:
        """The first frame is out: bring in the panes, the warm worker, the one timer. Those on screen come first."""
        self.wire.attach()
        self._deal()
        await self.furnishing.begin(self.runs, self._replay)
        gc.enable()
        gc.freeze()
        self.run_worker(self._go_on())

    def _deal(self) -> None:
        """Have those who deal with runs, and those who do what keys, menus and panes ask for."""
        from tui_gen.app.steering.conductor import Conductor
        from tui_gen.app.steering.follower import PaneFollower
        from tui_gen.app.steering.stock import Stock

        self.session = self.runs.session(checked=not self.furnishing.looking)
        self.stock = Stock(self, self.session)
        self.conductor = conductor = Conductor(self, self.session)
        self.follower = PaneFollower(
            self.workspace,
            self.status,
            self.wire,
            self.pacer,
            conductor.state_changed,
            self.notices.fault_in,
            conductor.all_read,
        )
        crew = Crew(self.session, self.stock, self.conductor, self.follower)
        parts = self.runs.parts(self, crew, self.settings)
        self.record_actions, self.run_actions = parts.record_actions, parts.run_actions
        self.form_actions, self.queue_keeper, self.forker = parts.form_actions, parts.queue_keeper, parts.forker
        self.furnishing.crew, self.furnishing.form_actions = crew, self.form_actions
        self._furnished = True

    async def _go_on(self) -> None:
        """The panes that nobody sees yet, and what needs all of them."""
        await self.furnishing.go_on(self.beat)
        await self.furnishing.finish(self.settings, self._compare)
        self.show_newcomers_around()
        announcing = await away(importlib.import_module, "tui_gen.app.steering.announcing")  # it needs numpy
        self.announcer = announcing.Announcer(self, self.notices)
        if not self.is_headless:
            garbage.settle()
        self.complete = True

    @property
    def form(self) -> FormPane | None:
        """The form, once it is there."""
        return cast("FormPane | None", self.furnishing.pane("form"))

    @property
    def models(self) -> ModelsPane | None:
        """The pane of models, once it is there."""
        return cast("ModelsPane | None", self.furnishing.pane("models"))

    @property
    def samples(self) -> SamplesPane | None:
        """The pane of previews, once it is there."""
        return cast("SamplesPane | None", self.furnishing.pane("samples"))

    def beat(self, quiet_for: float) -> None:
        """About once a second."""
        self.runs.beat(self)
        self.conductor.beat(quiet_for)
        self.stock.beat(self.conductor.view)
        if self.announcer is not None:
            self.announcer.beat(self.conductor.view, self.session.started)
        if not self.follower.hands_on:
            garbage.tidy()

    @property
    def view(self) -> RunView | None:
        """The run that is shown."""
        return self.conductor.view if self._furnished else None

    @property
    def catalog(self) -> Catalog:
        """The models and recipes that are known."""
        return self.session.catalog

    async def read_models(self) -> None:
        """Know the models in the folders that are in use now."""
        await self.stock.read_models()

    def action_reload(self) -> None:
        """Read model files and recipes again, after they were changed."""
        self.run_worker(self.stock.read_models(), exit_on_error=False)

    def session_close(self) -> None:
        """End what belongs to this workbench alone."""
        if self._furnished:
            self.session.close()

    @property
    def slow_link(self) -> bool:
        """Whether what is drawn takes long to arrive."""
        return self.pacer.slow

    # -- colours

    def get_css_variables(self) -> dict[str, str]:
        """As Textual's, with colours that can be read in every theme."""
        return self.themes.variables(super().get_css_variables())

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's and those of the terminal, then what makes colours readable, then the last look at every line."""
        return [*self.themes.filters(super().get_line_filters()), self._guard]

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Textual's own commands are not offered: the workbench has its own."""
        return ()

    # -- telling

    def caption(self, text: str) -> None:
        """The name of what is shown, in the menu bar."""
        self.menu_bar.caption = clean(text)

    def notify(self, message: str, *, title: str = "", **more: Any) -> None:
        """A toast, of clean words: names of files and errors of the system come this way, too."""
        super().notify("\n".join(clean_lines(message)), title=clean(title), **more)

    def tell_fault(self, error: Exception) -> bool:
        """A fault of ours: a pane's is told and the others go on; with the app's own it ends, with one clear line."""
        words = self.notices.tell_fault(error)
        if words:
            self.session_close()
            self.fail(words)
        return True

    async def run_action(self, action: Any, *where: Any, **more: Any) -> bool:
        """Run an action; a fault in it is told, and nothing else happens."""
        try:
            return await super().run_action(action, *where, **more)
        except Exception as error:
            if self.is_headless:
                raise
            self.notices.tell(f"{action}: {type(error).__name__}: {error}. See {report(error)}", "error")
            return True

    def action_tour(self) -> None:
        """Show around."""
        from tui_gen.app.shell import tour

        tour.show_around(self, self.workspace, self.settings)

    def show_newcomers_around(self) -> None:
        """Once, to whoever has no runs and was never shown around."""
        from tui_gen.app.shell import tour

        if not self.is_headless and self.view is None and tour.is_for(self.settings, self.session.root):
            self.action_tour()

    # -- the terminal

    async def on_event(self, event: events.Event) -> None:
        """Somebody who presses keys sees at once what they do to the run."""
        if self._furnished and isinstance(event, events.Key | events.MouseDown):
            if self.pacer.overdue(time.monotonic()):
                self.wire.drop()
            self.follower.touched()
            if self.announcer is not None:
                self.announcer.touched()
            self.call_later(self.stock.touched)
        await super().on_event(event)

    def on_terminal_supports_synchronized_output(self) -> None:
        """The terminal answered: it has drawn everything up to the question."""
        if self.wire.answered() and self._furnished:
            self.follower.answered()

    def on_cursor_position(self) -> None:
        """The same, from a terminal without synchronised output."""
        if self.wire.answered(position=True) and self._furnished:
            self.follower.answered()

    # -- actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What can be done now."""
        if action in NEED_RUN:
            return True if possible(self.view, action) else None
        if len(self.screen_stack) > 1 and action in ALONE:
            return False
        if action == "maximise" and not (self.workspace.maximised or self.workspace.has_several):
            return None
        if action in RECORDED:
            return replayable(self.view, action)
        return super().check_action(action, parameters)

    @property
    def menus(self) -> Sequence[Menu]:
        """The menus of the menu bar."""
        return self.menu_bar.menus

    def enabled(self, action: str) -> bool:
        """Whether a menu's entry can be chosen."""
        return enabled(self, action)

    def key_of(self, binding: str) -> str:
        """The first key of the binding with this id, as it is shown."""
        return keys.key_of(self, binding)

    def get_key_display(self, binding: Binding) -> str:
        """Keys as they are printed on keyboards: `F5`."""
        key = super().get_key_display(binding)
        return key.upper() if key[:1] == "f" and key[1:].isdigit() else key

    def do(self, action: str) -> None:
        """Run an action by its name, as a menu does."""
        self.run_worker(self.run_action(action), exit_on_error=False)

    def action_menu(self, number: int) -> None:
        """Open a menu."""
        menu = DropDown(self.menu_bar, number, self.key_of, self.enabled, partial(label, self))
        self.push_screen(menu, self._menu_left)

    def on_menu_bar_opened(self, message: MenuBar.Opened) -> None:
        """A menu's title was clicked."""
        self.action_menu(message.number)

    def _menu_left(self, result: str | None) -> None:
        if result and result.startswith("menu:"):
            self.action_menu(int(result[5:]))
        elif result:
            self.do(result)

    async def action_in_pane(self, name: str, what: str) -> None:
        """One of a pane's own actions, in that pane."""
        pane = self.workspace.pane(name)
        if self._furnished and pane is not None:
            self.workspace.open(name)
            await self.run_action(what, pane)

    def action_open_pane(self, name: str) -> None:
        """Bring a pane on screen and focus it."""
        self.workspace.open(name)

    def action_go_to_pane(self, name: str) -> None:
        """The same, with a key that is no text for a field."""
        self.workspace.open(name)

    def action_maximise(self) -> None:
        """Let the focused pane fill the workspace, or give the others their place back."""
        self.workspace.toggle_maximised()

    def action_grow(self, axis: str, direction: int) -> None:
        """Move the boundary next to the focused pane."""
        self.workspace.grow(axis, direction)

    def action_reset_layout(self) -> None:
        """Every boundary back to where it was at first; once more, to where the user had put it."""
        self._layouts.reset(self.workspace)

    @property
    def layout_can_be_put_back(self) -> bool:
        """Whether the proportions that were given up last can be had again."""
        return self._layouts.can_put_back(self.workspace)

    def action_drawer(self) -> None:
        """Models and hyperparameters come on screen, or make room for the run again."""
        self.workspace.toggle_drawer()

    def choose_layout(self, name: str) -> None:
        """Use a layout from now on, and the next time in a terminal of this shape."""
        self._layouts.prefer(self.workspace, name)

    async def action_quit(self) -> None:
        """Leave, after a question where runs are live."""
        if not self._leaving:
            self.run_worker(self._quit(), exit_on_error=False)

    async def _quit(self) -> None:
        self._leaving = True
        try:
            if not self._furnished or await self.conductor.may_quit():
                self.leave()
        finally:
            self._leaving = False

    def leave(self) -> None:
        """Leave; runs go on. An answer of the terminal that is on its way is waited for, or the shell would read it."""
        self.session_close()
        if self._furnished:
            self.follower.stop()
            if self.announcer is not None:
                self.announcer.close()
        self._leave_by(time.monotonic() + 1.0)

    def _leave_by(self, deadline: float) -> None:
        if self.pacer.waiting and time.monotonic() < deadline:
            self.set_timer(0.02, lambda: self._leave_by(deadline))
        else:
            self.exit()

    def hang_up(self) -> None:
        """The terminal is gone. Runs go on. From any thread."""
        try:
            self.session_close()
        finally:
            super().hang_up()

    # -- facts from the panes

    def on_workspace_resized(self, message: Workspace.Resized) -> None:
        self._layouts.keep_share(message.key, message.share)

    def show_run(self, view: RunView | None) -> None:
        """Every pane shows this run from now on, or none."""
        self.follower.show(view)
        if view is None:
            self.runs.none_shown(self)

    def open_run(self, path: str | Path) -> None:
        """Show a run."""
        self.run_actions.open(path)

    def pick_recipe(self, name: str) -> None:
        """Put a recipe into the form."""
        self.form_actions.pick_recipe(name)

    def pick_model(self, name: str) -> None:
        """Put a model into the form."""
        self.form_actions.pick_model(name)

    def show_previews(self, kind: str) -> None:
        """Previews of this kind are the ones to look at."""
        if self.samples is not None:
            self.samples.show_kind(kind)

    def runs_changed(self) -> None:
        """The runs of the folder are not what they were."""
        for pane in self.workspace.panes:
            pane.runs_changed()

    def land(self, asked_in: Pane | None) -> None:
        """A run is shown that was asked for in this pane: bring it before whoever has not gone on to another pane."""
        if self.workspace.active is asked_in:
            self.workspace.watch_run()
