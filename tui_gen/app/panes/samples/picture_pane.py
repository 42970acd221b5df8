"""A pane around one picture: the ways of drawing it that a terminal has, and what can be done with its file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from textual import work

from tui_gen import remarks
from tui_gen.app.panes.asking import RunsAsked
from tui_gen.app.panes.base import Pane
from tui_gen.app.panes.samples.picture import PictureView, modes_of
from tui_gen.app.terminal.found import terminal_of
from tui_gen.app.terminal.wire import PROTOCOLS
from tui_gen.app.widgets.path_dialog import PathDialog
from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.events import Sample



class PicturePane(Pane):
    """Shows `preview` in its `picture`; `redraw` is called where another way of drawing was chosen."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.picture = PictureView()
        self._best = ""

    def on_mount(self) -> None:
        """Draw in the best way, also on a terminal that comes later."""
        self._best = self.modes()[0]
        self.picture.set_mode(self._best)
        signal = getattr(self.app, "terminal_changed_signal", None)
        if signal is not None:
            signal.subscribe(self, lambda _terminal: self._on_another_terminal())

    @property
    def preview(self) -> Sample | None:
        """The preview that is shown."""
        return None

    def redraw(self, urgent: bool = True) -> None:
        """Show what is to be shown; `urgent` where somebody asked for it."""

    # -- what is noted about it

    @property
    def notes_text(self) -> str:
        """The notes on the preview that is shown, after a sign; empty where there are none."""
        preview, view = self.preview, self.view
        if preview is None or view is None:
            return ""
        notes = [note.text for note in remarks.at_hand(view.path).notes if note.sample == preview.path]
        return clean(f" · ✎ {' · '.join(notes)}") if notes else ""

    def action_note(self) -> None:
        """Note something about the preview that is shown."""
        preview, view = self.preview, self.view
        if preview is not None and view is not None:
            self.post_message(RunsAsked("note", [view.path], preview.step, preview.path))

    def runs_changed(self) -> None:
        """Notes may be others."""
        self.redraw(urgent=False)

    # -- how it is drawn

    def modes(self) -> list[str]:
        """The ways of drawing that this terminal has, the best first."""
        return modes_of(terminal_of(self))

    def action_graphics(self) -> None:
        modes = self.modes()
        mode = self.picture.mode
        self.set_graphics(modes[(modes.index(mode) + 1) % len(modes)] if mode in modes else modes[0])

    def set_graphics(self, mode: str) -> None:
        """Draw as kitty, sixel, halfblock, ascii, off; auto is the best there is. Unsupported pixels stay off."""
        if mode == "auto" or (mode in PROTOCOLS and mode not in self.modes()):
            mode = self.modes()[0]
        self.picture.set_mode(mode)
        self.set_title(mode if mode != self.modes()[0] else "")
        self.redraw()

    def _on_another_terminal(self) -> None:
        """The best there is, unless something else was chosen that is there, too."""
        before, self._best = self._best, self.modes()[0]
        mode = self.picture.mode
        self.set_graphics(mode if mode != before and mode in self.modes() else self._best)
        self.picture.show_again()

    # -- its file

    def _file(self) -> Path | None:
        preview, view = self.preview, self.view
        try:
            return view.file(preview.path) if preview is not None and view is not None else None
        except OSError:
            return None

    def action_copy(self) -> None:
        file = self._file()
        if file is not None:
            self.app.copy_to_clipboard(clean(str(file)))
            self.notify(f"Copied {file}", markup=False)

    def action_save(self) -> None:
        file, preview, view = self._file(), self.preview, self.view
        if file is None or preview is None or view is None:
            self.notify("There is no picture to save yet.", severity="warning")
            return
        name = f"{view.path.name}-{preview.kind}-{preview.step:06d}{file.suffix}"

        def save(target: Path | None) -> None:
            if target is not None:
                self._save(file, target)

        self.app.push_screen(PathDialog("Save this picture as", name, save=True, suffix=file.suffix), save)

    @work(thread=True, exit_on_error=False)
    def _save(self, file: Path, target: Path) -> None:
        try:
            shutil.copyfile(file, target)
        except (OSError, shutil.SameFileError) as error:
            words = f"Not saved as {target}: {getattr(error, 'strerror', '') or error}"
            self.app.call_from_thread(self.notify, words, severity="error", markup=False)
        else:
            self.app.call_from_thread(self.notify, f"Saved as {target}", markup=False)
