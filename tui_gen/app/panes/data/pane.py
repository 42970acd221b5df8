"""The Data pane: what the form's dataset holds, its classes, and what augmentation makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from tui_gen.app.panes.form.asking import AskingPane
from tui_gen.app.panes.samples.imaging import Subject
from tui_gen.app.panes.samples.picture import PictureView, modes_of
from tui_gen.app.terminal.found import terminal_of
from tui_gen.draw.spark import bar
from tui_gen.draw.text import elided, width_of
from tui_gen.quantities import count
from tui_gen.sheet import DataSheet
from tui_gen.text import clean, clean_lines

if TYPE_CHECKING:
    from textual import events

    from tui_gen.verdicts.network import Network


NAMES = {"examples": "examples", "augmented": "as augmented"}
ROOMY = 16
"""Rows of a pane with room for more than one warning."""
WIDEST = 34
"""Columns of the classes, at most; a third of the pane where that is less."""


class DataPane(AskingPane):
    """Shows a contact sheet of the data that the form names, how many there are of each class, and augmented images."""

    ASKS, WAITING = "sheet", "Reading the data; a process loads PyTorch for that…"
    HELP = """
## Data

What the dataset in the form holds as a run would train on it, with its size, colour, limit and held-out part: images
drawn at random, a column for each class; the density of points; how texts begin. Beside it, the number of training
examples of each class. What is warned of (files that cannot be read, folders that are left out) stands above, with `!`.
Nothing is downloaded for it.

- **t** turns to what augmentation (flip, shift, rotate) makes of some images, and back
- **g** draws pictures in another way
"""
    DEFAULT_CSS = """
    DataPane > #data-words { height: auto; max-height: 3; padding: 0 1; color: $quiet; }
    DataPane.roomy > #data-words { max-height: 8; }
    DataPane > Horizontal { height: 1fr; }
    DataPane #data-classes { width: auto; max-width: 34; padding: 0 1; }
    """
    BINDINGS = [
        Binding("t", "turn", "Augmented", id="data.turn"),
        Binding("g", "graphics", "Graphics", show=False, id="data.graphics"),
    ]

    def __init__(self, *, id: str | None = "data", classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.sheet: DataSheet | None = None
        self.kind = "examples"
        self._picture = PictureView()

    def compose(self) -> ComposeResult:
        """A line of words, the picture, the classes."""
        yield Static("Waiting for the settings of the form.", id="data-words", markup=False)
        with Horizontal():
            yield self._picture
            yield Static("", id="data-classes", markup=False)

    def on_mount(self) -> None:
        """Draw as the terminal can."""
        self._picture.set_mode(self.modes()[0])

    def part(self, tables: dict[str, Any]) -> dict[str, Any]:
        """The dataset, and the seed that decides what is made up."""
        train = tables.get("train", {})
        return {"dataset": tables.get("dataset", {}), "seed": train.get("seed", 0) if isinstance(train, dict) else 0}

    def show_answer(self, answer: Network | DataSheet | None, words: str) -> None:
        """Show a sheet, or why there is none."""
        self.sheet = answer if isinstance(answer, DataSheet) else None
        if self.sheet is None:
            self.query_one("#data-words", Static).update(Content("\n".join(clean_lines(words))))
            self._picture.show_words("")
            self._list_classes()
            return
        if self.kind not in self.sheet.pictures:
            self.kind = "examples"
        self._draw()

    def _draw(self) -> None:
        sheet = self.sheet
        if sheet is None:
            return
        ways = [NAMES[name] if name != self.kind else f"▸{NAMES[name]}" for name in sheet.pictures if name in NAMES]
        turn = f"{' · '.join(ways)} — " if len(ways) > 1 else ""
        shown = sheet.warnings[: 6 if self.has_class("roomy") else 1]
        rest = f" (and {len(sheet.warnings) - len(shown)} more)" if len(shown) < len(sheet.warnings) else ""
        lines = [f"{turn}{sheet.words}", *(f"! {words}" for words in shown)]
        lines[-1] += rest
        self.query_one("#data-words", Static).update(Content("\n".join(map(clean, lines))))
        picture = sheet.pictures.get(self.kind)
        if picture is None:
            self._picture.show_words("\n".join(clean_lines(sheet.text)))
        else:
            self._picture.show_pictures(Subject(picture.path, picture.grid, None, picture.gap, picture.tiles))
        self._list_classes()

    def _list_classes(self) -> None:
        """A bar for each class, the row of the rest below where not all fit."""
        table = self.query_one("#data-classes", Static)
        classes = self.sheet.classes if self.sheet is not None else []
        room = min(WIDEST - 2, max(0, self.size.width // 3 - 2))
        table.display = len(classes) > 1 and room >= 16
        if not table.display:
            return
        height = max(1, self._picture.size.height or self.size.height - 2)
        rows = classes if len(classes) <= height else classes[: height - 1]
        most = max(number for _, number in classes) or 1
        digits = max(len(count(number)) for _, number in classes)
        wide = min(max(width_of(clean(name)) for name, _ in classes), max(4, room - digits - 8))
        lines = []
        for name, number in rows:
            label = elided(clean(name), wide)
            share_bar = bar(number / most, max(1, room - wide - digits - 2))
            words = f"{label}{' ' * (wide - width_of(label))} {count(number):>{digits}} "
            lines.append(Content.assemble(words, (share_bar, "$text-primary")))
        if len(rows) < len(classes):
            lines.append(Content.styled(f"and {len(classes) - len(rows)} more", "$quiet"))
        table.update(Content("\n").join(lines))

    def on_resize(self, event: events.Resize) -> None:
        """Lay the classes out anew; the picture does so itself."""
        self.set_class(self.size.height >= ROOMY, "roomy")
        if self.sheet is not None:
            self._draw()
            self.call_after_refresh(self._list_classes)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is something to turn to where images are augmented."""
        if action == "turn":
            return True if self.sheet is not None and "augmented" in self.sheet.pictures else None
        return super().check_action(action, parameters)

    def label(self, words: str, action: str) -> str:
        """What the key turns to."""
        return "As they are" if action == "turn" and self.kind == "augmented" else words

    def action_turn(self) -> None:
        """Turn from the examples to augmented ones, or back."""
        self.kind = "examples" if self.kind == "augmented" else "augmented"
        self._draw()
        self.refresh_bindings()

    def modes(self) -> list[str]:
        """The ways of drawing that this terminal has, the best first."""
        return [mode for mode in modes_of(terminal_of(self)) if mode != "off"]

    def action_graphics(self) -> None:
        """Draw in another way."""
        modes, mode = self.modes(), self._picture.mode
        self._picture.set_mode(modes[(modes.index(mode) + 1) % len(modes)] if mode in modes else modes[0])
