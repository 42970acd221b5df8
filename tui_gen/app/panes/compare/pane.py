"""The Compare pane: two to twelve runs beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from textual.app import ComposeResult

from tui_gen import runs
from tui_gen.app.panes.base import Belongings, Entry, Pane
from tui_gen.app.panes.compare.settings import settings_rows
from tui_gen.app.panes.compare.table import Cell, Cells, TableView
from tui_gen.app.panes.curves.plot import DARK, LIGHT
from tui_gen.compared import MOST, ComparedRun, of_paths
from tui_gen.draw.canvas import legend_glyph
from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.catalog import Catalog

OFFERED = 200
"""Runs in the command palette, at most."""
NOTHING = (
    "Nothing is compared.\nIn the Runs pane, Space marks runs and c compares them;\n"
    "the command palette has “Compare with …” for the run that is shown."
)


class ComparePane(Pane):
    """Shows in which settings runs differ."""

    HELP = """
## Compare

The runs that were marked in the Runs pane (Space marks, `c` compares), or that the palette's **Compare with …** added
to the run that is shown; two to twelve. Each has a letter and a colour that stay its own.

The table has only the settings that are not the same in all of them; `°` marks what a run has as it is where nothing is
stated, `–` what it does not have.
"""

    def __init__(self, catalog: Catalog, root: Path, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.catalog, self.root = catalog, root
        self.compared: list[ComparedRun] = []
        self._table = TableView(self._colour)

    @classmethod
    def of(cls, belongings: Belongings, id: str) -> Self:
        """The pane, with what settings are declared."""
        return cls(belongings.catalog, belongings.root, id=id)

    def compose(self) -> ComposeResult:
        """The table."""
        yield self._table

    def on_mount(self) -> None:
        """Say what to do."""
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self._table.refresh())
        self._redraw()

    def set_catalog(self, catalog: Catalog) -> None:
        """Other settings are declared from now on."""
        self.catalog = catalog
        self._redraw()

    def compare(self, paths: Sequence[Path]) -> None:
        """Show these runs from now on."""
        self.compared = of_paths(paths, {self.view.path: self.view} if self.view is not None else {})
        self.set_title(f"{len(self.compared)} runs" if self.compared else "")
        if len(list(dict.fromkeys(paths))) > MOST:
            self.notify(f"Only the first {MOST} of these runs are compared.", severity="warning")
        self._redraw()

    def add(self, path: Path) -> None:
        """Compare with one more run: with those that are compared, or with the run that is shown."""
        before = [run.path for run in self.compared]
        if not before and self.view is not None:
            before = [self.view.path]
        self.compare([*before, path])

    def entries(self) -> Iterable[Entry]:
        """Every run that could be added."""
        taken = {run.path for run in self.compared} or ({self.view.path} if self.view is not None else set())
        try:
            folders = runs.folders(self.root)
        except runs.RunError:
            return
        for _, path in folders[: OFFERED + len(taken)]:
            if Path(path) not in taken:
                name = f"Compare with: {clean(Path(path).name)}"
                yield Entry(name, partial(self.add, Path(path)), "in the Compare pane")

    def _colour(self, slot: int) -> str:
        hues = DARK if self.app.current_theme.dark else LIGHT
        return hues[slot % len(hues)]

    def _redraw(self) -> None:
        if not self.is_mounted:
            return
        if not self.compared:
            self._table.show([], [[Cell(line, "quiet")] for line in NOTHING.split("\n")])
            return
        self._table.show(self._head(), settings_rows(self.compared, self.catalog))

    def _head(self) -> Cells:
        """The runs, each with its letter, glyph and colour."""
        terminal = getattr(self.app, "terminal", None)
        plain = terminal is not None and not terminal.unicode
        names = [f"{legend_glyph(run.slot, plain)} {run.letter} {run.name}" for run in self.compared]
        return [Cell(""), *(Cell(name, f"run.{run.slot}") for name, run in zip(names, self.compared))]
