"""A dialog that has something exported: a format, what can be chosen for it, a file; then how far it is, and a way out.

It knows formats as plain data, and has everything done by whoever opened it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button, Checkbox, Input, OptionList, Static
from textual.widgets.option_list import Option

from tui_gen.app.widgets.modal import Modal
from tui_gen.params import Param, show
from tui_gen.text import clean, clean_lines

KEYS = "Enter exports, Tab goes on, Esc leaves"


class Choice(msgspec.Struct, frozen=True):
    """A format: its name, what it is, what can be chosen for it, and why it cannot be written here (empty: it can)."""

    name: str
    help: str
    params: Sequence[Param] = msgspec.field(default_factory=tuple)
    problem: str = ""


class ExportWish(msgspec.Struct, frozen=True):
    """What somebody wants: a format, its options as they were typed (those that are not as they were), and where to."""

    form: str
    texts: dict[str, str]
    target: str


class CannotExport(Exception):
    """Why something was not exported, in words."""


class ExportDialog(Modal[str | None]):
    """Asks for a format, its options and a file, and has it written; the answer is what was done, None for nothing.

    `place(form, texts)` is where an export goes by default, `check(wish)` says what is wrong with a wish before
    anything is begun; `begin(wish, tell)` does it, tells how far it is and returns what was done, or raises
    CannotExport; `cancel()` ends that.
    """

    DEFAULT_CSS = """
    ExportDialog {
        align: center middle;
        & > Vertical {
            width: 90%; max-width: 96; min-width: 40; height: auto; max-height: 96%;
            border: round $primary; background: $surface; padding: 0 1;
        }
        & OptionList {
            height: auto; max-height: 9; border: none; background: $surface; scrollbar-size-vertical: 1;
            text-wrap: nowrap; text-overflow: ellipsis;
        }
        & #options { height: auto; max-height: 9; margin: 1 0 0 0; scrollbar-size-vertical: 1; }
        & .row { height: 1; }
        & .row > Static { width: 14; color: $quiet; }
        & .row > Input, & .row > Checkbox { width: 1fr; }
        & Checkbox { background: $surface; border: none; padding: 0; }
        & #file { margin: 1 0 0 0; }
        & #words { height: auto; min-height: 1; max-height: 6; color: $quiet; }
        & #words.wrong { color: $text-error; }
        & #buttons { height: 1; align-horizontal: right; }
        & Button { margin-left: 2; min-width: 8; }
    }
    """
    BINDINGS = [Binding("escape", "leave", "Cancel", id="export.leave")]

    def __init__(
        self,
        title: str,
        choices: Sequence[Choice],
        place: Callable[[str, dict[str, str]], str],
        check: Callable[[ExportWish], str],
        begin: Callable[[ExportWish, Callable[[str], None]], Awaitable[str]],
        cancel: Callable[[], None],
    ) -> None:
        super().__init__()
        self._title, self._choices = clean(title), list(choices)
        self._place, self._check, self._begin, self._cancel = place, check, begin, cancel
        self._at = 0
        self._fields: dict[str, Input | Checkbox] = {}
        self._proposal = ""
        self._warning_wish: ExportWish | None = None
        self.busy = False
        """Whether something is being exported."""

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(f" {self._title} ")
            width = max(len(choice.name) for choice in self._choices)
            yield OptionList(
                *(Option(Content(clean(f"{choice.name:<{width}}  {choice.problem or choice.help}")))
                  for choice in self._choices),
                compact=True,
            )  # fmt: skip
            yield VerticalScroll(id="options", can_focus=False)
            with Horizontal(classes="row", id="file"):
                yield Static("file", markup=False)
                yield Input(compact=True, select_on_focus=False, id="path")
            yield Static(KEYS, id="words", markup=False)
            with Horizontal(id="buttons"):
                yield Button("Export", id="export", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Begin at the first format."""
        for field_ in self.query(Input):
            field_.cursor_blink = False
        formats = self.query_one(OptionList)
        formats.highlighted = 0
        formats.focus()
        self.call_after_refresh(self._show_options)

    @property
    def choice(self) -> Choice:
        """The format that is chosen."""
        return self._choices[self._at]

    async def _show_options(self) -> None:
        """The options of the format that is chosen, with their defaults."""
        box = self.query_one("#options", VerticalScroll)
        await box.remove_children()
        self._fields, rows = {}, []
        for param in self.choice.params:
            if param.kind == "bool":
                widget: Input | Checkbox = Checkbox(Content(clean(param.help)), bool(param.default), compact=True)
            else:
                widget = Input(show(param.default), placeholder=param.allowed(), compact=True, select_on_focus=False)
                widget.cursor_blink = False
            self._fields[param.name] = widget
            rows.append(Horizontal(Static(param.name.replace("_", " "), markup=False), widget, classes="row"))
        await box.mount(*rows)
        box.display = bool(rows)
        self._propose()

    @property
    def texts(self) -> dict[str, str]:
        """The options that are not as they were."""
        texts_by_name = {}
        for param in self.choice.params:
            widget = self._fields.get(param.name)
            if isinstance(widget, Checkbox) and widget.value != bool(param.default):
                texts_by_name[param.name] = show(widget.value)
            elif isinstance(widget, Input) and widget.value.strip() != show(param.default):
                texts_by_name[param.name] = widget.value.strip()
        return texts_by_name

    def _propose(self) -> None:
        """A name for the file, unless somebody typed another."""
        path = self.query_one("#path", Input)
        if path.value in ("", self._proposal):
            self._proposal = self._place(self.choice.name, self.texts)
            path.value = self._proposal
            path.cursor_position = len(path.value)

    def say(self, words: str, wrong: bool = False) -> None:
        """Say something below the file's name."""
        line = self.query_one("#words", Static)
        line.update("\n".join(clean_lines(words)))
        line.set_class(wrong, "wrong")

    @on(OptionList.OptionHighlighted)
    async def _on_format(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option_index != self._at and not self.busy:
            self._at = event.option_index
            self.say(self.choice.problem or KEYS, bool(self.choice.problem))
            await self._show_options()

    @on(OptionList.OptionSelected)
    def _on_format_taken(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.query_one("#path", Input).focus()

    @on(Input.Changed)
    @on(Checkbox.Changed)
    def _on_changed(self, event: Input.Changed | Checkbox.Changed) -> None:
        event.stop()
        if isinstance(event, Checkbox.Changed) or event.input.id != "path":
            self._propose()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """What the option that has the focus is."""
        param = next((param for param in self.choice.params if self._fields.get(param.name) is event.widget), None)
        if param is not None and not self.busy:
            self.say(f"{param.help} ({param.allowed()})" if param.kind != "bool" else param.help)

    @on(Input.Submitted)
    def _on_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._take()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "export":
            self._take()
        else:
            self.action_leave()

    def _take(self) -> None:
        """Begin what is wished, unless something speaks against it; a file that is there takes a second word."""
        if self.busy:
            return
        target = os.path.expanduser(self.query_one("#path", Input).value.strip())
        wish = ExportWish(self.choice.name, self.texts, target)
        if words := self.choice.problem or self._check(wish):
            self.say(words, wrong=True)
        elif os.path.exists(wish.target) and wish != self._warning_wish:
            self._warning_wish = wish
            self.say(f"{os.path.basename(wish.target)} is there already; once more replaces it", wrong=True)
        else:
            self._set_busy(True)
            self.say("exporting…")
            self.run_worker(self._do(wish), exit_on_error=False)

    async def _do(self, wish: ExportWish) -> None:
        try:
            words = await self._begin(wish, self.say)
        except CannotExport as error:
            self._set_busy(False)
            self._warning_wish = None
            self.say(str(error), wrong=True)
            return
        self.dismiss(words)

    def _set_busy(self, busy: bool) -> None:
        self.busy = busy
        widgets: list[Widget] = [self.query_one(OptionList), self.query_one("#export", Button), *self.query(Input)]
        for widget in [*widgets, *self.query(Checkbox)]:
            widget.disabled = busy
        if busy:
            self.query_one("#cancel", Button).focus()
        else:
            self.query_one("#path", Input).focus()

    def action_leave(self) -> None:
        """End what is being exported; where nothing is, leave."""
        if self.busy:
            self._cancel()
        else:
            self.dismiss(None)
