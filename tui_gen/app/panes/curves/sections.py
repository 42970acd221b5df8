"""Plots in sections, by what their metrics are about: which have room, and where they stand. Knows no widget."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from tui_gen.verdicts.panels import Panel, split

MOST = 9
"""Plots on screen at a time."""
LEAST = 44, 11
"""The smallest plot that gets a place of its own, in cells."""
LEAST_AS_ASKED = 30, 7
"""The same where somebody asked for that many plots."""
LEAST_WITH_NAMES = 13
"""The least height, in cells, that has rows for the names of sections."""
GAP = 1
"""Columns between two plots."""
ALL_PHASES = "metrics"
"""What the section of plots over several phases is called."""


class PlotBox(NamedTuple):
    """A rectangle of cells."""

    x: int
    y: int
    width: int
    height: int


@lru_cache(maxsize=4096)
def section_of(panel: Panel) -> str:
    """The name of a panel's section: the phase of its metrics."""
    phases = {split(curve.metric)[1] for curve in panel.curves} if panel.paired else {split(panel.title)[1]}
    return next(iter(phases)) or ALL_PHASES if len(phases) == 1 else ALL_PHASES


def in_sections(panels: Sequence[Panel]) -> dict[str, list[Panel]]:
    """Panels by section; the sections, and what is in each, in the order in which they came."""
    sections: dict[str, list[Panel]] = {}
    for panel in panels:
        sections.setdefault(section_of(panel), []).append(panel)
    return sections


class PlotRoom(NamedTuple):
    """So many cells for plots; `asked` where somebody asked for a number of them, however small. With `headed`, there
    is a row above every section, where the height allows.
    """

    width: int
    height: int
    asked: bool = False
    headed: bool = False

    @property
    def _least(self) -> tuple[int, int]:
        return LEAST_AS_ASKED if self.asked else LEAST

    @property
    def heads(self) -> bool:
        """Whether there are rows for the names of sections."""
        return self.headed and self.height >= LEAST_WITH_NAMES

    def _rows(self, sections: Sequence[str], columns: int) -> tuple[int, int]:
        """Rows of plots, and of names, that plots of these sections take in so many columns."""
        runs = [len(list(run)) for _, run in groupby(sections)] if self.heads else [len(sections)]
        return sum(-(-count // columns) for count in runs), len(runs) if self.heads else 0

    def _fits(self, sections: Sequence[str], columns: int) -> bool:
        rows, heads = self._rows(sections, columns)
        return rows * self._least[1] + heads <= self.height

    @property
    def most_columns(self) -> int:
        """How many plots can be beside each other."""
        return max(1, self.width // self._least[0])

    def fit(self, sections: Sequence[str], most: int) -> int:
        """How many plots of these sections, from the first on, have room; one always has."""
        count = 1
        while count < min(most, len(sections)):
            more = sections[: count + 1]
            if not any(self._fits(more, columns) for columns in range(1, self.most_columns + 1)):
                break
            count += 1
        return count

    def columns(self, sections: Sequence[str]) -> int:
        """In how many columns plots stand: as few as the height allows, two before they are wide."""
        count, (least_width, least_height) = len(sections), self._least
        columns = next((n for n in range(1, count) if self._fits(sections, n)), count)
        if columns == 1 and count > 1 and self.width >= 2 * least_width and self.width >= 6 * self.height:
            columns = 2
        columns = max(1, min(columns, self.most_columns))
        if count == 4 and self.width >= 2 * least_width and self.height >= 2 * least_height and not self.heads:
            columns = 2
        return columns

    def boxes(self, sections: Sequence[str]) -> tuple[list[PlotBox], list[tuple[str, PlotBox]]]:
        """Where plots of these sections stand, one after the other, and where the names of the sections do."""
        if not sections:
            return [], []
        columns = self.columns(sections)
        rows, heads = self._rows(sections, columns)
        high = max(rows, self.height - heads)
        edges = [round(place * (self.width + GAP) / columns) for place in range(columns + 1)]
        places, names, y, row = list[PlotBox](), list[tuple[str, PlotBox]](), 0, 0
        groups = [(name, len(list(run))) for name, run in groupby(sections)] if self.heads else [("", len(sections))]
        for name, count in groups:
            if self.heads:
                names.append((name, PlotBox(0, y, self.width, 1)))
                y += 1
            for start in range(0, count, columns):
                tall = high * (row + 1) // rows - high * row // rows
                for place in range(min(columns, count - start)):
                    places.append(PlotBox(edges[place], y, edges[place + 1] - edges[place] - GAP, tall))
                y, row = y + tall, row + 1
        return places, names
