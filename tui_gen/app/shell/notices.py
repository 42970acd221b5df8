"""What the workbench tells: toasts, lines in the log, the status bar, dialogs nobody asked for, faults of its own."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from textual.screen import Screen
from textual.widget import Widget

from tui_gen import __version__
from tui_gen.app.shell.status import StatusBar
from tui_gen.app.terminal.private import handling
from tui_gen.places import cache_dir
from tui_gen.text import clean, clean_lines

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel

    from tui_gen.app.panes.base import Pane
    from tui_gen.app.shell.workspace import Workspace
    from tui_gen.app.terminal.private import HookedApp

Answer = TypeVar("Answer")
MOST_BYTES = 1 << 18
"""Bytes of the file of faults after which it begins anew."""


class Notices:
    """Says things in an app, its status bar, and every pane that keeps what is said."""

    def __init__(self, app: HookedApp, workspace: Workspace, status: StatusBar) -> None:
        self._app = app
        self._workspace = workspace
        self._status = status
        self._faults: set[str] = set()
        self._offer: Screen[Any] | None = None

    def tell(self, text: str, severity: SeverityLevel = "information", log: bool = True) -> None:
        """A toast, and a line in the log (unless the run's own log has one)."""
        if log:
            self.note({"information": "info"}.get(severity, severity), text)
        with contextlib.suppress(Exception):  # a fault may be told of while the screen is half built, or already gone
            self._app.notify(text, severity=severity, markup=False, timeout=4 if severity == "information" else 8)

    def note(self, level: str, text: str) -> None:
        """A line in the log."""
        for pane in self._workspace.panes:
            pane.note(level, text)

    def say(self, text: str) -> None:
        """What is being done now, in the status bar; an empty text: nothing."""
        self._status.message = clean(text)
        self._status.update_text()

    # -- dialogs nobody asked for

    def offer(self, dialog: Screen[Answer], on_answer: Callable[[Answer | None], None]) -> None:
        """Show a dialog nobody asked for, as soon as no other is in the way."""
        self._offer = dialog
        self._show_offered(dialog, on_answer)

    def _show_offered(self, dialog: Screen[Answer], on_answer: Callable[[Answer | None], None]) -> None:
        if dialog is not self._offer:
            return
        if len(self._app.screen_stack) == 1:
            self._app.push_screen(dialog, on_answer)
        else:
            self._app.set_timer(0.5, lambda: self._show_offered(dialog, on_answer))

    def withdraw(self) -> None:
        """The offer no longer holds: take its dialog away."""
        dialog, self._offer = self._offer, None
        if dialog is not None:
            self._take_away(dialog)

    def _take_away(self, dialog: Screen[Any]) -> None:
        """Leave a dialog, as soon as nothing lies over it."""
        stack = self._app.screen_stack
        if dialog in stack[:-1]:
            self._app.set_timer(0.5, lambda: self._take_away(dialog))
        elif dialog in stack:
            dialog.dismiss(None)

    # -- faults of the workbench itself

    def fault_in(self, pane: Pane, error: Exception) -> None:
        """A pane failed at something: say so once, go on with the others."""
        self._app.log.error(error)
        words = f"{pane.title or pane.id}: {type(error).__name__}: {error}"
        if words not in self._faults:
            self._faults.add(words)
            self.tell(words, "error")

    def tell_fault(self, error: Exception) -> str:
        """Tell of a fault where a pane or another widget has it, which the rest can go on without.

        Returns what to say where the app itself has it, and cannot go on: else an empty text. The traceback goes to a
        file either way. Runs are not touched.
        """
        where, pump = report(error), handling()
        if isinstance(pump, Widget) and not isinstance(pump, Screen):
            self.tell(f"A fault in {type(pump).__name__}: {type(error).__name__}: {error}. See {where}", "error")
            return ""
        words = f"tui-gen: a fault of its own: {type(error).__name__}: {error}. Runs go on. See {where}"
        return "\n".join(clean_lines(words))


def report(error: BaseException) -> Path:
    """Append a fault's traceback to the file of faults; that file."""
    path = cache_dir() / "faults.log"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists() or path.stat().st_size > MOST_BYTES
        with open(path, "w" if fresh else "a", encoding="utf-8") as file:
            file.write(f"\n{time.strftime('%Y-%m-%d %H:%M:%S')} tui-gen {__version__}\n")
            file.writelines(traceback.format_exception(error))
    return path
