"""What the workbench's panes have in common: a titled, framed container that shows one run.

A pane owns its behaviour. The shell tells it which run is shown (`show_run`) and, while it is on screen, which parts
of that run changed (`update_view`). Whatever was missed off screen is handed over when the pane comes back.
"""

from __future__ import annotations

import importlib
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from textual.content import Content
from textual.geometry import Region
from textual.message import Message
from textual.widget import Widget

from tui_gen.app.panes.registry import Row, row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tui_gen.cards import Card
    from tui_gen.catalog import Catalog
    from tui_gen.sheet import DataSheet
    from tui_gen.verdicts.network import Network
    from tui_gen.view import RunView


NO_RUN = "No run is shown.\nChoose a recipe and start it, or open a run from the Runs pane."
"""What a pane of a run says where there is none."""


class Belongings(NamedTuple):
    """What a pane may be made from: the models and recipes that are known, and the folder of the runs."""

    catalog: Catalog
    root: Path


class Entry(NamedTuple):
    """What a pane adds to the command palette: its words, what it does, a line of help."""

    name: str
    call: Callable[[], object]
    help: str
    here: bool = True
    """Whether the pane is brought on screen for it."""


class WorkerAsked(Message):
    """Something about settings is wanted that only a process with PyTorch can tell: `op` says what, of these tables.

    `then(found, words)` is called with it, or with None and why it cannot be told.
    """

    def __init__(
        self, op: str, tables: dict[str, Any], then: Callable[[Network | DataSheet | None, str], None]
    ) -> None:
        super().__init__()
        self.op, self.tables, self.then = op, tables, then


def class_of(row: Row) -> type[Pane]:
    """The class of a row's pane, imported where it was not yet."""
    module, _, name = row.source.partition(":")
    pane_class: type[Pane] = getattr(importlib.import_module(module), name)
    return pane_class


def make(row: Row, belongings: Belongings) -> Pane:
    """The pane of a row, with what panes may know of the workbench."""
    return class_of(row).of(belongings, row.id)


class Pane(Widget):
    """A titled frame around focusable children; can be maximised and resized by the shell.

    A subclass sets HELP (Markdown, shown by F1) and overrides `compose`, `show_run` and `update_view`; the rest where
    it has something to say to it. Its title and key are in `registry.PANES`.
    """

    HELP: ClassVar[str] = ""
    ALLOW_MAXIMIZE = False  # the workspace does it, with menu and status bar still in view

    DEFAULT_CSS = """
    Pane {
        layout: vertical;
        border: round $frame;
        border-title-color: $quiet;
        border-title-style: none;
        border-subtitle-color: $quiet;
        overflow: hidden hidden;
        height: 1fr;
        width: 1fr;
    }
    Pane:focus-within {
        border: heavy $primary;
        border-title-color: $text;
        border-title-style: bold reverse;
    }
    """

    _frame_row: int | None = None
    """The row of the frame whose title is being set."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        pane_row = row(id)
        self.key, self.title = (pane_row.key, pane_row.title) if pane_row is not None else ("", "")
        self.view: RunView | None = None
        self.card: Card | None = None
        """What is told of the recipe in the form."""
        self.news: set[str] = set()
        """Parts that changed since this pane's last `update_view`; kept by the shell."""
        self._titles: tuple[str, str] | None = None
        self.set_title()

    @classmethod
    def of(cls, belongings: Belongings, id: str) -> Self:
        """The pane as the workbench has it. Override where it is made from some of the belongings."""
        return cls(id=id)

    def set_title(self, detail: str = "", subtitle: str = "") -> None:
        """Title of the frame, with a detail after it (`3 Losses · log`); plain text, never markup."""
        key = f"{self.key} " if self.key else ""
        title = Content(f" {key}{self.title}{' · ' + detail if detail else ''} ")
        before, self._titles = self._titles, (title.plain, subtitle)
        if before is None or title.plain != before[0]:
            self._frame_row = 0
            self.border_title = title
        if before is None or subtitle != before[1]:
            self._frame_row = -1
            self.border_subtitle = Content(f" {subtitle} " if subtitle else "")
        self._frame_row = None

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """As any widget's, but for a title: Textual draws the whole pane for one, of which only a row is another."""
        if (row := self._frame_row) is not None and self.is_mounted:
            regions = (self._row_of_frame(row),)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def _row_of_frame(self, row: int) -> Region:
        """The first row of the pane, or with -1 the last one, as seen from its content."""
        width, height = self.outer_size
        return Region(0, row % max(1, height), width, 1).translate(-self.content_offset)

    def show_run(self, view: RunView | None) -> None:
        """Another run is shown from now on, or none. Override, and call this first."""
        self.view = view

    def update_view(self, parts: set[str]) -> None:
        """Parts of the run that changed (of RunView.PARTS) since the last call. Called only while on screen."""

    def draw_now(self) -> None:
        """Draw for the places that a layout just gave. Override where a pane draws by itself when its size changes."""

    def beat(self, quiet_for: float) -> None:
        """About a second has passed, `quiet_for` seconds since there was news of the run. Called only while on screen.
        """

    def label(self, words: str, action: str) -> str:
        """What an action of this pane is called now: `words`, unless doing it once more would undo it.

        Short words are those of a row of keys, where there is little room.
        """
        return words

    def help(self) -> tuple[str, str]:
        """The title and the text (Markdown) of what F1 shows."""
        return self.title, self.HELP

    def entries(self) -> Iterable[Entry]:
        """What the command palette offers beside this pane's actions."""
        return ()

    def show_card(self, card: Card | None) -> None:
        """This recipe is in the form: told while no run is shown, so that an empty pane says what will be in it."""
        self.card = card

    def set_catalog(self, catalog: Catalog) -> None:
        """Other models and recipes are known from now on."""

    def note(self, level: str, text: str) -> None:
        """Something was said that is kept (`info`, `state`, `warning` or `error`)."""

    def runs_changed(self) -> None:
        """The runs of the folder are not what they were."""

    def focus_inside(self) -> None:
        """Focus the first thing in the pane that is shown and takes focus; the pane itself where there is none."""
        for node in self.walk_children(Widget):
            parts = takewhile(lambda part: part is not self, node.ancestors_with_self)
            if node.focusable and all(part.display for part in parts):
                node.focus()
                return
        self.can_focus = True
        self.focus()

    def on_blur(self) -> None:
        """Only a pane without anything to focus inside takes the focus itself."""
        self.can_focus = False
