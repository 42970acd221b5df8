"""Editing the fields of a form by keys and mouse: cursor, steps, one text editor, one list of choices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import events
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.widget import Widget

from tui_gen.app.fields import NEWLINE, FieldList, Row, plain
from tui_gen.app.form_state import FormState

if TYPE_CHECKING:
    from textual.widgets import Input, OptionList

MAX_CHOICES = 12


class FieldEditor(Widget):
    """A form's fields, editable. `state` may be replaced with `show`."""

    DEFAULT_CSS = """
    FieldEditor {
        height: 1fr;
        layers: fields over;
        & > FieldList { layer: fields; }
        & > #editor { layer: over; position: absolute; display: none; width: 20; height: 1; background: $surface; }
        & > #choices {
            layer: over; position: absolute; display: none; height: auto; width: 20;
            border: none; border-left: heavy $primary; border-right: heavy $primary;
            background: $surface-lighten-1; scrollbar-size-vertical: 1;
        }
    }
    """

    BINDINGS = [
        Binding("up", "up", "Up", show=False, id="form.up"),
        Binding("down", "down", "Down", show=False, id="form.down"),
        Binding("shift+up", "step(1, True)", "Big step up", show=False, id="form.step_up_big"),
        Binding("shift+down", "step(-1, True)", "Big step down", show=False, id="form.step_down_big"),
        Binding("right,plus", "forward", "Step up, unfold", show=False, id="form.step_up"),
        Binding("left", "backward", "Step down, fold", show=False, id="form.step_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="form.page_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="form.page_down"),
        Binding("home", "edge(-1)", "First field", show=False, id="form.first"),
        Binding("end", "edge(1)", "Last field", show=False, id="form.last"),
        Binding("enter", "enter", "Edit", show=False, id="form.edit"),
        Binding("space", "space", "Switch over", show=False, id="form.switch"),
        Binding("tab", "next(1)", "Next field", show=False, id="form.next"),
        Binding("shift+tab", "next(-1)", "Previous field", show=False, id="form.previous"),
        Binding("delete,backspace", "reset", "Reset field", show=False, id="form.reset_field"),
        Binding("escape", "cancel", "Cancel", show=False, id="form.cancel"),
    ]

    class Edited(Message):
        """Texts of the form changed."""

    class Moved(Message):
        """The cursor is on another row, or the row under it changed."""

    class Asked(Message):
        """Enter in a live field: its value is asked for."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, state: FormState) -> None:
        super().__init__()
        self.state = state
        self.editing = ""
        """The key of the field whose text is being edited, or an empty string."""
        self.choosing = ""
        """The key of the field whose choices are open, or an empty string."""
        self._shown = ""
        self._editors: tuple[Input, OptionList] | None = None
        self.list = FieldList(state, self._pressed, self._moved, self._place)

    def compose(self) -> ComposeResult:
        yield self.list

    def on_mount(self) -> None:
        # Neither mounted nor imported before the first frame, which shows no editor.
        self.call_after_refresh(self._mount_editors)

    def _mount_editors(self) -> tuple[Input, OptionList]:
        if self._editors is None:
            from textual.widgets import Input, OptionList

            editor = Input(id="editor", compact=True, select_on_focus=False)
            editor.cursor_blink = False
            self._editors = editor, OptionList(id="choices", compact=True, markup=False)
            if self.is_attached:
                self.mount(*self._editors)
        return self._editors

    @property
    def editor(self) -> Input:
        """The one text editor."""
        return self._mount_editors()[0]

    @property
    def choices(self) -> OptionList:
        """The one list of choices."""
        return self._mount_editors()[1]

    @property
    def key(self) -> str:
        """The key of the field under the cursor; empty on a heading."""
        return self.list.row.key if self.list.rows else ""

    def show(self, state: FormState) -> None:
        """Show another state in place."""
        self.leave()
        self.state = self.list.state = state
        self.sync()

    def sync(self) -> None:
        """Repaint after the state changed."""
        self.list.sync()
        if self.editing and self.editing not in self.state.params:
            self.leave()
        # Not while a key that was typed is still on its way into the state.
        if self.editing and self.editor.value == self._shown != plain(self.state.text(self.editing)):
            self._fill(self.state.text(self.editing))
        self._moved()

    def changed(self) -> None:
        """Repaint and tell: the form's texts changed."""
        self.sync()
        self.list.show_cursor()
        self.post_message(self.Edited())

    # -- the text editor ----------------------------------------------------------------------------------------

    def begin(self, text: str | None = None) -> None:
        """Edit the text of the field under the cursor; `text` replaces what stands there."""
        key = self.key
        if not key or not self.state.editable(key):
            return
        self.close_choices()
        self.state.close()
        self.editing = key
        self._fill(self.state.text(key))
        editor = self.editor
        self._place()
        editor.display = True
        self.screen.set_focus(editor, scroll_visible=False)
        if text is None:
            editor.select_all()
        else:
            editor.value = ""
            editor.insert_text_at_cursor(text)
            self._typed(editor.value)

    def _fill(self, text: str) -> None:
        editor = self.editor
        with editor.prevent(editor.Changed):
            editor.value = self._shown = plain(text)
        editor.cursor_position = len(editor.value)

    def _typed(self, shown: str) -> None:
        """Take over what stands in the editor; ↵ is a line end. Text that nobody touched is left as it is."""
        if self.editing and shown != self._shown:
            text = shown.replace(NEWLINE, "\n")
            self._shown = shown
            if self.state.set_text(self.editing, text):
                self.changed()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value == self.editor.value:
            self._typed(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_enter()

    def on_input_blurred(self, event: Input.Blurred) -> None:
        event.stop()
        if self.app.app_focus and self.screen.focused is not self.editor:
            self.leave(refocus=False)

    def leave(self, refocus: bool = True) -> None:
        """Stop editing; what was typed stays."""
        self.close_choices()
        if not self.editing:
            return
        self._typed(self.editor.value)
        had_focus = self.screen.focused is self.editor
        self.editing = ""
        self.state.close()
        self.editor.display = False
        if refocus and had_focus:
            self.screen.set_focus(self.list, scroll_visible=False)
        self._moved()

    def _place(self) -> None:
        """Lay the editor, or the choices, over the row they belong to."""
        if not (self.editing or self.choosing) or not self.is_mounted:
            return
        line = self.list.line_of(self.list.index) - round(self.list.scroll_y)
        left = self.list.value_column
        region = self.list.scrollable_content_region
        if self.editing:
            self.editor.styles.offset = (left, line)
            self.editor.styles.width = max(4, region.width - left)
            self.editor.visible = 0 <= line < region.height
        if self.choosing:
            count = min(self.choices.option_count, MAX_CHOICES, max(3, region.height))
            top = line + 1 if line + 1 + count <= region.height else max(0, min(line - count, region.height - count))
            widest = max((len(str(option.prompt)) for option in self.choices.options), default=8)
            width = min(region.width, max(10, widest + 4))
            self.choices.styles.offset = (max(0, min(left - 1, region.width - width)), top)
            self.choices.styles.width = width
            self.choices.styles.height = count

    # -- the list of choices ------------------------------------------------------------------------------------

    def open_choices(self) -> None:
        """Open the choices of the field under the cursor."""
        key = self.key
        self.leave()
        param = self.state.params[key]
        choices = self.choices
        choices.set_options([plain(str(choice)) for choice in param.choices])
        value = self.state.value(key)
        choices.highlighted = param.choices.index(value) if value in param.choices else 0 if param.choices else None
        self.choosing = key
        self._place()
        choices.display = True
        self.screen.set_focus(choices, scroll_visible=False)

    def close_choices(self) -> None:
        """Close the choices without taking one."""
        if self.choosing:
            self.choosing = ""
            had_focus = self.screen.focused is self.choices
            self.choices.display = False
            if had_focus:
                self.screen.set_focus(self.list, scroll_visible=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        key = self.choosing
        self.close_choices()
        if key in self.state.params and event.option_index < len(self.state.params[key].choices):
            self._set(key, str(self.state.params[key].choices[event.option_index]))
            if self.state.live:
                self.post_message(self.Asked(key))

    def _set(self, key: str, text: str) -> None:
        if self.state.set_text(key, text):
            self.state.close()
            self.changed()

    # -- keys and mouse -----------------------------------------------------------------------------------------

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        if self.choosing and event.widget is self.choices and self.app.app_focus:
            self.close_choices()

    def on_key(self, event: events.Key) -> None:
        """Keys typed so fast that the focus had not reached the editor yet belong to it."""
        if self.editing and event.character is not None and event.is_printable:
            self.editor.insert_text_at_cursor(event.character)
            event.stop()
            event.prevent_default()

    def on_paste(self, event: events.Paste) -> None:
        if self.list.has_focus and self.key and self.state.params[self.key].kind not in ("bool", "choice"):
            lines = event.text.splitlines()
            self.begin(lines[0] if lines else "")
            event.stop()

    def _pressed(self, row: Row, column: int) -> None:
        self.leave()
        if not row.key:
            self.list.toggle(row)
        elif column == 1 and self.state.modified(row.key):
            self.action_reset()
        elif column >= self.list.value_column and self.state.editable(row.key):
            self._activate(row.key)

    def _activate(self, key: str) -> None:
        kind = self.state.params[key].kind
        if kind == "bool":
            self.action_step(1)
        elif kind == "choice":
            self.open_choices()
        else:
            self.begin()

    def _moved(self) -> None:
        self.post_message(self.Moved())

    def _move(self, by: int) -> None:
        self.leave()
        self.state.close()
        self.list.move_to(self.list.index + by)

    def action_up(self) -> None:
        if not (self.editing and self.state.step(self.editing, 1)):
            self._move(-1)
        else:
            self.changed()

    def action_down(self) -> None:
        if not (self.editing and self.state.step(self.editing, -1)):
            self._move(1)
        else:
            self.changed()

    def action_step(self, direction: int, big: bool = False) -> None:
        """Step the field under the cursor."""
        if self.key and self.state.step(self.key, direction, big):
            self.changed()

    def action_forward(self) -> None:
        if self.key:
            self.action_step(1)
        else:
            self.list.toggle(self.list.row, folded=False)

    def action_backward(self) -> None:
        if self.key:
            self.action_step(-1)
        else:
            self.list.toggle(self.list.row, folded=True)

    def action_page(self, direction: int) -> None:
        self._move(direction * max(1, self.list.scrollable_content_region.height - 2))

    def action_edge(self, direction: int) -> None:
        self._move(direction * len(self.list.rows))

    def action_enter(self) -> None:
        """End editing; or begin it; or ask a running run for the value that stands here."""
        key = self.key
        editing = self.editing
        self.leave()
        if not key:
            if self.list.rows:
                self.list.toggle(self.list.row)
        elif self.state.live and self.state.editable(key) and self.state.modified(key):
            self.post_message(self.Asked(key))
        elif not editing and self.state.editable(key):
            self._activate(key)

    def action_space(self) -> None:
        if not self.key:
            self.action_enter()
        elif self.state.editable(self.key):
            self._activate(self.key)

    def action_next(self, direction: int) -> None:
        """While editing: end it and edit the next field; otherwise leave the form."""
        if not self.editing:
            self.close_choices()
            raise SkipAction()
        self._move(direction)
        while not self.key and 0 < self.list.index < len(self.list.rows) - 1:
            self.list.move_to(self.list.index + direction)
        if self.key and self.state.params[self.key].kind not in ("bool", "choice"):
            self.begin()

    def action_reset(self) -> None:
        """Put back what the recipe says in the field under the cursor."""
        if self.key:
            self.state.reset(self.key)
            self.changed()

    def action_cancel(self) -> None:
        """Close the choices; or end editing and take back what was typed since it began."""
        if self.choosing:
            self.close_choices()
        elif self.editing:
            self.state.take_back()
            self._fill(self.state.text(self.editing))
            self.leave()
            self.changed()
        elif self.state.live and self.key and self.key not in self.state.asked and self.state.modified(self.key):
            self.action_reset()
        else:
            raise SkipAction()
