"""A form from files and to files: TOML that is loaded, saved, or edited in $EDITOR."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from textual.app import SuspendNotSupported

from tui_gen import config, toml_writer
from tui_gen.app.panes.form import external_editor
from tui_gen.config import ConfigError
from tui_gen.text import clean

if TYPE_CHECKING:
    from textual.app import App

    from tui_gen.app.panes.form.editor import FieldEditor
    from tui_gen.app.panes.form.state import FormState
    from tui_gen.catalog import Catalog
    from tui_gen.params import Problem


class FormOwner(Protocol):
    """The pane of a form, as far as files concern it."""

    catalog: Catalog
    draft: FormState
    fields: FieldEditor

    @property
    def app(self) -> App[object]:
        """The app that it is in."""

    @property
    def state(self) -> FormState:
        """The state that is shown."""

    def load_tables(self, tables: dict[str, Any], source: str) -> list[Problem]:
        """Show these tables as the form for the next run; what could not be taken over."""

    def show_draft(self) -> None:
        """Show the form for the next run."""

    def notice(self, text: str) -> None:
        """Tell something above the form."""

    def told(self) -> None:
        """The form for the next run has changed."""


class FormFiles:
    """What the form of a pane has to do with files."""

    def __init__(self, pane: FormOwner) -> None:
        self._pane = pane
        self._unread_file: Path | None = None
        """A text that was written in $EDITOR and could not be read."""

    def ask_and_load(self) -> None:
        """Load a TOML file."""
        from tui_gen.app.widgets.path_dialog import PathDialog

        self._pane.fields.leave()
        self._pane.app.push_screen(PathDialog("Load settings"), self.load)

    def load(self, path: Path | None) -> None:
        """Load a config file into the form; what is wrong with it is told in the form."""
        if path is None:
            return
        try:
            tables = config.read_toml(path)
        except ConfigError as error:
            self._pane.notice(str(error))
            return
        self._pane.load_tables(tables, str(path.name))

    def ask_and_save(self) -> None:
        """Save the form as a TOML file."""
        from tui_gen import runs
        from tui_gen.app.widgets.path_dialog import PathDialog

        self._pane.fields.leave()
        name = self._pane.state.text("name") or self._pane.state.source.removesuffix(".toml") or "settings"
        self._pane.app.push_screen(PathDialog("Save settings", f"{runs.slug(name)}.toml", save=True), self.save)

    def save(self, path: Path | None) -> None:
        """Write the form, with every setting explained, to a file; it replaces what was there only when complete."""
        from tui_gen import runs

        if path is None:
            return
        try:
            runs.write_atomic(path, self._toml(self._pane.state).encode())
        except OSError as error:
            self._pane.notice(f"{path} cannot be written: {error.strerror or error}")
            return
        self._pane.notice("")
        self._pane.app.notify(clean(f"Saved as {path}"), markup=False)

    def _toml(self, state: FormState) -> str:
        return toml_writer.dump_toml(state.tables(), config.keys(state.model, state.dataset, self._pane.catalog))

    def edit(self) -> None:
        """Edit the form as TOML in $EDITOR; a text that cannot be read is kept and opened again next time."""
        self._pane.fields.leave()
        path = self._unread_file or external_editor.draft(self._toml(self._pane.draft))
        before = path.read_text(encoding="utf-8") if self._unread_file is None else None
        try:
            with self._pane.app.suspend():
                wrong = external_editor.edit(path)
        except SuspendNotSupported:
            wrong = "this terminal cannot be handed to an editor; save the form with Ctrl+S and edit the file"
        self._pane.app.refresh(layout=True)
        if wrong:
            self._pane.notice(wrong)
            if self._unread_file is None:
                path.unlink(missing_ok=True)
            return
        try:
            tables = config.read_toml(path)
            unchanged = before is not None and path.read_text(encoding="utf-8") == before
        except ConfigError as error:
            self._unread_file = path
            self._pane.notice(f"{error}\nYour text is kept; e opens it again.")
            return
        self._unread_file = None
        path.unlink(missing_ok=True)
        if not unchanged:
            self._take(tables)

    def _take(self, tables: dict[str, Any]) -> None:
        """Take an edited whole: marks still compare with what was loaded before."""
        try:
            left_out = self._pane.draft.replace(tables)
        except ConfigError as error:
            self._pane.notice(str(error))
            return
        self._pane.notice("Not taken over:\n" + "\n".join(map(str, left_out)) if left_out else "")
        self._pane.show_draft()
        self._pane.told()
