"""The losses pane: live curves of the shown run, a panel a metric, with one crosshair and one window for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

from textual.app import ComposeResult

from tui_gen.app.panes.asking import ForkAsked, RunsAsked
from tui_gen.app.panes.base import NO_RUN, Belongings
from tui_gen.app.panes.curves.grid import Empty
from tui_gen.app.panes.curves.looking import Across
from tui_gen.app.panes.curves.pane import CurvesPane
from tui_gen.app.panes.losses.going import GoingLine, readings_of
from tui_gen.app.panes.losses.keys import BINDINGS, HELP
from tui_gen.app.panes.losses.shown import Word, levels_of, word_on
from tui_gen.draw.canvas import Mark
from tui_gen.draw.curves import Level
from tui_gen.draw.series import Series
from tui_gen.marks import marks_of
from tui_gen.progress import preparation
from tui_gen.states import state_look
from tui_gen.text import clean
from tui_gen.verdicts.glossary import about_all, model_of
from tui_gen.verdicts.goals import Goal, goals_of
from tui_gen.verdicts.panels import Panel, panels_of

if TYPE_CHECKING:
    from tui_gen.cards import Card
    from tui_gen.catalog import Catalog
    from tui_gen.view import RunView


class LossesPane(CurvesPane):
    """Curves of every metric of the shown run."""

    HELP = HELP
    BINDINGS: ClassVar = BINDINGS

    DEFAULT_CSS = """
    LossesPane.empty PlotGrid, LossesPane.empty PlotBar { display: none; }
    LossesPane Empty { display: none; }
    LossesPane.empty Empty { display: block; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(Across(), id=id, classes=classes)
        self.catalog: Catalog | None = None
        self.goals: list[Goal] = []
        self._names: tuple[str, ...] = ()
        self._word: Word = ([], [], "")  # the model's and the recipe's, on the order and what shares a plot
        self._going = GoingLine()
        self._empty = Empty()

    @classmethod
    def of(cls, belongings: Belongings, id: str) -> Self:
        """The pane, with what recipes say of their figures."""
        pane = cls(id=id)
        pane.catalog = belongings.catalog
        return pane

    def set_catalog(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._aim()
        self.redraw()

    def compose(self) -> ComposeResult:
        yield self._going
        yield self.bar
        yield self.grid
        yield self._empty

    # -- the run

    def show_run(self, view: RunView | None) -> None:
        super().show_run(view)
        self._names = ()
        self._aim()
        self.across.show(view)
        self.start_over()
        self.redraw()

    def _aim(self) -> None:
        """Look up what the run that is shown should reach."""
        view, catalog = self.view, self.catalog
        self.goals = goals_of(view.path / "config.toml", catalog) if view is not None and catalog is not None else []

    @property
    def goal(self) -> Goal | None:
        """What the run is judged by: of what its recipe states, the first that its log has."""
        return next((goal for goal in self.goals if goal.curve in self._names), None)

    def show_card(self, card: Card | None) -> None:
        """Tell of the recipe while there is no run."""
        super().show_card(card)
        if self.view is None:
            self.redraw()

    def update_view(self, parts: set[str]) -> None:
        if parts & {"series", "marks", "status"} and (parts != {"status"} or not self._names):
            self.redraw()

    def _words(self) -> str:
        view = self.view
        if view is None:
            return self.card.words if self.card is not None else NO_RUN
        if view.progress is not None:
            return preparation(view.progress)
        if view.live:
            return f"The run {state_look(view.state).doing}. Its first values appear here."
        why = f"\n{view.reason}" if view.reason else ""
        return f"The run {state_look(view.state).doing}, and has no values.{why}"

    # -- drawing

    def redraw(self) -> None:
        """Draw every plot that has a place. Cheap when nothing is visible."""
        if not self.is_mounted:
            return
        names = tuple(self.view.series) if self.view else ()
        word = word_on(self.view, self.goals)
        if (names, word) != (self._names, self._word):
            self._names, self._word = names, word
            self.panels = panels_of(names, *word)
        self.set_class(not names, "empty")
        if not names:
            self._going.show(None, None, self.size)
            self._empty.say(self._words())
            return
        panels, cursor = self.shown_panels(), self.looking.cursor
        others = [panel for panel in self.panels if panel not in panels]
        here = (0.0, 0.0) if cursor is None else self.column_about(cursor)
        self._going.show(self.view, self.goal, self.size, others, cursor, here)
        self.draw_plots()

    def curves(self, panel: Panel) -> Mapping[str, Series]:
        """The run's series."""
        return self.view.series if self.view is not None else {}

    def marks(self) -> list[Mark]:
        """What happened in the run."""
        return marks_of(self.view) if self.view is not None else []

    def levels(self, panel: Panel) -> list[Level]:
        """The figures to come to that belong to one of a panel's curves, each value once."""
        return levels_of(panel, self.goals)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A fork needs a run."""
        if action == "fork":
            return True if self.view is not None else None
        return super().check_action(action, parameters)

    def action_fork(self) -> None:
        """A new run from the crosshair's step on."""
        cursor = self.looking.cursor
        if self.view is not None:
            self.post_message(ForkAsked(self.view.path, None if cursor is None else max(0, round(cursor))))

    def help(self) -> tuple[str, str]:
        """How the run goes, and what the chosen plot's metric is by the model's text, before what this pane can do."""
        current, view = self.current, self.view
        metrics = [curve.metric for curve in current.curves] if current is not None else []
        words = about_all(metrics, model_of(view.path), self.catalog) if view is not None else ""
        here = self.at_crosshair(self.marks())  # of which the row above the plots has as much as there is room for
        read = self._readings()
        return self.title, "\n\n".join(filter(None, (self._going.whole, here, read, words, self.HELP)))

    def _readings(self) -> str:
        """What every curve reads at the crosshair, as Markdown: on screen only those that there is room for."""
        view, cursor = self.view, self.looking.cursor
        if view is None or cursor is None:
            return ""
        words = readings_of(view, self.panels, cursor, self.column_about(cursor))
        return "\n".join(f"- {clean(one)}" for one in words)

    def runs_changed(self) -> None:
        """Notes may be others."""
        self.redraw()

    def action_note(self) -> None:
        """Note something about the step at the crosshair, or the newest one."""
        if self.view is not None:
            step = self.view.step if self.looking.cursor is None else round(self.looking.cursor)
            self.post_message(RunsAsked("note", [self.view.path], max(0, step)))

    def label(self, words: str, action: str) -> str:
        """The scale that the key would give."""
        if action == "log" and self.looking.log_y:
            return "Losses on a linear scale" if len(words) > 3 else "Linear"
        return words
