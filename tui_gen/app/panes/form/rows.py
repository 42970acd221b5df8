"""The fields of a form as one drawn list with a cursor, and one editor that is laid over the row being edited.

Fifty rows cost two widgets: nothing is mounted or composed anew when a model, a section or a message changes. Texts are
drawn as plain cells, so nothing that comes from a file or a person is read as markup.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.strip import Strip

from tui_gen.app.panes.form import relevance
from tui_gen.app.panes.form.state import FormState, Section
from tui_gen.app.widgets.cursor_list import CursorList
from tui_gen.text import NEWLINE, clean

GUTTER = 2
WORDS = 24
"""The help text stands at the right of a row where at least this many cells are free."""


class FieldRow(NamedTuple):
    """One row: a field; a section's heading (`key` empty); or the fold behind which so many of its fields are."""

    key: str
    section: Section
    behind: int = 0

    @property
    def ident(self) -> str:
        """What tells this row from all others, also after the list was built anew."""
        return self.key or f"[{self.section.name}]" + ("…" if self.behind else "")


def fit(text: str, width: int) -> str:
    """A text in exactly `width` cells, cut with … where it is longer."""
    if width <= 0:
        return ""
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1).rstrip() + "…"
    return set_cell_size(text, width)


OTHER_MODIFIERS = {"alt", "ctrl", "super", "hyper", "meta"}
"""Modifiers with which a key types nothing: all but Shift."""


def typed(event: events.Key) -> str:
    """The character that a key types, or an empty text. Textual 8.2 gives Alt and a digit the digit as character."""
    character = event.character or ""
    return "" if OTHER_MODIFIERS & set(event.key.split("+")[:-1]) or not character.isprintable() else character


UNLIMITED = "not limited"
EDITABLE = Style(underline=True)


