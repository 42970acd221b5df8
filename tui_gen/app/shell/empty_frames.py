"""What stands in the panes' places until they are there: empty frames, and the rows of the model tree as last seen."""

from __future__ import annotations

import contextlib
import os

from textual.content import Content

from tui_gen.app.panes.base import Pane
from tui_gen.places import cache_dir

FILE = "model-tree.txt"


class EmptyFrame(Pane):
    """A pane's frame without the pane; `rows` are shown in it."""

    DEFAULT_CSS = "EmptyFrame { padding: 0; }"

    def __init__(self, name: str, rows: list[str] | None = None) -> None:
        self._rows = rows or []
        super().__init__(id=name)

    def render(self) -> Content:
        """The rows, as plain text."""
        return Content("\n".join(self._rows[: self.content_size.height]))


def remembered() -> list[str]:
    """The rows of the model tree when it was last shown; none the first time."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (cache_dir() / FILE).read_text(encoding="utf-8").splitlines()[:100]
    return []


def remember(rows: list[str]) -> None:
    """Keep the rows for the next start. Says nothing where it cannot: they are only seen for an instant."""
    if not rows or rows == remembered():
        return
    with contextlib.suppress(OSError):
        path = cache_dir() / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{FILE}.{os.getpid()}")
        aside.write_text("\n".join(rows) + "\n", encoding="utf-8")
        os.replace(aside, path)
