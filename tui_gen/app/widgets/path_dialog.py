"""A dialog that asks for a file or a folder: a path with completion, and the folder's entries to pick from."""

from __future__ import annotations

import os
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tui_gen.app.widgets.modal import Modal
from tui_gen.text import clean

MOST = 200


def entries(text: str, suffix: str) -> list[str]:
    """Paths that begin with what was typed: folders (with / at the end), then files with the suffix; sorted.

    Hidden ones only where a dot was typed. At most MOST.
    """
    folder, _, start = text.rpartition("/")
    before = f"{folder}/" if folder or text.startswith("/") else ""
    rows: list[tuple[bool, str]] = []
    try:
        with os.scandir(os.path.expanduser(before or ".")) as scan:
            for entry in scan:
                if not entry.name.startswith(start) or (entry.name.startswith(".") and not start.startswith(".")):
                    continue
                try:
                    is_folder = entry.is_dir()
                except OSError:
                    continue
                if is_folder or entry.name.endswith(suffix):
                    rows.append((not is_folder, f"{before}{entry.name}" + ("/" if is_folder else "")))
    except (OSError, ValueError):
        return []
    return [path for _, path in sorted(rows)[:MOST]]


def completed(text: str, suffix: str) -> str:
    """What was typed, continued as far as it is certain."""
    paths = entries(text, suffix)
    if not paths:
        return text
    first, last = paths[0], paths[0]
    for path in paths:
        first, last = min(first, path), max(last, path)
    same = next((at for at, pair in enumerate(zip(first, last)) if pair[0] != pair[1]), min(len(first), len(last)))
    return first[:same]


class PathDialog(Modal[Path | None]):
    """Asks for a file, or a `folder`; the answer is a Path, or None. With `save` a name without an ending gets
    `suffix`; to replace a file, or to call one what it is not, takes a second Enter.

    `why` is said below the path.
    """

    DEFAULT_CSS = """
    PathDialog {
        align: center middle;
        & > Vertical {
            width: 80%; max-width: 90; min-width: 40; height: auto; max-height: 90%;
            border: round $primary; background: $surface; padding: 0 1;
        }
        & Input { margin: 0; }
        & OptionList { height: 8; border: none; background: $surface; scrollbar-size-vertical: 1; }
        & #words { height: auto; color: $quiet; }
        & #words.wrong { color: $text-error; }
    }
    """
    BINDINGS = [
        Binding("escape", "dismiss(None)", "Cancel", id="path.cancel"),
        Binding("tab", "complete", "Complete", priority=True, id="path.complete"),
        Binding("down", "to_list", "List", show=False, id="path.list"),
    ]

    def __init__(
        self, title: str, path: str = "", *, save: bool = False, folder: bool = False, suffix: str = ".toml",
        why: str = "",
    ) -> None:  # fmt: skip
        super().__init__()
        self._folder, self._why = folder, why
        self._title, self._path, self._save, self._suffix = title, path, save, suffix
        self._warning_text = ""

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(clean(self._title))
            path = Input(self._path, placeholder="path", select_on_focus=self._save)  # another name, or this one
            path.cursor_blink = False
            yield path
            yield Static("", id="words", markup=False)
            yield OptionList(compact=True, markup=False)

    def on_mount(self) -> None:
        self._list()
        self._say(f"{self._why}\nEnter takes it, Tab completes, ↓ to the list, Esc leaves".strip())
        self.query_one(Input).focus()

    def _say(self, words: str, wrong: bool = False) -> None:
        line = self.query_one("#words", Static)
        line.update("\n".join(clean(row) for row in words.splitlines()))
        line.set_class(wrong, "wrong")

    def _list(self) -> None:
        options = self.query_one(OptionList)
        options.clear_options()
        self._entries = entries(self.query_one(Input).value, self._suffix)
        options.add_options([Option(clean(path)) for path in self._entries])

    @on(Input.Changed)
    def _on_typed(self) -> None:
        self._warning_text = ""
        self._list()

    @on(Input.Submitted)
    def _on_submitted(self, event: Input.Submitted) -> None:
        self._take(event.value)

    @on(OptionList.OptionSelected)
    def _on_picked(self, event: OptionList.OptionSelected) -> None:
        entry = self._entries[event.option_index]
        path = self.query_one(Input)
        path.value = entry
        path.cursor_position = len(entry)
        path.focus()
        if not entry.endswith("/") and not self._save:
            self._take(entry)

    def _take(self, text: str) -> None:
        path = Path(os.path.expanduser(text.strip()))
        try:
            if self._save and path.name and not path.suffix and not path.is_dir():
                path = path.with_name(path.name + self._suffix)
            if not text.strip():
                self._say("type a path", wrong=True)
            elif self._folder:
                if path.is_dir():
                    self.dismiss(path)
                else:
                    self._say(f"there is no folder {path}", wrong=True)
            elif path.is_dir():
                self._say(f"{path} is a folder: type a file's name", wrong=True)
            elif not self._save and not path.is_file():
                self._say(f"there is no file {path}", wrong=True)
            elif self._save and not path.parent.is_dir():
                self._say(f"there is no folder {path.parent}", wrong=True)
            elif self._save and (doubts := self._doubts(path)) and self._warning_text != text:
                self._warning_text = text
                self._say(doubts, wrong=True)
            else:
                self.dismiss(path)
        except (OSError, ValueError) as error:
            self._say(f"cannot be used: {error}", wrong=True)

    def _doubts(self, path: Path) -> str:
        """What speaks against this name for what is saved."""
        exists = path.exists()
        if not path.name.endswith(self._suffix):
            also = ", and replaces what is there" if exists else ""
            return f"it is a {self._suffix}, not a {path.suffix}; Enter again calls it so{also}"
        return f"{path.name} exists; Enter again replaces it" if exists else ""

    def action_complete(self) -> None:
        path = self.query_one(Input)
        path.value = completed(path.value, self._suffix)
        path.cursor_position = len(path.value)
        path.focus()

    def action_to_list(self) -> None:
        options = self.query_one(OptionList)
        if options.option_count:
            options.focus()
            options.highlighted = 0
