"""Editing the fields of a form by keys and mouse: cursor, steps, one text editor, one list of choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from tui_gen.app.panes.form import words as form_words
from tui_gen.app.panes.form.rows import FieldList, FieldRow, typed
from tui_gen.app.panes.form.state import FormState
from tui_gen.text import NEWLINE, clean

if TYPE_CHECKING:
    from textual.widgets import Input, OptionList

    from tui_gen.app.panes.form.inputs import Choices

MAX_CHOICES = 12


class FieldEditor(Widget):
    """A form's fields, editable. `state` may be replaced with `show`."""

    DEFAULT_CSS = """
    FieldEditor {
        height: 1fr;
        layers: fields over;
        overflow: hidden;
        & > FieldList { layer: fields; }
        /* Hidden, not taken out: that would change the order of the layers and so repaint the whole list. */
        & > #editor { layer: over; position: absolute; visibility: hidden; width: 20; height: 1; background: $surface; }
        & > #choices {
            layer: over; position: absolute; visibility: hidden; height: 1; width: 20;
            border: none; border-left: heavy $primary; border-right: heavy $primary;
            background: $surface-lighten-1; scrollbar-size-vertical: 1;
        }
    }
    """

    # With priority, so that they happen in the order in which keys were pressed: an Enter gives the focus to the editor
    # before the text typed after it is handed out.
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(keys, f"do('{name}')", words, show=False, priority=True, id=f"form.{name}")
            for keys, name, words in (
                ("up", "up", "Up; a step up while editing"),
                ("down", "down", "Down; a step down while editing"),
                ("shift+up", "big_up", "Big step up"),
                ("shift+down", "big_down", "Big step down"),
                ("right,plus", "forward", "Step up, unfold"),
                ("left", "backward", "Step down, fold"),
                ("pageup", "page_up", "Page up"),
                ("pagedown", "page_down", "Page down"),
                ("home", "first", "First field"),
                ("end", "last", "Last field"),
                ("enter", "enter", "Edit, ask a run"),
                ("space", "switch", "Switch over, choose"),
                ("tab", "next", "Edit the next field"),
                ("shift+tab", "previous", "Edit the field before"),
                ("delete,backspace", "reset", "Reset the field"),
                ("escape", "cancel", "Take back"),
            )
        ),
        Binding("escape", "close_choices", "Close the choices", show=False, id="form.close_choices"),
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
        self._editor_text = ""
        self._text = (False, False, False)
        self._editors: tuple[Input, Choices] | None = None
        self.list = FieldList(state, self._pressed, self._moved, self._place, self._type)

    def compose(self) -> ComposeResult:
        yield self.list

    def on_mount(self) -> None:
        # Neither mounted nor imported before the first frame, which shows no editor.
        self.call_after_refresh(self._mount_editors)

    def _mount_editors(self) -> tuple[Input, Choices]:
        if self._editors is None:
            from tui_gen.app.panes.form.inputs import Choices, LineEditor

            self._editors = LineEditor(self), Choices()
            if self.is_attached:
                self.mount(*self._editors)
        return self._editors

    @property
    def editor(self) -> Input:
        """The one text editor."""
        return self._mount_editors()[0]

    @property
    def choices(self) -> Choices:
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
        if self.editing and self.editor.value == self._editor_text != clean(self.state.text(self.editing), NEWLINE):
            self._fill(self.state.text(self.editing))
        self._moved()

    def changed(self) -> None:
        """Repaint and tell: the form's texts changed."""
        self.sync()
        self.list.show_cursor()
        self.post_message(self.Edited())

    # -- the text editor

    def begin(self, text: str | None = None) -> None:
        """Edit the text of the field under the cursor; `text` replaces what stands there."""
        key = self.key
        if not key or not self.may_edit(key):
            return
        self.close_choices()
        self.state.close()
        self.editing = key
        self._fill(self.state.text(key))
        editor = self.editor
        self._place()
        editor.visible = True
        self.screen.set_focus(editor, scroll_visible=False)
        if text is None:
            editor.select_all()
        else:
            editor.value = ""
            editor.insert_text_at_cursor(text)
            self._typed(editor.value)

    def may_edit(self, key: str) -> bool:
        """Whether a field may be edited; says why, under it, where it may not."""
        if self.state.editable(key):
            return True
        self.list.say(form_words.why_locked(self.state, key))
        return False

    def _fill(self, text: str) -> None:
        editor = self.editor
        with editor.prevent(editor.Changed):
            editor.value = self._editor_text = clean(text, NEWLINE)
        editor.cursor_position = len(editor.value)

    def _typed(self, value: str) -> None:
        """Take over what stands in the editor; ↵ is a line end. Text that nobody touched is left as it is."""
        if self.editing and value != self._editor_text:
            text = value.replace(NEWLINE, "\n")
            self._editor_text = value
            if self.state.set_text(self.editing, text):
                self.changed()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if event.value == self.editor.value:
            self._typed(event.value)

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
        self.editor.visible = False
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
        if self.choosing:
            count = min(self.choices.option_count, MAX_CHOICES, max(3, region.height))
            top = line + 1 if line + 1 + count <= region.height else max(0, min(line - count, region.height - count))
            width = min(region.width, max(10, self.choices.widest + 4))
            self.choices.styles.offset = (max(0, min(left - 1, region.width - width)), top)
            self.choices.styles.width = width
            self.choices.styles.height = count

    # -- the list of choices

    def open_choices(self) -> None:
        """Open the choices of the field under the cursor."""
        key = self.key
        self.leave()
        choices = self.choices
        choices.offer(self.state.params[key].choices, self.state.value(key))
        self.choosing = key
        self._place()
        choices.visible = True
        self.screen.set_focus(choices, scroll_visible=False)

    def close_choices(self) -> None:
        """Close the choices without taking one."""
        if self.choosing:
            self.choosing = ""
            had_focus = self.screen.focused is self.choices
            self.choices.visible = False
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

    # -- what is typed

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """What is typed on a field is no key of the pane or of the app."""
        character = "/" if key == "slash" else character or ""  # Textual 8.2 does not know it by this name
        return self.list.has_focus and self.is_text(character)

    def is_text(self, character: str) -> bool:
        """Whether a character that is typed on the row under the cursor is for that field."""
        if not self.key or not character.strip() or not character.isprintable():
            return False
        if not self.state.editable(self.key):
            return character.isdigit()
        kind = self.state.params[self.key].kind
        return kind in ("str", "list") or character.isalnum() or (character in ".-" and kind in ("int", "float"))

    def _type(self, character: str) -> bool:
        """Edit the field under the cursor by what was typed on it; whether it was for a field."""
        if not self.is_text(character):
            return False
        if self.may_edit(self.key):
            kind = self.state.params[self.key].kind
            if kind == "choice":
                self.open_choices()
                self.choices.seek(character.lower())
            elif kind == "bool":
                self._turn(character.lower())
            else:
                self.begin(character)
        return True

    def on_key(self, event: events.Key) -> None:
        """Whatever else is typed on a field that may not be edited, and means nothing here."""
        if self.list.has_focus and self.key and typed(event) and event.key not in self.screen.active_bindings:
            event.stop()
            self.may_edit(self.key)

    def _turn(self, letter: str) -> None:
        """A switch, by a letter of yes, no, true, false, or a binary digit."""
        if letter in "yt1":
            self._set(self.key, "true")
        elif letter in "nf0":
            self._set(self.key, "false")
        else:
            self.list.say("y turns it on, n off, Space over")

    # -- keys and mouse

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        if self.choosing and event.widget is self.choices and self.app.app_focus:
            self.close_choices()

    def doing(self, key: str) -> str:
        """What a key does in the form, with the person's own keys; empty where it does nothing here."""
        active = self.screen.active_bindings.get(key)
        if active is None or active.node is not self or not active.binding.action.startswith("do('"):
            return ""
        return active.binding.action[4:-2]

    def action_do(self, name: str) -> None:
        """A key of the list. While a text is edited or choices are open, keys go there first."""
        if self.screen.focused is not self.list or (name in ("next", "previous") and not self.editing):
            raise SkipAction()
        self.do(name)

    def do(self, name: str) -> None:
        """Do what a key means: one of the names in BINDINGS."""
        if self.editing:
            self._typed(self.editor.value)
        getattr(self, f"_do_{name}")()

    def action_close_choices(self) -> None:
        if not self.choosing:
            raise SkipAction()
        self.close_choices()

    def on_paste(self, event: events.Paste) -> None:
        if self.list.has_focus and self.key and self.state.params[self.key].kind not in ("bool", "choice"):
            lines = event.text.splitlines()
            self.begin(lines[0] if lines else "")
            event.stop()

    def _pressed(self, row: FieldRow, column: int) -> None:
        self.leave()
        if not row.key:
            self.list.toggle(row)
        elif column == 1 and self.state.modified(row.key):
            self._do_reset()
        elif column >= self.list.value_column and self.may_edit(row.key):
            self._activate(row.key)

    def _activate(self, key: str) -> None:
        kind = self.state.params[key].kind
        if kind == "bool":
            self.step(1)
        elif kind == "choice":
            self.open_choices()
        else:
            self.begin()

    def _moved(self) -> None:
        self.post_message(self.Moved())
        kinds = (self.is_text("1"), self.is_text("x"), self.is_text("/"))
        if kinds != self._text:
            self._text = kinds
            if self.is_attached:
                self.refresh_bindings()

    def _move(self, by: int) -> None:
        self.leave()
        self.state.close()
        self.list.move_to(self.list.index + by)

    def _do_up(self) -> None:
        if self.editing and self.state.step(self.editing, 1):
            self.changed()
        else:
            self._move(-1)

    def _do_down(self) -> None:
        if self.editing and self.state.step(self.editing, -1):
            self.changed()
        else:
            self._move(1)

    def _do_big_up(self) -> None:
        self.step(1, big=True)

    def _do_big_down(self) -> None:
        self.step(-1, big=True)

    def step(self, direction: int, big: bool = False) -> None:
        """Step the field under the cursor up (+1) or down (-1)."""
        if self.key and self.may_edit(self.key) and self.state.step(self.key, direction, big):
            self.changed()

    def _do_forward(self) -> None:
        if self.key:
            self.step(1)
        elif self.list.rows:
            self.list.toggle(self.list.row, folded=False)

    def _do_backward(self) -> None:
        if self.key:
            self.step(-1)
        elif self.list.rows:
            self.list.toggle(self.list.row, folded=True)

    def _do_page_up(self) -> None:
        self._move(-self._page)

    def _do_page_down(self) -> None:
        self._move(self._page)

    @property
    def _page(self) -> int:
        return max(1, self.list.scrollable_content_region.height - 2)

    def _do_first(self) -> None:
        self._move(-len(self.list.rows))

    def _do_last(self) -> None:
        self._move(len(self.list.rows))

    def _do_enter(self) -> None:
        """End editing; or begin it; or ask a running run for the value that stands here."""
        key = self.key
        editing = self.editing
        self.leave()
        if not key:
            if self.list.rows:
                self.list.toggle(self.list.row)
        elif self.state.live and self.state.editable(key) and self.state.modified(key):
            self.post_message(self.Asked(key))
        elif not editing and self.may_edit(key):
            self._activate(key)

    def _do_switch(self) -> None:
        if not self.key:
            self._do_enter()
        elif self.may_edit(self.key):
            self._activate(self.key)

    def _do_next(self) -> None:
        self._edit_next(1)

    def _do_previous(self) -> None:
        self._edit_next(-1)

    def _edit_next(self, direction: int) -> None:
        """End editing and edit the next field, passing over headings."""
        self._move(direction)
        while not self.key and 0 < self.list.index < len(self.list.rows) - 1:
            self.list.move_to(self.list.index + direction)
        if self.key and self.state.params[self.key].kind not in ("bool", "choice"):
            self.begin()

    def _do_reset(self) -> None:
        """Put back what the recipe says in the field under the cursor."""
        if self.key and self.may_edit(self.key):
            self.state.reset(self.key)
            self.changed()

    def _do_cancel(self) -> None:
        """End editing and take back what was typed since it began; in a run, what was not asked for yet."""
        if self.editing:
            self.state.take_back()
            self._fill(self.state.text(self.editing))
            self.leave()
            self.changed()
        elif self.state.live and self.key and self.key not in self.state.pending and self.state.modified(self.key):
            self._do_reset()
        else:
            raise SkipAction()
