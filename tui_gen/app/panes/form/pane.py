"""The Hyperparameters pane: a form generated from the declarations, for the next run or for one that is training."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from tui_gen import config, rollbacks
from tui_gen.app.panes.base import Belongings, Entry, Pane
from tui_gen.app.panes.form import words as form_words
from tui_gen.app.panes.form.editor import FieldEditor
from tui_gen.app.panes.form.files import FormFiles
from tui_gen.app.panes.form.state import FormState
from tui_gen.catalog import DEFAULT_RECIPE, Catalog, start_of
from tui_gen.config import ConfigError, RunConfig
from tui_gen.edits import EditHistory, merged
from tui_gen.params import Problem
from tui_gen.quantities import count
from tui_gen.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.events import Key
    from textual.widgets import Input

    from tui_gen import events
    from tui_gen.forking import ForkPoint
    from tui_gen.view import RunView


class FormChanged(Message):
    """The form for the next run changed; `valid` is whether it could be started as it is."""

    def __init__(self, valid: bool) -> None:
        super().__init__()
        self.valid = valid


class LiveEditAsked(Message):
    """A new value was asked for in the run that is shown; answer with `acknowledge` or `refuse`."""

    def __init__(self, key: str, value: Any) -> None:
        super().__init__()
        self.key = key
        self.value = value


class ModelsWanted(Message):
    """The model files that the run shown names are to be read."""


class FormPane(Pane):
    """Shows the form for the next run, or the values of a run (`show_live`); `v` goes from one to the other."""

    HELP = """\
Every setting of a run. What differs from the recipe has a `*`, what is wrong a `!` and the reason under it.

