"""An app that tells: toasts, lines in the log, the status bar, help, dialogs nobody asked for, faults of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from textual.filter import LineFilter
from textual.screen import Screen
from textual.widget import Widget

from tui_gen.app.panes.base import Pane
from tui_gen.app.shell.actions import MENUS
from tui_gen.app.shell.guard import Guard
from tui_gen.app.shell.menu import MenuBar
from tui_gen.app.shell.status import StatusBar
from tui_gen.app.shell.theming import ThemedApp
from tui_gen.app.shell.workspace import Workspace
from tui_gen.text import clean, clean_lines

if TYPE_CHECKING:
    from tui_gen.app.steering.session import Session
    from tui_gen.draw.terminal import Terminal


class TellingApp(ThemedApp):
    """Has the menu bar and the status bar; a subclass has the `workspace` and the `session`, and ends its things in
    `session_close`."""

    workspace: Workspace
    session: Session

    def __init__(self, terminal: Terminal | None = None) -> None:
        super().__init__(terminal)
        self.menu_bar = MenuBar(MENUS, id="menu")
        self.status = StatusBar(id="status")
        self._guard = Guard()
        self._faults: set[str] = set()
        self._offered: Screen | None = None

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's own, and ours after them."""
        return [*super().get_line_filters(), self._guard]

    def session_close(self) -> None:
        """End what belongs to this workbench alone."""

    def tell(self, text: str, severity: Any = "information", log: bool = True) -> None:
        """A toast, and a line in the log (unless the run's own log has one)."""
        if log:
            self.note({"information": "info"}.get(severity, severity), text)
        with contextlib.suppress(Exception):
            self.notify(text, severity=severity, markup=False, timeout=4 if severity == "information" else 8)

    def notify(self, message: str, *, title: str = "", **more: Any) -> None:
        """A toast, of clean words: names of files and errors of the system come this way, too."""
        super().notify("\n".join(clean_lines(message)), title=clean(title), **more)

    def note(self, level: str, text: str) -> None:
        """A line in the log pane."""
        pane = self.workspace.pane("log")
        if pane is not None and hasattr(pane, "note"):
            pane.note(level, text)

    def say(self, text: str) -> None:
        """What is being done now, in the status bar; an empty text: nothing."""
        self.status.message = clean(text)
        self.status.update_text()

    def caption(self, text: str) -> None:
        """The name of what is shown, in the menu bar."""
        self.menu_bar.caption = clean(text)

    def fault(self, pane: Pane, error: Exception) -> None:
        """A pane failed at something: say so once, go on with the others."""
        self.log.error(error)
        words = f"{pane.TITLE or pane.id}: {type(error).__name__}: {error}"
        if words not in self._faults:
            self._faults.add(words)
            self.tell(words, "error")

    def _handle_exception(self, error: Exception) -> None:
        """A fault of ours: of a pane, it is told and the others go on; of the app itself, it ends with one clear line.

        The traceback goes to a file. Runs are not touched by either.
        """
        if self.is_headless:  # tests see it as it is
            super()._handle_exception(error)
            return
        from tui_gen.app.shell.faults import pump_of, report

        where = report(error)
        pump = pump_of()
        if isinstance(pump, Widget) and not isinstance(pump, Screen):
            self.tell(f"A fault in {type(pump).__name__}: {type(error).__name__}: {error}. See {where}", "error")
            return
        from rich.text import Text

        self.session_close()
        self._return_code = 1
        words = f"tui-gen: a fault of its own: {type(error).__name__}: {error}. Runs go on. See {where}"
        self.panic(Text("\n".join(clean_lines(words))))

    def offer(self, dialog: Screen, answered: Callable[[Any], None]) -> None:
        """Show a dialog nobody asked for, as soon as no other is in the way."""
        self._offered = dialog
        self._show_offered(dialog, answered)

    def _show_offered(self, dialog: Screen, answered: Callable[[Any], None]) -> None:
        if dialog is not self._offered:
            return
        if len(self.screen_stack) == 1:
            self.push_screen(dialog, answered)
        else:
            self.set_timer(0.5, lambda: self._show_offered(dialog, answered))

    def withdraw(self) -> None:
        """What was offered is not to be had any more."""
        dialog, self._offered = self._offered, None
        if dialog is not None and dialog.is_current:
            dialog.dismiss(None)

    async def run_action(self, action: Any, *where: Any, **more: Any) -> bool:
        """Run an action; a fault in it is told, and nothing else happens."""
        try:
            return await super().run_action(action, *where, **more)
        except Exception as error:
            if self.is_headless:
                raise
            from tui_gen.app.shell.faults import report

            self.tell(f"{action}: {type(error).__name__}: {error}. See {report(error)}", "error")
            return True

    def action_help(self) -> None:
        """Help on the focused pane."""
        from tui_gen.app.shell.help import Reading

        pane = self.workspace.active
        if pane is not None:
            self.push_screen(Reading(f"Help: {pane.TITLE}", pane.HELP, markdown=True))

    def action_keys(self) -> None:
        """Every key."""
        from tui_gen.app.shell import keys
        from tui_gen.app.shell.help import Reading, keys_page

        self.push_screen(Reading("Keys", keys_page(keys.sections(self))))

    def action_about(self) -> None:
        """What this is."""
        from tui_gen import __version__
        from tui_gen.app.shell.help import ABOUT, Reading

        self.push_screen(Reading("About", ABOUT.format(version=__version__, root=self.session.root.resolve())))