class FieldList(CursorList, can_focus=True, inherit_bindings=False):
    """Draws a FormState's sections and fields, with a cursor; knows no key and changes no value.

    `pressed(row, column)` is called for a click on a row, `moved()` after the cursor moved, `shifted()` when rows lie
    elsewhere on the screen than before. `taken(character)` tells whether it took what was typed.
    """

    ALLOW_SELECT = False
    COMPONENT_CLASSES = {
        "fields--section",
        "fields--label",
        "fields--value",
        "fields--modified",
        "fields--unit",
        "fields--help",
        "fields--locked",
        "fields--error",
        "fields--note",
        "fields--cursor",
        "fields--here",
    }
    DEFAULT_CSS = """
    FieldList {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        & > .fields--section { text-style: bold; color: $text-primary; }
        & > .fields--value { color: $foreground; }
        & > .fields--modified { color: $text-warning; text-style: bold; }
        & > .fields--unit { color: $quiet; }
        & > .fields--help { color: $faint; }
        & > .fields--locked { color: $quiet; }
        & > .fields--error { color: $text-error; }
        & > .fields--note { color: $text-success; }
        & > .fields--cursor { background: $boost; }
        & > .fields--here { background: $here; text-style: $here-style; }
    }
    """

    def __init__(
        self,
        state: FormState,
        on_press: Callable[[FieldRow, int], None],
        on_move: Callable[[], None],
        on_shift: Callable[[], None],
        take_key: Callable[[str], bool],
    ) -> None:
        super().__init__()
        self.state = state
        self.filter = ""
        self.collapsed: set[str] = set()
        self.unfolded: set[str] = set()
        """Sections of which all fields are shown, not only those that one would change first."""
        self._targets: set[str] = set()
        """Fields that were gone to by name: they are shown though they may have no effect."""
        self.rows: list[FieldRow] = []
        self._on_press, self._on_move, self._on_shift, self._take_key = on_press, on_move, on_shift, take_key
        self._remark = ("", "")
        self._words: dict[str, str] = {}
        self._lines: list[tuple[int, str]] = []
        self._first: list[int] = []
        self._looks: list[tuple[object, ...]] = []
        self._ident = ""
        self._label_width = 0
        self.sync()

    # -- rows

    @property
    def row(self) -> FieldRow:
        """The row under the cursor."""
        return self.rows[self.index]

    @property
    def index(self) -> int:
        """The number of the row under the cursor."""
        return next((at for at, row in enumerate(self.rows) if row.ident == self._ident), 0)

    @property
    def value_column(self) -> int:
        """The column at which values begin."""
        return GUTTER + self._label_width + 1

    @property
    def unfound(self) -> str:
        """What is filtered for, where no setting has it; else empty."""
        return self.filter.strip() if not self.rows else ""

    def sync(self) -> None:
        """Build the rows anew after the state, the filter or the folding changed, and repaint what changed."""
        before = (self.state, [row.ident for row in self.rows], self._lines, self._looks)
        self._words = self.state.placed()
        words = self.filter.lower().split()
        rows: list[FieldRow] = []
        for section in self.state.sections():
            if words:
                keys = [key for key in section.keys if all(word in self._haystack(section, key) for word in words)]
                rows += [FieldRow("", section), *(FieldRow(key, section) for key in keys)] if keys else []
                continue
            keys, rest = relevance.split(self.state, section, self._targets.union(self._words))
            if not keys and not rest:
                continue  # of a phase that is not trained
            rows.append(FieldRow("", section))
            if section.name in self.collapsed:
                continue
            rows += [FieldRow(key, section) for key in keys]
            if rest:
                rows.append(FieldRow("", section, len(rest)))
                whole = section.name in self.unfolded
                rows += [FieldRow(key, section) for key in rest if whole or self.state.modified(key)]
        if not any(row.ident == self._ident and (row.key or not words) for row in rows):
            # The row is gone (folded, another model): its section's fold or heading, or the first field. Of a filter,
            # the first that fits: it was asked for to be edited.
            home = None if words else next((row for row in self.rows if row.ident == self._ident), None)
            folds = [row for row in rows if home and not row.key and row.section.name == home.section.name]
            near = folds[-1] if folds else None
            near = near or next((row for row in rows if row.key), rows[0] if rows else None)
            self._ident = near.ident if near else ""
        self.rows = rows
        longest = max((len(key.rpartition(".")[2]) for key in self.state.params), default=8)
        width = self._width
        self._label_width = min(longest, max(8, int(width * 0.5) - GUTTER - 1))
        self._lines, self._first = [], []
        for at, row in enumerate(rows):
            self._first.append(len(self._lines))
            self._lines.append((at, ""))
            if row.key:
                self._lines += [(at, line) for line in self._below(row.key, width)]
        self.virtual_size = Size(width, len(self._lines))
        self._looks = [self._look(row) for row in rows]
        if before[:3] != (self.state, [row.ident for row in rows], self._lines):
            self.refresh()
            self._on_shift()
            return
        for at, (old, new) in enumerate(zip(before[3], self._looks)):
            if old != new:
                self.refresh_row(at)

    def _look(self, row: FieldRow) -> tuple[object, ...]:
        """All that a row's drawing depends on, besides the cursor."""
        state = self.state
        if not row.key:
            changes = tuple(state.modified(key) for key in row.section.keys)
            folded = row.section.name in (self.unfolded if row.behind else self.collapsed)
            return row.section.title, folded, row.behind, changes, tuple(self._words)
        key = row.key
        flags = (state.modified(key), key in self._words, state.editable(key), key in state.pending)
        return state.text(key), state.params[key], *flags, state.baseline(key), relevance.has_effect(state, key)

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width or 40

    def _haystack(self, section: Section, key: str) -> str:
        return f"{key} {section.title} {self.state.params[key].help} {self.state.text(key)}".lower()

    def _below(self, key: str, width: int) -> list[str]:
        """The lines under a field: what is wrong with it, else what became of a live edit."""
        words = self._words.get(key)
        mark = "!"
        if words is None:
            mark, words = "✓", self.state.notes.get(key)
        if words is None and key in self.state.pending:
            mark, words = "…", "asked for; takes effect at the next step"
        if words is None and key == self._remark[0]:
            mark, words = "–", self._remark[1]
        if words is None:
            return []
        lines = textwrap.wrap(clean(words), max(12, width - GUTTER - 4))[:4]
        return [f"{mark} {line}" if not at else f"  {line}" for at, line in enumerate(lines)]

    def say(self, words: str) -> None:
        """Show words under the row of the cursor, where nothing else is told, until the cursor moves; empty: none."""
        remark = (self.row.key, words) if words and self.rows else ("", "")
        if remark != self._remark:
            self._remark = remark
            self.sync()
            self.show_cursor()

    def line_of(self, index: int) -> int:
        """The first line of a row, counted from the top of the list."""
        return self._first[index] if index < len(self._first) else 0

    def refresh_row(self, index: int) -> None:
        self.refresh_lines(self.line_of(index), sum(1 for at, _ in self._lines if at == index) or 1)

    def move_to(self, index: int) -> None:
        """Put the cursor on a row and bring it, with its message, into view."""
        if not self.rows:
            return
        index = max(0, min(index, len(self.rows) - 1))
        if index != self.index:
            self.say("")
            self.refresh_row(self.index)
            self._ident = self.rows[index].ident
            self.refresh_row(index)
        self.show_cursor()
        self._on_move()

    def go_to(self, ident: str) -> bool:
        """Put the cursor on the row of a key (unfolding its section); whether there is one."""
        section = next((candidate for candidate in self.state.sections() if ident in candidate.keys), None)
        if section is not None and section.name in self.collapsed:
            self.collapsed.discard(section.name)
            self.sync()
        at = next((at for at, row in enumerate(self.rows) if row.ident == ident), None)
        if at is None and section is not None:
            self._targets.add(ident)
            self.sync()
            at = next((at for at, row in enumerate(self.rows) if row.ident == ident), None)
        if at is not None:
            self.move_to(at)
        return at is not None

    def show_cursor(self) -> None:
        """Scroll so that the cursor's row is seen, with a heading or a row of context above it."""
        height = self.scrollable_content_region.height
        if not height or not self.rows:
            return
        top = self.line_of(self.index)
        bottom = top + sum(1 for at, _ in self._lines if at == self.index)
        y = round(self.scroll_y)
        if top - 1 < y:
            self.scroll_to(y=max(0, top - 1), animate=False, immediate=True)
        elif bottom > y + height:
            self.scroll_to(y=min(bottom - height, top), animate=False, immediate=True)

    def toggle(self, row: FieldRow, folded: bool | None = None) -> None:
        """Fold or unfold a row's section, or what is behind its fold."""
        name = row.section.name
        if row.behind:
            folded = name in self.unfolded if folded is None else folded
            (self.unfolded.discard if folded else self.unfolded.add)(name)
        else:
            folded = name not in self.collapsed if folded is None else folded
            (self.collapsed.add if folded else self.collapsed.discard)(name)
        self.sync()
        self._on_move()

    # -- drawing

    def render_line(self, y: int) -> Strip:
        width = self._width
        base = self.rich_style
        at = y + round(self.scroll_y)
        if at >= len(self._lines):
            return Strip.blank(width, base)
        index, below = self._lines[at]
        row = self.rows[index]
        here = row.ident == self._ident
        if here:
            # Not a rule for :focus, which would repaint the whole list whenever the focus moves.
            base = base + self.get_component_rich_style("fields--here" if self.has_focus else "fields--cursor")
        if below:
            has_answer = row.key in self.state.notes or row.key in self.state.pending
            name = "error" if row.key in self._words else "note" if has_answer else "unit"
            style = self._style(base, f"fields--{name}")
            parts = [(" " * GUTTER + "  ", base), (below, style)]
        elif row.key:
            parts = self._field(row.key, base, here, width)
        elif row.behind:
            parts = self._fold(row, base, here)
        else:
            parts = self._heading(row, base, here)
        segments = [Segment(text, style) for text, style in parts if text]
        return Strip(segments).adjust_cell_length(width, base)

    def _style(self, base: Style, name: str) -> Style:
        own = self.get_component_rich_style(name, partial=True)
        return base + own

    def _heading(self, row: FieldRow, base: Style, here: bool) -> list[tuple[str, Style]]:
        folded = row.section.name in self.collapsed and not self.filter
        parts = [("›" if here else " ", base)]
        parts.append((f"{'▸' if folded else '▾'} {clean(row.section.title)}", self._style(base, "fields--section")))
        wrong = sum(1 for key in row.section.keys if key in self._words)
        changes = sum(1 for key in row.section.keys if self.state.modified(key))
        if folded and changes:
            parts.append((f"  * {changes} changed", self._style(base, "fields--modified")))
        if folded and wrong:
            parts.append((f"  ! {wrong} wrong", self._style(base, "fields--error")))
        return parts

    def _fold(self, row: FieldRow, base: Style, here: bool) -> list[tuple[str, Style]]:
        whole = row.section.name in self.unfolded
        words = f"▾ {row.behind} seldom changed" if whole else f"▸ {row.behind} more, seldom changed"
        return [("›" if here else " ", base), (f" {words}", self._style(base, "fields--unit"))]

    def _field(self, key: str, base: Style, here: bool, width: int) -> list[tuple[str, Style]]:
        state, param = self.state, self.state.params[key]
        modified, wrong, locked = state.modified(key), key in self._words, not state.editable(key)
        author = relevance.of_author(state, key)
        mark = "!" if wrong else "…" if key in state.pending else "*" if modified else "·" if author else " "
        look = "error" if wrong else "modified" if modified or key in state.pending else "unit"
        mark_style = self._style(base, f"fields--{look}")
        label_style = self._style(base, "fields--locked" if locked else "fields--label")
        value_name = "fields--locked" if locked else "fields--modified" if modified else "fields--value"
        value_style = self._style(base, value_name)
        text = clean(state.text(key), NEWLINE)
        room = width - self.value_column
        if param.kind == "bool":
            value = {"true": "[x] on", "false": "[ ] off"}.get(text, text)
        elif param.kind == "choice":
            value = fit(text, min(cell_len(text), room - 2)) + ("" if locked else " ▾")
        else:
            value = text
        unit = f" {param.unit}" if param.unit else ""
        if state.unlimited(key):
            value, unit, value_style = UNLIMITED, "", self._style(base, "fields--unit")
        if not text and param.kind != "choice":
            value, value_style = "–", self._style(base, "fields--unit")
        if wrong and not locked and text:
            value_style = self._style(base, "fields--error")
        if state.live and not locked:  # among others that are not: seen without colours, too
            value_style += EDITABLE
        if cell_len(value) + len(unit) > room:
            unit = ""
        end = self.value_column + min(cell_len(value), room) + len(unit)
        start = max(self.value_column + 20, end + 2)
        about = param.help if relevance.has_effect(state, key) else f"no effect without {relevance.lacking(state, key)}"
        words = " " * (start - end) + clean(about) if about and width - start >= WORDS else ""
        return [
            ("›" if here else " ", base),
            (mark, mark_style),
            (fit(param.name, self._label_width), label_style),
            (" ", base),
            (fit(value, min(cell_len(value), room)), value_style),
            (unit, self._style(base, "fields--unit")),
            (fit(words, width - end) if words else "", self._style(base, "fields--help")),
        ]

    # -- events

    def take(self, event: events.Key) -> bool:
        """Have a field edited by what is typed on it, before any key means anything (see `TypingApp`)."""
        return self._take_key(typed(event))

    def refresh_cursor(self) -> None:
        self.refresh_row(self.index)

    def on_resize(self) -> None:
        self.sync()
        self.show_cursor()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._on_shift()

    def on_click(self, event: events.Click) -> None:
        at = event.y + round(self.scroll_y)
        if 0 <= at < len(self._lines):
            index, _ = self._lines[at]
            self.move_to(index)
            self._on_press(self.rows[index], event.x)