- **↑ ↓** move; **typing** replaces what stands there, **Enter** edits it, **Esc** takes back what was typed
- **← →** step: whole numbers by 1, others along 1, 2, 5, 10; **Shift+↑ ↓** bigger steps; **↑ ↓** step while editing
- **Space** turns a switch over or opens the choices, **letters** find a choice; on a heading it folds the section
- **Delete** resets a field to the recipe, **Ctrl+U** everything; **Ctrl+Z** undoes, **Ctrl+Y** redoes
- **/** or **Ctrl+F** shows only fields with a word in their name or help; **Ctrl+N** goes to the next problem
- **Ctrl+O** loads a TOML file, **Ctrl+S** saves one, **Ctrl+E** opens the form in `$EDITOR`
- **Ctrl+T** turns to the run that is shown or to the form for the next one, **Ctrl+D** copies the run's settings to it

Where nothing can be typed, on headings and on what a run keeps fixed, **R n e v c** do the same without Ctrl, and **h**
what Ctrl+K does. Digits and letters are text on a field; other panes are at **Alt** and their digit, **Ctrl+G** and
**F10** from everywhere.

While a run trains only its live settings can be edited. **Enter** asks the run for the value (`…`); it tells the step
from which it holds. **Ctrl+Z** takes the last edit back, **Ctrl+Y** makes it again, **Ctrl+K** lists all of them.
"""

    DEFAULT_CSS = """
    FormPane {
        & > #filter { height: 1; border: none; padding: 0 1; background: $surface; display: none; }
        & > #notice { height: auto; max-height: 6; color: $text-warning; display: none; padding: 0 1; }
        & > #foot { height: 3; color: $quiet; padding: 0 1; background: $surface; }
        &.-narrow > #foot { height: 4; }
        &.-low > #foot { height: 2; }
    }
    """

    BINDINGS = [
        Binding("slash,ctrl+f", "filter", "Filter", id="form.filter"),
        Binding("ctrl+z", "undo", "Undo", id="form.undo"),
        Binding("ctrl+y", "redo", "Redo", show=False, id="form.redo"),
        Binding("ctrl+n,n", "next_problem", "Next problem", show=False, id="form.next_problem"),
        Binding("ctrl+u,R", "reset_all", "Reset all", show=False, id="form.reset_all"),
        Binding("ctrl+e,e", "editor", "$EDITOR", id="form.editor"),
        Binding("ctrl+o", "load", "Load", show=False, id="form.load"),
        Binding("ctrl+s", "save", "Save", show=False, id="form.save"),
        Binding("ctrl+d,c", "copy_run", "Copy from run", show=False, id="form.copy_run"),
        Binding("ctrl+t,v", "turn", "Run / next run", show=False, id="form.turn"),
        Binding("ctrl+k,h", "edits", "Edits of the run", show=False, id="form.edits"),
        Binding("m", "use_models", "Use its model files", id="form.use_models"),
        Binding("escape", "clear", "Clear filter", show=False, id="form.clear"),
    ]

    def __init__(self, catalog: Catalog, *, id: str | None = "form", classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.catalog = catalog
        recipe = catalog.recipes.get(DEFAULT_RECIPE)
        first = {"model": {"name": next(iter(catalog.models), "")}}
        self.draft = FormState(catalog, recipe.tables if recipe else first, recipe.name if recipe else "")
        self.live: FormState | None = None
        self._forks: dict[str, ForkPoint] = {}
        """Of what was loaded to be forked: from where, by the words for its source."""
        self._edit_count = 0
        self._first_tables: dict[str, Any] = {}
        self._frame = ("", "")
        self._told_words = Content("")
        self.fields = FieldEditor(self.draft)
        self.files = FormFiles(self)

    @classmethod
    def of(cls, belongings: Belongings, id: str) -> Self:
        """A form for the models of the catalogue."""
        return cls(belongings.catalog, id=id)

    def compose(self) -> ComposeResult:
        yield Static("", id="notice", markup=False)
        yield self.fields
        yield Static("", id="foot", markup=False)

    def on_mount(self) -> None:
        self._describe()

    def on_resize(self) -> None:
        self.set_class(self.size.height < 16, "-low")
        self.set_class(self.size.width < 56, "-narrow")

    @property
    def state(self) -> FormState:
        """The state that is shown: the next run's, or a run's."""
        return self.fields.state

    # -- for the shell

    def load_tables(self, tables: dict[str, Any], source: str) -> list[Problem]:
        """Show these tables (a recipe's, a file's) as the form for the next run; undo brings the former ones back.

        What could not be taken over is returned, and told in a notice. Tables from a newer version change nothing.
        """
        self.fields.leave()
        try:
            left_out = self.draft.load(tables, source)
        except ConfigError as error:
            self.notice(str(error))
            return error.problems
        self.notice(f"Not taken over from {source}:\n" + "\n".join(map(str, left_out)) if left_out else "")
        self.show_draft()
        self.told()
        return left_out

    def load_fork(self, point: ForkPoint, tables: dict[str, Any], words: str) -> None:
        """Show the settings of a run that is to be forked, to be changed before that. What happens is said in words."""
        source = f"fork of {point.run.name} at step {count(point.step)}"
        self._forks[source] = point
        self.load_tables(tables, source)
        self.notice(f"{words} It begins {point.words}." if point.start != point.step else words)

    @property
    def fork(self) -> ForkPoint | None:
        """What the form describes a fork of; None where it is a run of its own."""
        return self._forks.get(self.draft.source)

    def set_model(self, name: str) -> None:
        """Train another model; what carries over stays. One that no recipe shows begins with a start of its own."""
        self.fields.leave()
        self._forks.pop(self.draft.source, None)
        entry = self.catalog.models.get(name)
        if entry is not None and not self.catalog.recipes_of(name):
            self.load_tables(start_of(entry, self.catalog), name)
            return
        self.draft.set_text("model.name", name)
        self.draft.close()
        self.show_draft()
        self.told()

    def put(self, key: str, text: str) -> None:
        """Put a value into the form for the next run, as if it were typed there; undo takes it back."""
        self.fields.leave()
        self.draft.set_text(key, text)
        self.draft.close()
        self.show_draft()
        self.told()

    def set_catalog(self, catalog: Catalog) -> None:
        """Use a catalogue that was built anew; texts in the form stay."""
        self.fields.leave()
        self.catalog = catalog
        for state in (self.draft, self.live):
            if state is not None:
                state.renew(catalog)
        self.fields.sync()
        self.told()

    def tables(self) -> dict[str, Any]:
        """The form for the next run as nested tables, complete."""
        return self.draft.tables()

    def problems(self) -> list[Problem]:
        """What is wrong with the form for the next run."""
        return self.draft.problems()

    def add_problems(self, problems: list[Problem]) -> None:
        """Show what a model has against this form, each at its field, until the form changes."""
        self.fields.leave()
        self.draft.add_problems(problems)
        self.show_draft()
        if problems:
            self.fields.list.go_to(self.draft.place(problems[0]))
        self.told()

    def show_draft(self) -> None:
        """Show the form for the next run."""
        if self.state is not self.draft:
            self.fields.show(self.draft)
        else:
            self.fields.sync()
        self._describe()

    def show_live(self, run: RunConfig, live: bool = True) -> None:
        """Show a run's values; with `live` (its worker is alive) those declared live may be edited."""
        self._show_run(config.to_tables(run), run.name, live)

    def show_written(self, tables: dict[str, Any], name: str, why: str) -> None:
        """Show a run's tables as they were written, and why nothing more can be made of them here."""
        self._show_run(tables, name, False, why)
        self.notice(why)

    def _show_run(self, tables: dict[str, Any], name: str, live: bool, unread: str = "") -> None:
        if self.live is None or self.live.unread or unread:
            if self.live is not None and self.live.unread:
                self.notice("")
            self.live = FormState(self.catalog, tables, name, live=True, unread=unread)
        else:
            self.live.follow(tables)
        self._first_tables, self._edit_count = tables, 0
        self._follow_edits()
        self.live.ended = not live
        if self.state is not self.live:
            self.fields.show(self.live)
        else:
            self.fields.sync()
        self._describe()
        self.refresh_bindings()

    def acknowledge(self, key: str, value: Any, step: int) -> None:
        """The run shown took an edit: its value from this step on."""
        if self.live is not None:
            self.live.acknowledge(key, value, step)
            self._refresh_live()

    def refuse(self, key: str, message: str) -> None:
        """The run shown refused an edit, and why."""
        if self.live is not None:
            self.live.refuse(key, message)
            self._refresh_live()

    def notice(self, words: str) -> None:
        """Words above the form (plain text); an empty text takes them away."""
        for line in self.query("#notice").results(Static):
            line.update(Content("\n".join(clean(row) for row in words.splitlines())))
            line.display = bool(words)

    def focus_field(self, key: str) -> None:
        """Put cursor and focus on a field."""
        self.fields.leave()
        self._unfilter()
        self.fields.list.go_to(key)
        self.focus_inside()

    def focus_inside(self) -> None:
        # At once, not with the next message: what follows may move the focus on.
        self.screen.set_focus(self.fields.list, scroll_visible=False)

    def show_run(self, view: RunView | None) -> None:
        before = self.view.path if self.view is not None else None
        super().show_run(view)
        if view is None or view.path != before:
            if self.live is not None and self.live.unread:
                self.notice("")
            self._edit_count = 0
            self.live = None
            self.show_draft()

    def update_view(self, parts: set[str]) -> None:
        view = self.view
        if view is None or self.live is None:
            return
        if self._follow_edits() or (self.live.ended == view.live and not self.live.unread):
            self.live.ended = not view.live
            self._refresh_live()

    def _follow_edits(self) -> bool:
        """Take over what was edited in the run, here or elsewhere; whether there was anything new."""
        if self.view is None or self.live is None:
            return False
        edits = self.view.edits
        if len(edits) < self._edit_count:
            # The run went on from an older checkpoint: edits after it never were.
            self.live.follow(self._first_tables)
            self._edit_count = 0
        for edit in edits[self._edit_count :]:
            self.live.acknowledge(edit.key, edit.new, edit.step)
        before, self._edit_count = self._edit_count, len(edits)
        return before != len(edits)

    def _refresh_live(self) -> None:
        if self.state is self.live:
            self.fields.sync()
            self._describe()

    # -- what is told

    def told(self) -> None:
        self.post_message(FormChanged(not self.draft.problems()))

    def _describe(self) -> None:
        """Title, subtitle and the words at the foot."""
        frame = form_words.titles(self.state)
        if frame != self._frame and not self.fields.editing:
            # Not while typing: another title repaints the whole pane.
            self._frame = frame
            self.set_title(*frame)
        words = form_words.at_foot(self.state, self.fields.key, self.fields.list.unfound)
        if words != self._told_words:
            # Its height is fixed, so nothing needs to be laid out anew.
            for foot in self.query("#foot").results(Static):
                self._told_words = words
                foot.update(words, layout=False)

    @on(FieldEditor.Edited)
    def _on_edited(self, event: FieldEditor.Edited) -> None:
        event.stop()
        if self.state is self.draft:
            self.told()
        self._describe()

    @on(FieldEditor.Moved)
    def _on_moved(self, event: FieldEditor.Moved) -> None:
        event.stop()
        self._describe()

    @on(FieldEditor.Asked)
    def _on_asked(self, event: FieldEditor.Asked) -> None:
        event.stop()
        if self.state is self.live and self.live.ask(event.key):
            self.fields.sync()
            self.post_message(LiveEditAsked(event.key, self.live.value(event.key)))

    # -- actions

    def action_filter(self) -> None:
        """Show only the fields with the words typed."""
        self.fields.leave()
        from textual.widgets import Input

        if not self.query("#filter"):
            box = Input(id="filter", placeholder="filter: words in name or help", compact=True)
            box.cursor_blink = False
            self.mount(box, before=self.fields)
        box = self.query_one("#filter", Input)
        box.display = True
        self.screen.set_focus(box, scroll_visible=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.fields.list.filter = event.value
        self.fields.sync()
        self.fields.list.show_cursor()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.focus_inside()

    def on_key(self, event: Key) -> None:
        if event.key == "down" and self.query("#filter") and self.query_one("#filter").has_focus:
            self.focus_inside()
            event.stop()

    def _unfilter(self) -> None:
        if self.query("#filter"):
            from textual.widgets import Input

            box = self.query_one("#filter", Input)
            if box.display:
                self.focus_inside()
                box.value = ""
                box.display = False
        self.fields.list.filter = ""
        self.fields.sync()
        self.fields.list.show_cursor()

    def action_clear(self) -> None:
        """Clear the filter and the notice."""
        self._unfilter()
        self.notice("")

    def action_undo(self) -> None:
        if self.state.undo():
            self.notice("")  # told of what is undone
            self.fields.changed()
        else:
            self._back(EditHistory(self.view.edits).to_undo if self.view is not None else None)

    def action_redo(self) -> None:
        if self.state.redo():
            self.fields.changed()
        else:
            self._back(EditHistory(self.view.edits).to_redo if self.view is not None else None)

    def _back(self, edit: events.Edit | None) -> None:
        """Where the run's settings are shown, have it go back to the value before an edit."""
        if edit is not None and self.state is self.live and not self.live.ended:
            self.post_message(LiveEditAsked(edit.key, edit.old))
        else:
            self.app.bell()

    def action_load(self) -> None:
        self.files.ask_and_load()

    def action_save(self) -> None:
        self.files.ask_and_save()

    def action_editor(self) -> None:
        self.files.edit()

    async def action_edits(self) -> None:
        """The list of what was edited in the run."""
        await self.app.run_action("open_pane('edits')")

    def action_next_problem(self) -> None:
        """Go to the next field with a problem, from the top again after the last."""
        wrong = self.state.placed()
        keys = [key for section in self.state.sections() for key in section.keys]
        here = keys.index(self.fields.key) if self.fields.key in keys else -1
        following = [*keys[here + 1 :], *keys[: here + 1]]
        target = next((key for key in following if key in wrong), None)
        if target is not None:
            self.focus_field(target)

    def action_reset_all(self) -> None:
        self.fields.leave()
        if self.state.reset_all():
            self.fields.changed()

    def action_turn(self) -> None:
        """Show the form for the next run instead of the run, or the run again."""
        other = self.live if self.state is self.draft else self.draft
        if other is not None:
            self.fields.show(other)
            self.notice(other.unread)
            self._describe()
            self.refresh_bindings()

    def label(self, words: str, action: str) -> str:
        """Whose settings the key would show."""
        return words if action != "turn" else "The run" if self.state is self.draft else "Next run"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Model files are wanted only where they are lacking."""
        if action == "use_models":
            return self.live is not None and self.live.unread != "" and self.live.model not in self.catalog.models
        return super().check_action(action, parameters)

    def entries(self) -> Iterable[Entry]:
        """Every setting, to go to."""
        for key, param in self.state.params.items():
            yield Entry(f"Setting: {clean(key)}", partial(self.focus_field, key), clean(param.help))

    def action_use_models(self) -> None:
        """Have the model files read that the run names."""
        self.post_message(ModelsWanted())

    def action_copy_run(self) -> None:
        """Copy the shown run's settings, with its live edits, into the form for the next run."""
        if self.live is not None and self.live.unread and self.live.model not in self.catalog.models:
            self.notice(self.live.unread)  # a form needs the model
        elif self.view is not None:
            try:
                tables = config.read_toml(self.view.path / "config.toml")
            except ConfigError as error:
                self.notice(str(error))
                return
            live_edits = [{"step": edit.step, "key": edit.key, "value": edit.new} for edit in self.view.edits]
            edits = merged(rollbacks.standing(tables.get("edits", []), self.view.rollbacks), live_edits)
            self.load_tables(tables | ({"edits": edits} if edits else {}), self.view.path.name)
        elif self.live is not None:
            self.load_tables(self.live.tables(), f"run {self.live.source}")
        else:
            self.notice("No run is shown: open one in the Runs pane, then Ctrl+D copies its settings.")
