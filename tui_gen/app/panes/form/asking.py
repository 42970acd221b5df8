"""A pane of what the form shows, which a process with PyTorch has to tell: it asks when the settings have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tui_gen.app.panes.base import Pane, WorkerAsked
from tui_gen.app.panes.form.pane import FormPane

if TYPE_CHECKING:
    from tui_gen.sheet import DataSheet
    from tui_gen.verdicts.network import Network


def form_beside(pane: Pane) -> FormPane | None:
    """The form, once it is there."""
    return next(iter(pane.screen.query(FormPane)), None) if pane.is_attached else None


class AskingPane(Pane):
    """Looks at the form once a second while it is on screen, and asks `ASKS` about settings that have stood that long.

    A subclass says which settings matter (`part`), and shows what is told (`told`).
    """

    ASKS: ClassVar[str] = ""
    WAITING: ClassVar[str] = ""
    """Said while the first answer is waited for."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.tables: dict[str, Any] = {}
        """The settings that are described, or were asked about."""
        self._last_tables: dict[str, Any] = {}
        self._asking = False
        self._failed = False

    def on_show(self) -> None:
        """Whoever comes back to a pane that could not be told has it ask again: what was in the way may be gone."""
        if self._failed:
            self.tables, self._failed = {}, False

    @property
    def form(self) -> FormPane | None:
        """The form, once it is there."""
        return form_beside(self)

    def part(self, tables: dict[str, Any]) -> dict[str, Any]:
        """Those of the form's settings that matter here."""
        return tables

    def show_answer(self, answer: Network | DataSheet | None, words: str) -> None:
        """Show what was found, or, where that is None, why nothing was."""

    def beat(self, quiet_for: float) -> None:
        """Look whether the form shows other settings, and ask about those that stand."""
        form = self.form
        if form is None or self._asking:
            return
        tables = self.part(form.state.tables())
        if tables == self.tables:
            return
        if tables != self._last_tables:
            self._last_tables = tables
            return
        first, self.tables, self._asking = not self.tables, tables, True
        if first:
            self.show_answer(None, self.WAITING)
        self.post_message(WorkerAsked(self.ASKS, tables, self._answered))

    def _answered(self, answer: Network | DataSheet | None, words: str) -> None:
        self._asking, self._failed = False, answer is None
        if self.is_mounted:
            self.show_answer(answer, words)
            self.refresh_bindings()
