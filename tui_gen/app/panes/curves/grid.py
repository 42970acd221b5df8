"""Where the plots stand, and what stands there while there is nothing to draw."""

from __future__ import annotations

from typing import Any

from textual.containers import Container
from textual.content import Content
from textual.widget import Widget

MOST = 9
"""Plots on screen at a time."""
LEAST = 44, 11
"""The smallest plot that gets a place of its own, in cells."""
ASKED = 30, 7
"""The same where somebody asked for that many plots."""


class PlotGrid(Container, can_focus=True):
    """The plots; one stop of the Tab key for all of them."""

    DEFAULT_CSS = """
    PlotGrid { layout: grid; grid-size: 1; grid-gutter: 0 1; }
    """

    def room(self, asked: bool) -> int:
        """How many plots have room; `asked` where somebody asked for a number of them, however small."""
        width, height = self.size
        least_width, least_height = ASKED if asked else LEAST
        return max(1, min(MOST, max(1, width // least_width) * max(1, height // least_height)))

    def lay_out(self, count: int, asked: bool) -> None:
        """Give the first `count` plots a place: in as few columns as the height allows, two before they are wide."""
        width, height = self.size
        least_width, least_height = ASKED if asked else LEAST
        columns = next((n for n in range(1, count) if -(-count // n) * least_height <= height), count)
        if columns == 1 and count > 1 and width >= 2 * least_width and width >= 6 * height:
            columns = 2
        columns = min(columns, max(1, width // least_width))
        if count == 4 and width >= 2 * least_width and height >= 2 * least_height:
            columns = 2
        if self.styles.grid_size_columns != columns:
            self.styles.grid_size_columns = columns
        for place, plot in enumerate(self.children):
            if plot.display != (place < count):
                plot.display = place < count


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
