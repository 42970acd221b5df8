"""A form from files and to files: TOML that is loaded, saved, or edited in $EDITOR."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import SuspendNotSupported

from tui_gen import config, toml_writer
from tui_gen.app.panes.form import external_editor
from tui_gen.config import ConfigError
from tui_gen.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.app import App

    from tui_gen.app.panes.form.editor import FieldEditor
    from tui_gen.app.panes.form.state import FormState
    from tui_gen.catalog import Catalog
    from tui_gen.params import Problem


class FormFiles:
    """The part of a form's pane that deals with files; what it uses of the rest of the pane is named here."""

    app: App[object]
    catalog: Catalog
    draft: FormState
    fields: FieldEditor
    load_tables: Callable[[dict[str, Any], str], list[Problem]]
    notice: Callable[[str], None]
    show_draft: Callable[[], None]
    _told: Callable[[], None]
    _unread_file: Path | None = None
    """A text that was written in $EDITOR and could not be read."""

    if TYPE_CHECKING:

        @property
        def state(self) -> FormState:
            """The state that is shown."""

    def action_load(self) -> None:
        """Load a TOML file."""
        from tui_gen.app.widgets.path_dialog import PathDialog

        self.fields.leave()
        self.app.push_screen(PathDialog("Load settings"), self.load_file)

    def load_file(self, path: Path | None) -> None:
        """Load a config file into the form; what is wrong with it is told in the form."""
        if path is None:
            return
        try:
            tables = config.read_toml(path)
        except ConfigError as error:
            self.notice(str(error))
            return
        self.load_tables(tables, str(path.name))

    def action_save(self) -> None:
        """Save the form as a TOML file."""
        from tui_gen import runs
        from tui_gen.app.widgets.path_dialog import PathDialog

        self.fields.leave()
        name = self.state.text("name") or self.state.source.removesuffix(".toml") or "settings"
        self.app.push_screen(PathDialog("Save settings", f"{runs.slug(name)}.toml", save=True), self.save_file)

    def save_file(self, path: Path | None) -> None:
        """Write the form, with every setting explained, to a file; it replaces what was there only when complete."""
        from tui_gen import runs

        if path is None:
            return
        try:
            runs.write_atomic(path, self._toml(self.state).encode())
        except OSError as error:
            self.notice(f"{path} cannot be written: {error.strerror or error}")
            return
        self.notice("")
        self.app.notify(clean(f"Saved as {path}"), markup=False)

    def _toml(self, state: FormState) -> str:
        return toml_writer.dump_toml(state.tables(), config.keys(state.model, state.dataset, self.catalog))

    def action_editor(self) -> None:
        """Edit the form as TOML in $EDITOR; a text that cannot be read is kept and opened again next time."""
        self.fields.leave()
        path = self._unread_file or external_editor.draft(self._toml(self.draft))
        before = path.read_text(encoding="utf-8") if self._unread_file is None else None
        try:
            with self.app.suspend():
                wrong = external_editor.edit(path)
        except SuspendNotSupported:
            wrong = "this terminal cannot be handed to an editor; save the form with Ctrl+S and edit the file"
        self.app.refresh(layout=True)
        if wrong:
            self.notice(wrong)
            if self._unread_file is None:
                path.unlink(missing_ok=True)
            return
        try:
            tables = config.read_toml(path)
            unchanged = before is not None and path.read_text(encoding="utf-8") == before
        except ConfigError as error:
            self._unread_file = path
            self.notice(f"{error}\nYour text is kept; e opens it again.")
            return
        self._unread_file = None
        path.unlink(missing_ok=True)
        if not unchanged:
            self.edited_tables(tables)

    def edited_tables(self, tables: dict[str, Any]) -> None:
        """Take an edited whole: marks still compare with what was loaded before."""
        try:
            left_out = self.draft.replace(tables)
        except ConfigError as error:
            self.notice(str(error))
            return
        self.notice("Not taken over:\n" + "\n".join(map(str, left_out)) if left_out else "")
        self.show_draft()
        self._told()
