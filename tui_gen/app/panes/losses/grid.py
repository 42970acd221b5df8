"""Where the plots stand, and what stands there while there is nothing to draw."""

from __future__ import annotations

from typing import Any

from textual.containers import Container
from textual.content import Content
from textual.widget import Widget


class PlotGrid(Container, can_focus=True):
    """The plots; one stop of the Tab key for all of them."""

    DEFAULT_CSS = """
    PlotGrid { layout: grid; grid-size: 1; grid-gutter: 0 1; }
    """


class Empty(Widget):
    """What to do while there is nothing to draw."""

    DEFAULT_CSS = """
    Empty {
        width: 1fr; height: 1fr; padding: 0 2;
        content-align: center middle; text-align: center; color: $quiet;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.words = ""

    def say(self, words: str) -> None:
        """Other words than now."""
        if words != self.words:
            self.words = words
            self.refresh()

    def render(self) -> Any:
        """The words."""
        return Content(self.words)
