"""Where the plots stand, with the names of their sections, and what stands there while there is nothing to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.containers import Container
from textual.content import Content
from textual.geometry import Offset, Region, Size
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui_gen.app.panes.curves.sections import MOST, PlotBox, PlotRoom
from tui_gen.app.terminal.found import shows_ascii
from tui_gen.draw.text import width_of
from tui_gen.text import clean


class SectionNames(Widget):
    """One row with the name of a section, or of those that are folded; a click folds, or unfolds."""

    DEFAULT_CSS = """
    SectionNames { height: 1; color: $quiet; }
    """

    class Picked(Message):
        """A name was clicked."""

        def __init__(self, section: str) -> None:
            super().__init__()
            self.section = section

    def __init__(self) -> None:
        super().__init__()
        self._names: tuple[tuple[str, int], ...] = ()
        self._folded = False

    def show(self, names: Sequence[tuple[str, int]], folded: bool) -> None:
        """Name sections, each with its number of plots."""
        if (tuple(names), folded) != (self._names, self._folded):
            self._names, self._folded = tuple(names), folded
            self.refresh()

    def _parts(self) -> list[tuple[str, str]]:
        plain = shows_ascii(self)
        sign = (">" if plain else "▸") if self._folded else ("v" if plain else "▾")
        return [(f"{sign} {clean(name)} ({count})", name) for name, count in self._names]

    def render_line(self, y: int) -> Strip:
        segments = [Segment(text + "  ", Style(bold=not self._folded)) for text, _ in self._parts()]
        return Strip(segments).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """The name that was clicked."""
        x = 0
        for text, name in self._parts():
            x += width_of(text) + 2
            if event.x < x:
                event.stop()
                self.post_message(self.Picked(name))
                return


class _PlannedLayout(Layout):
    """Gives the children of a grid the boxes of its plan."""

    name = "planned"

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        assert isinstance(parent, PlotGrid)
        parent.pre_layout(self)
        regions = parent.places(size)
        return [
            WidgetPlacement(region, Offset(), child.styles.margin, child)
            for child in children
            if (region := regions.get(child)) is not None
        ]


class PlotGrid(Container, can_focus=True):
    """The plots under the names of their sections; one stop of the Tab key for all of them."""

    DEFAULT_CSS = """
    PlotGrid { width: 1fr; height: 1fr; }
    """

    def __init__(self, *plots: Widget) -> None:
        self._plots = plots
        self._heads = [SectionNames() for _ in range(MOST)]
        self._foot = SectionNames()
        super().__init__(*plots, *self._heads, self._foot)
        self._plot_layout = _PlannedLayout()
        self._sections: tuple[str, ...] = ()
        self._counts: dict[str, int] = {}
        self._folded: tuple[str, ...] = ()
        self._asked = False

    @property
    def layout(self) -> Layout:
        """Places plots and names."""
        return self._plot_layout

    def room(self, asked: bool, sections: Mapping[str, int], folded: Sequence[str]) -> PlotRoom:
        """The room for plots, where there are these sections, some of them folded."""
        return self._room(self.size, asked, len(sections) > 1, bool(folded))

    @staticmethod
    def _room(size: Size, asked: bool, headed: bool, footed: bool) -> PlotRoom:
        return PlotRoom(size.width, size.height - footed, asked, headed)

    def lay_out(self, sections: Sequence[str], asked: bool, counts: Mapping[str, int], folded: Sequence[str]) -> None:
        """Give plots of these sections a place, in this order; `counts` has how many plots each section has in all."""
        state = tuple(sections), dict(counts), tuple(folded), asked
        if state == (self._sections, self._counts, self._folded, self._asked):
            return
        self._sections, self._counts, self._folded, self._asked = state
        _, names = self._shape(self.size)
        for place, plot in enumerate(self._plots):
            _display(plot, place < len(sections))
        for place, head in enumerate(self._heads):
            _display(head, place < len(names))
            if place < len(names):
                name = names[place][0]
                head.show([(name, self._counts.get(name, 0))], folded=False)
        _display(self._foot, bool(folded))
        self._foot.show([(name, self._counts.get(name, 0)) for name in self._folded], folded=True)
        self.refresh(layout=True)

    def _shape(self, size: Size) -> tuple[list[PlotBox], list[tuple[str, PlotBox]]]:
        headed = len(self._counts) > 1
        return self._room(size, self._asked, headed, bool(self._folded)).boxes(self._sections)

    def places(self, size: Size) -> dict[Widget, Region]:
        """Where plots and names stand in a grid of this size."""
        boxes, names = self._shape(size)
        regions: dict[Widget, Region] = {plot: Region(*box) for plot, box in zip(self._plots, boxes)}
        regions |= {head: Region(*box) for head, (_, box) in zip(self._heads, names)}
        if self._folded:
            regions[self._foot] = Region(0, size.height - 1, size.width, 1)
        return regions


def _display(widget: Widget, on: bool) -> None:
    if widget.display != on:
        widget.display = on


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

    def render(self) -> Content:
        return Content(self.words)
