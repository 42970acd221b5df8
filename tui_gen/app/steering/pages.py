"""The actions of the workbench that show something to read or to choose from, or settle how it tells: none needs a run.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Protocol

from tui_gen.app.panes.registry import PANES
from tui_gen.app.shell import keys
from tui_gen.app.shell.stage import Controls, Stage

if TYPE_CHECKING:
    from textual.command import CommandPalette
    from textual.screen import Screen

    from tui_gen.app.shell.settings import Settings
    from tui_gen.app.steering.announcing import Announcer
    from tui_gen.app.steering.session import Session
    from tui_gen.draw.terminal import Terminal


class PageStage(Stage, Controls, Protocol):
    """The workbench, seen by what is opened on it."""

    settings: Settings
    session: Session
    announcer: Announcer | None
    terminal: Terminal | None

    @property
    def screen(self) -> Screen[Any]:
        """What is on the screen now: the workbench, or a dialog."""

    def action_menu(self, number: int) -> None:
        """Open a menu."""


class Pages:
    """Opens them."""

    def __init__(self, stage: PageStage) -> None:
        self.stage = stage

    def action_help(self) -> None:
        """Help on the focused pane, with all its keys as they are mapped."""
        from tui_gen.app.shell.help import ReadingPage, keys_text

        pane = self.stage.workspace.active
        if pane is not None:
            title, text = pane.help()
            _, rows = keys.section_of(self.stage, pane)
            below = keys_text([("All keys of this pane", rows)])
            self.stage.push_screen(ReadingPage(f"Help: {title}", text, markdown=True, below=below))

    def action_keys(self) -> None:
        """Every key."""
        from tui_gen.app.shell.help import ReadingPage, keys_page

        self.stage.push_screen(ReadingPage("Keys", keys_page(keys.sections(self.stage))))

    def action_command_palette(self) -> None:
        """Every command, recipe and run by its name."""
        from tui_gen.app.shell.palette import Palette

        if not isinstance(self.stage.screen, Palette):
            self.stage.push_screen(Palette())

    def action_about(self) -> None:
        """What this is."""
        from tui_gen import __version__
        from tui_gen.app.shell.help import ABOUT, ReadingPage

        text = ABOUT.format(version=__version__, root=self.stage.session.root.resolve())
        self.stage.push_screen(ReadingPage("About", text))

    def action_notice_settings(self) -> None:
        """What is told of runs, and how."""
        from tui_gen.app.shell.notify_dialog import NotifyDialog
        from tui_gen.draw import attention
        from tui_gen.notify import wishes

        def keep(key: str, value: Any) -> None:
            self.stage.settings.set(f"notify.{key}", value)

        def try_hook(command: str) -> None:
            self.stage.run_worker(told(command), exit_on_error=False)

        async def told(command: str) -> None:
            from tui_gen.app.background import away
            from tui_gen.notify import happenings, hook

            failure = await away(hook.run, command, happenings.trial())
            if dialog.is_mounted:
                dialog.say(f"The command failed: {failure}." if failure else "The command was told, and agreed.")

        announcer, terminal = self.stage.announcer, self.stage.terminal
        if announcer is None:
            return
        announcer.use(wishes.read(self.stage.settings.path))
        words = attention.words(terminal.notices if terminal is not None else attention.NONE)
        dialog = NotifyDialog(announcer.wishes, words, keep, announcer.use, announcer.try_out, try_hook)
        self.stage.push_screen(dialog)

    def action_themes(self) -> None:
        """The palette with the themes."""
        from tui_gen.app.shell.palette import Palette, ThemeCommands

        self.stage.push_screen(Palette(providers=[ThemeCommands], placeholder="Theme…"))

    def action_layouts(self) -> None:
        """The palette with the layouts."""
        from tui_gen.app.shell.palette import Layouts, Palette

        self.stage.push_screen(Palette(providers=[Layouts], placeholder="Layout…"))

    def action_jump(self) -> None:
        """Letters on the panes."""
        from tui_gen.app.shell.jump import Jump

        places = [*self.stage.workspace.places(), ("menu", 0, 0)]
        there = {name for name, _, _ in places}
        others = [(row.id, row.title) for row in PANES if row.id not in there]
        self.stage.push_screen(Jump(places, others), self._jumped)

    def _jumped(self, name: str | None) -> None:
        if name == "menu":
            self.stage.action_menu(0)
        elif name:
            self.stage.workspace.open(name)

    def on_command_palette_opened(self) -> None:
        """Themes may be tried from now on; and no blinking."""
        from textual.css.query import NoMatches
        from textual.widgets import Input

        self.stage.themes.begin_trying()
        with contextlib.suppress(NoMatches):
            self.stage.screen.query_one(Input).cursor_blink = False

    def on_command_palette_option_highlighted(self, message: CommandPalette.OptionHighlighted) -> None:
        """Show a theme while the cursor is on it."""
        from tui_gen.app.shell.palette import THEME

        hit = getattr(message.highlighted_event.option, "hit", None)
        text = getattr(hit, "text", None) or ""
        self.stage.themes.try_out(text.removeprefix(THEME) if text.startswith(THEME) else "")

    def on_command_palette_closed(self, message: CommandPalette.Closed) -> None:
        """No theme was chosen: back to the one before."""
        self.stage.themes.end_trying(message.option_selected)
