"""The Edits pane: every setting that was changed in a run while it trained, and the way back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tui_gen import config as configs
from tui_gen.app.panes.base import NO_RUN, Pane
from tui_gen.app.panes.form.pane import LiveEditAsked
from tui_gen.edits import EditHistory, EditRow, rows
from tui_gen.params import show
from tui_gen.quantities import count
from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen import events
    from tui_gen.view import RunView

NOTHING = "Nothing was edited while it trained.\nThe form changes live settings: ctrl+T there shows those of the run."
WIDE = 70
"""Columns from which on a row has a time, and a setting its whole name."""


class EditsPane(Pane):
    """Lists the edits of the run that is shown, the oldest first, and those that its config still plans."""

    HELP = """
## Edits

Every setting that was changed while the run trained, by whom and in whichever way: the step from which it counts, when
it was made, the value before and after. `Δ` marks the same steps on the losses. A resume makes them again; so does
`tui-gen --run CONFIG --replay-edits RUN` in another run. What the config plans for later steps is listed, too.

| key | does |
|---|---|
| `u`, `enter` | take back the edit under the cursor: its setting goes back to the value before |
| `ctrl+z` | take back the last one that counts; again, the one before it |
| `ctrl+y` | make the last one again that was taken back |

To take an edit back is an edit of its own, from the step at which the run takes it. Taking that one back makes the
first again. `tui-gen edits RUN` lists the same, `--undo` and `--redo` do the same.
"""
    DEFAULT_CSS = """
    EditsPane > OptionList {
        height: 1fr; border: none; padding: 0; background: $background; scrollbar-size-vertical: 1;
    }
    EditsPane > OptionList:focus { border: none; }
    EditsPane > Static { height: auto; max-height: 2; padding: 0 1; color: $quiet; }
    """
    BINDINGS = [
        Binding("u", "undo_row", "Take it back", id="edits.undo_row"),
        Binding("ctrl+z", "undo", "Undo the last", id="edits.undo"),
        Binding("ctrl+y", "redo", "Redo", id="edits.redo"),
    ]

    def __init__(self, *, id: str | None = "edits", classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.rows: list[EditRow] = []
        self._history = EditHistory([])
        self._plan: object = []
        self._list = OptionList()
        self._foot = Static("", markup=False)

    def compose(self) -> ComposeResult:
        yield self._list
        yield self._foot

    def on_mount(self) -> None:
        self._list_anew()

    def on_resize(self) -> None:
        self._list_anew()

    def show_run(self, view: RunView | None) -> None:
        super().show_run(view)
        self._plan = []
        if view is not None:
            try:
                self._plan = configs.read_toml(view.path / "config.toml").get("edits", [])
            except configs.ConfigError:
                self._plan = []
        self._list_anew(to_end=True)

    def update_view(self, parts: set[str]) -> None:
        view = self.view
        if view is None or not parts & {"marks", "status"}:
            return
        if [edit.t for edit in view.edits] != [edit.t for edit in self._history.edits] or self._passed(view):
            self._list_anew(to_end=True)
        elif "status" in parts:
            self._tell()

    def _passed(self, view: RunView) -> bool:
        """Whether a planned edit is not ahead any more."""
        return any(row.state == "planned" and row.step < view.step for row in self.rows)

    def _list_anew(self, to_end: bool = False) -> None:
        if not self.is_mounted:
            return
        view = self.view
        self._history = EditHistory(view.edits if view is not None else [])
        self.rows = rows(self._history, self._plan, view.step) if view is not None else []
        place, width = self._list.highlighted, max(20, self._list.size.width)
        self._list.clear_options()
        self._list.add_options([Option(line) for line in self._lines(width)])
        if self.rows:
            edit_count = len(self._history.edits)
            last = max(0, edit_count - 1) if edit_count else 0
            self._list.highlighted = last if to_end or place is None else min(place, len(self.rows) - 1)
        self.set_title(f"{len(self._history.edits)}" if self.rows else "")
        self._tell()

    def _lines(self, width: int) -> list[Content]:
        """The rows in columns that are as wide as they need to be."""
        names = [clean(row.key if width >= WIDE else _short(row.key)) for row in self.rows]
        steps = [count(row.step) for row in self.rows]
        name_width, step_width = max(map(len, names), default=0), max(map(len, steps), default=0)
        lines = []
        for row, name, step in zip(self.rows, names, steps):
            clock_time = time.strftime("%H:%M:%S  ", time.localtime(row.t)) if row.t else " " * 10
            change = f"{clean(show(row.old))} → {clean(show(row.new))}".removeprefix(" ")
            quiet = "$quiet" if row.state in ("undone", "undoes", "planned") else ""
            sign = {"undone": "-", "undoes": "↶", "planned": "·"}.get(row.state, "Δ")
            lines.append(
                Content.assemble(
                    (f"{sign} {step:>{step_width}}  ", quiet or "bold"),
                    (clock_time if width >= WIDE else "", "$quiet"),
                    (f"{name:<{name_width}}  ", quiet),
                    (change, quiet or "bold"),
                    (f"  {row.remark}" if row.remark else "", "$quiet"),
                )
            )
        return lines

    def _tell(self) -> None:
        """What can be done, or why nothing can."""
        view = self.view
        if view is None:
            words = NO_RUN
        elif not self.rows:
            words = NOTHING
        elif not view.live:
            words = "The run has ended: what is set when it is resumed, or forked, is an edit as well."
        else:
            words = ""
        if str(self._foot.content) != words:
            self._foot.update(Content(words))
            self._foot.display = bool(words)
        self.refresh_bindings()

    @property
    def current(self) -> EditRow | None:
        """The row under the cursor."""
        at = self._list.highlighted
        return self.rows[at] if at is not None and at < len(self.rows) else None

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Another row: other things can be done."""
        event.stop()
        self.refresh_bindings()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter, or a click on the row under the cursor."""
        event.stop()
        if self.check_action("undo_row", ()):
            self.action_undo_row()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with this run now."""
        live = self.view is not None and self.view.live
        current = self.current if self.is_mounted else None
        match action:
            case "undo_row":
                return True if live and current is not None and current.state != "planned" else None
            case "undo":
                return True if live and self._history.to_undo is not None else None
            case "redo":
                return True if live and self._history.to_redo is not None else None
        return super().check_action(action, parameters)

    def action_undo_row(self) -> None:
        """Take back the edit under the cursor."""
        if (row := self.current) is not None:
            self.post_message(LiveEditAsked(row.key, row.old))

    def action_undo(self) -> None:
        """Take back the last edit that counts."""
        self._back(self._history.to_undo)

    def action_redo(self) -> None:
        """Make the last edit again that was taken back."""
        self._back(self._history.to_redo)

    def _back(self, edit: events.Edit | None) -> None:
        if edit is not None:
            self.post_message(LiveEditAsked(edit.key, edit.old))

    def focus_inside(self) -> None:
        self._list.focus()


def _short(key: str) -> str:
    """The last two names of a key: `vae.lr`."""
    return ".".join(key.split(".")[-2:])
