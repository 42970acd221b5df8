"""The workbench: wires menu, panes, status and keys together. What panes and runs do is theirs to decide."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import events
from textual.actions import parse
from textual.app import ComposeResult
from textual.binding import Binding
from textual.geometry import Size
from textual.widget import Widget

from tui_gen.app.panes.base import Pane
from tui_gen.app.shell import placeholders
from tui_gen.app.shell.actions import ALONE, BINDINGS, NEED_LIVE, label
from tui_gen.app.shell.arrangement import PANES
from tui_gen.app.shell.keybar import KeyBar
from tui_gen.app.shell.menu import MenuBar
from tui_gen.app.shell.notices import TellingApp
from tui_gen.app.shell.settings import read_keys
from tui_gen.app.shell.workspace import PaneTabs, Workspace
from tui_gen.app.terminal.pacing import Pacer
from tui_gen.draw.signals import ENDING

if TYPE_CHECKING:
    from tui_gen.app.panes.form.pane import FormPane
    from tui_gen.app.panes.models import ModelsPane
    from tui_gen.app.panes.runs import RunsPane
    from tui_gen.app.steering.conductor import Conductor
    from tui_gen.app.steering.follower import Live
    from tui_gen.app.steering.session import Session
    from tui_gen.draw.terminal import Terminal
    from tui_gen.runs import RunInfo
    from tui_gen.view import RunView


class Workbench(TellingApp):
    """The app. `runs_root` is the folder of the runs; `open_run` is shown at once.

    The first frame needs little: `session`, `conductor` and `live`, and the panes, come right after it.
    """

    TITLE = "tui-gen"
    CSS_PATH = "app.tcss"
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS = BINDINGS

    def __init__(
        self,
        runs_root: Path,
        model_dirs: list[str] | None = None,
        *,
        open_run: Path | None = None,
        terminal: Terminal | None = None,
        theme: str | None = None,
    ) -> None:
        super().__init__(terminal)
        self.session: Session
        self.conductor: Conductor
        self.live: Live
        self.pacer = Pacer(terminal.round_trip if terminal is not None else None)
        self.wire.when_dropped.append(self.pacer.drop)
        # As runs.create and runs.find name runs: whole paths, for what draws pictures stands in another folder.
        self._given = (Path(os.path.realpath(runs_root)), list(model_dirs or []), open_run)
        self._furnished = False
        self._leaving = False
        rows = placeholders.remembered()
        first = [placeholders.Frame(name, rows if name == "models" else None) for name in PANES]
        self.workspace = Workspace(*first, shares=self._shares(), id="workspace")
        self.use_themes(theme)

    # -- building -----------------------------------------------------------------------------------------------

    def _shares(self) -> dict[str, float]:
        kept = self.settings.under("layout")
        return {key: float(value) for key, value in kept.items() if isinstance(value, int | float) and 0 < value < 1}

    def compose(self) -> ComposeResult:
        """Menu, panes, status, keys."""
        self.workspace.prepare(Size(self.size.width, self.size.height - 3))
        yield self.menu_bar
        yield self.workspace
        yield self.status
        yield KeyBar(id="keys")

    def on_load(self) -> None:
        """Hear the signals, before the terminal is set to anything: it must be set back."""
        if not self.is_headless:
            loop = asyncio.get_running_loop()
            for number in ENDING:
                if number == signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                    with contextlib.suppress(RuntimeError, ValueError, OSError):  # not in the main thread, say
                        loop.add_signal_handler(number, self.hang_up if number == signal.SIGHUP else self.leave)

    async def on_ready(self) -> None:
        """The first frame is out: bring in the panes, the warm worker, the one timer."""
        self.wire.attach()
        await self._furnish()
        from tui_gen.app.shell import keys

        keymap, key_problems = read_keys({binding.id for binding in keys.all_bindings(self)})
        if keymap:
            self.set_keymap(keymap)
        self.live.run(self.conductor.beat)
        for problem in [*key_problems, self.settings.problem, self.session.writable()]:
            if problem:
                self.tell(problem, "warning")
        if self.theme_problems:
            self.tell("Themes that could not be read:\n" + "\n".join(self.theme_problems), "warning")
        for problem in self.session.catalog.problems:
            self.note("warning", problem)
        gc.enable()
        gc.collect()
        gc.freeze()

    async def _furnish(self) -> None:
        """What the first frame did without: the catalogue, the dealings with runs, the panes."""
        from tui_gen import catalog
        from tui_gen.app.panes import registry
        from tui_gen.app.steering.conductor import Conductor
        from tui_gen.app.steering.follower import Live
        from tui_gen.app.steering.session import Session

        root, model_dirs, _ = self._given
        self.session = Session(root, model_dirs, catalog.read(model_dirs))
        self.conductor = Conductor(self, self.session)
        self.live = Live(self.workspace, self.status, self.wire, self.pacer, self.conductor.state_changed, self.fault)
        self._furnished = True
        self.run_worker(self._background_start(), exit_on_error=False)
        with self.batch_update():
            for name in PANES:
                await self._replace_frame(name, registry.make(name, self.session))
            self.workspace.rearrange()
            if self.focused is None:
                self.workspace.shown[0].focus_inside()
            if self._given[2] is not None:
                await self.conductor.open(self._given[2])
        tree = self.workspace.query_one("#tree")
        placeholders.remember(["/ search", *(tree.render_line(y).text.rstrip() for y in range(tree.size.height))])

    async def _replace_frame(self, name: str, pane: Pane) -> None:
        frame = self.workspace.pane(name)
        assert frame is not None
        pane.display = frame.display
        await frame.remove()
        await self.workspace.mount(pane)
        self.live.introduce(pane)

    async def _background_start(self) -> None:
        """The warm worker, and through it a catalogue that has become stale."""
        from tui_gen.app.background import away

        await away(self.session.spawn_warm)
        if await away(self.session.stale):
            await self._read_models()

    async def read_models(self) -> None:
        """Know the models in the folders that are in use now: by what was kept of them, else by a new warm worker."""
        from tui_gen.app.background import away

        await away(self.session.drop_warm)
        await away(self.session.spawn_warm)
        await self._read_models()

    async def _read_models(self) -> None:
        from tui_gen.app.background import away

        if not await away(self.session.take_kept):
            self.say("reading the models…")
            deadline = time.monotonic() + 120
            while not self.session.warm_ready and time.monotonic() < deadline:
                await asyncio.sleep(0.2)
            fresh = await away(self.session.refresh_catalog)
            self.say("")
            if not fresh:
                return
        for pane in (self._pane("models"), self.form):
            if pane is not None and hasattr(pane, "set_catalog"):
                pane.set_catalog(self.session.catalog)
        for problem in self.session.catalog.problems:
            self.note("warning", problem)

    def action_reload(self) -> None:
        """Read model files and recipes again, after they were changed."""
        self.run_worker(self.read_models(), exit_on_error=False)

    def _pane(self, name: str) -> Any:
        return self.workspace.pane(name)

    @property
    def form(self) -> FormPane | None:
        """The Hyperparameters pane, once it is there."""
        pane = self._pane("form")
        return pane if hasattr(pane, "tables") else None

    def session_close(self) -> None:
        """End what belongs to this workbench alone."""
        if self._furnished:
            self.session.close()

    # -- the terminal -------------------------------------------------------------------------------------------

    async def on_event(self, event: events.Event) -> None:
        """Somebody who presses keys sees at once what they do to the run."""
        if self._furnished and isinstance(event, events.Key | events.MouseDown):
            if self.pacer.overdue(time.monotonic()):
                self.wire.drop()
            self.live.touched()
        await super().on_event(event)

    def on_terminal_supports_synchronized_output(self) -> None:
        """The terminal answered: it has drawn everything up to the question."""
        if self.wire.answered() and self._furnished:
            self.live.answered()

    def on_cursor_position(self) -> None:
        """The same, from a terminal without synchronised output."""
        if self.wire.answered(position=True) and self._furnished:
            self.live.answered()

    # -- actions ------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What can be done now."""
        view = self.shown
        if action in NEED_LIVE:
            return True if view is not None and view.live else None
        if action == "resume":
            return True if view is not None and view.state in ("stopped", "failed", "interrupted") else None
        if action == "close_run":
            return True if view is not None else None
        if len(self.screen_stack) > 1 and action in ALONE:
            return False
        return super().check_action(action, parameters)

    @property
    def shown(self) -> RunView | None:
        """The run that is shown."""
        return self.conductor.view if self._furnished else None

    def enabled(self, action: str) -> bool:
        """Whether a menu's entry can be chosen."""
        name, _, rest = action.partition("(")
        if name == "form":
            form = self.form
            wanted = rest.strip("')")
            able = form is not None and form.check_action(wanted, ()) is True
            return able and (wanted != "copy_run" or self.shown is not None)
        if name == "in_pane":
            where, what = parse(action)[2]
            pane, (_, its, given) = self._pane(where), parse(what)
            return isinstance(pane, Pane) and pane.check_action(its, given) is True
        if name in (*NEED_LIVE, "resume", "close_run"):
            return self.check_action(name, ()) is True
        return True

    def key_of(self, binding: str) -> str:
        """The first key of the binding with this id, as it is shown."""
        from tui_gen.app.shell import keys

        return keys.key_of(self, binding)

    def get_key_display(self, binding: Binding) -> str:
        """Keys as they are printed on keyboards: `F5`."""
        shown = super().get_key_display(binding)
        return shown.upper() if shown[:1] == "f" and shown[1:].isdigit() else shown

    def do(self, action: str) -> None:
        """Run an action by its name, as a menu does."""
        self.run_worker(self.run_action(action), exit_on_error=False)

    def action_menu(self, number: int) -> None:
        """Open a menu."""
        from tui_gen.app.shell.dropdown import DropDown

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

    async def action_form(self, what: str) -> None:
        """One of the form's own actions."""
        form = self.form
        if form is None:
            return
        self.workspace.open("form")
        await self.run_action(what, form)

    async def action_in_pane(self, name: str, what: str) -> None:
        """One of a pane's own actions, in that pane."""
        pane = self._pane(name)
        if self._furnished and pane is not None:
            self.workspace.open(name)
            await self.run_action(what, pane)

    def action_start(self) -> None:
        """Train what the form describes."""
        if self._furnished:
            self.run_worker(self.conductor.start(), exit_on_error=False)

    def action_pause(self) -> None:
        """Pause the run shown, or let it go on."""
        view = self.conductor.view
        if view is not None:
            self.action_ask("resume" if view.state == "paused" else "pause")

    def action_ask(self, op: str) -> None:
        """A request to the run shown."""
        self.run_worker(self.conductor.ask(op), exit_on_error=False)

    def action_stop(self) -> None:
        """Stop the run shown, with a checkpoint."""
        self.run_worker(self.conductor.stop(), exit_on_error=False)

    def action_resume(self) -> None:
        """Go on with the run shown."""
        if self.conductor.view is not None:
            self.run_worker(self.conductor.resume(self.conductor.view.path), exit_on_error=False)

    def action_close_run(self) -> None:
        """Show no run."""
        self.conductor.close_shown()

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
        """Every boundary back to where it was at first."""
        for key in list(self.workspace.shares):
            self.settings.remove(f"layout.{key}")
        self.workspace.reset()

    def action_jump(self) -> None:
        """Letters on the panes."""
        from tui_gen.app.shell.jump import Jump

        places = [(pane.id or "", pane.region.x, pane.region.y) for pane in self.workspace.shown]
        for tabs in self.workspace.query(PaneTabs):
            places += tabs.places() if tabs.display else []
        places.append(("menu", 0, 0))
        self.push_screen(Jump(places), self._jumped)

    def _jumped(self, name: str | None) -> None:
        if name == "menu":
            self.action_menu(0)
        elif name:
            self.workspace.open(name)

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
            self.live.stop()
        self._leave_by(time.monotonic() + 1.0)

    def _leave_by(self, deadline: float) -> None:
        if self.pacer.waiting and time.monotonic() < deadline:
            self.set_timer(0.02, lambda: self._leave_by(deadline))
        else:
            self.exit()

    def hang_up(self) -> None:
        """The terminal is gone: there is nobody to tell and nothing to restore. Runs go on. From any thread."""
        try:
            self.session_close()
        finally:
            os._exit(128 + signal.SIGHUP)

    # -- facts from the panes -----------------------------------------------------------------------------------

    def on_recipe_picked(self, message: Any) -> None:
        """A recipe goes into the form."""
        if self.form is not None:
            self.form.load_tables(message.tables, message.name)

    def on_model_picked(self, message: Any) -> None:
        """A model goes into the form."""
        if self.form is not None:
            self.form.set_model(message.name)

    def on_live_edit_asked(self, message: Any) -> None:
        """A live value is to change."""
        self.run_worker(self.conductor.edit(message.key, message.value), exit_on_error=False)

    def on_models_wanted(self) -> None:
        """The model files that the run shown names are to be read."""
        self.run_worker(self.conductor.use_models(), exit_on_error=False)

    def on_run_opened(self, message: Any) -> None:
        """A run is to be shown."""
        self.open_run(message.path)

    def on_run_resume_asked(self, message: Any) -> None:
        """A run is to go on."""
        self.run_worker(self.conductor.resume(message.path), exit_on_error=False)

    def on_run_stop_asked(self, message: Any) -> None:
        """A run is to stop."""
        self.run_worker(self.conductor.stop(message.path), exit_on_error=False)

    def on_run_delete_asked(self, message: Any) -> None:
        """A run is to be removed."""
        self.run_worker(self.conductor.delete(message.path), exit_on_error=False)

    def on_workspace_resized(self, message: Workspace.Resized) -> None:
        """Remember the proportions."""
        self.settings.set(f"layout.{message.key}", message.share)

    def on_workspace_arranged(self) -> None:
        """Keep the focus on something that can be seen."""
        focused = self.screen_stack[0].focused
        above = focused.ancestors_with_self if focused is not None else []
        if any(not node.display for node in above if isinstance(node, Widget)):
            shown = self.workspace.shown
            if shown:
                shown[0].focus_inside()

    def open_run(self, path: str | Path) -> None:
        """Show a run."""
        self.run_worker(self.conductor.open(Path(path)), exit_on_error=False, group="open", exclusive=True)

    def pick_recipe(self, name: str) -> None:
        """Put a recipe into the form."""
        recipe = self.session.catalog.recipes.get(name)
        models: ModelsPane | None = self._pane("models")
        if recipe is None or self.form is None:
            return
        self.form.load_tables(recipe.tables, name)
        if models is not None:
            models.mark(name)
        self.workspace.open("form")

    def run_rows(self) -> list[RunInfo]:
        """The runs of the folder, as last seen."""
        pane: RunsPane | None = self._pane("runs")
        return list(getattr(pane, "rows", []))

    def runs_changed(self) -> None:
        """The runs of the folder are not what they were."""
        pane: RunsPane | None = self._pane("runs")
        if pane is not None and hasattr(pane, "look"):
            pane.look()

    def land(self, asked_in: Pane | None) -> None:
        """A run is shown that was asked for in this pane: bring it before whoever has not gone on to another pane."""
        if self.workspace.active is asked_in:
            self.workspace.watch()
