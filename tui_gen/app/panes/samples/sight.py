"""What is to be seen of a run's previews, as plain data: which files, which of their tiles, and words about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tui_gen.app.panes.samples.caption import ROOM
from tui_gen.app.panes.samples.comparing import Comparison, Counterpart
from tui_gen.app.panes.samples.imaging import Subject
from tui_gen.draw.text import width_of
from tui_gen.events import Sample
from tui_gen.neighbours import Neighbours
from tui_gen.view import RunView


def tile_count(sample: Sample) -> int:
    """How many tiles a preview has; those that only fill its last row are none."""
    every = max(1, sample.columns) * max(1, sample.rows)
    return sample.tiles.count if 0 < sample.tiles.count <= every else every


def band_count(sample: Sample) -> int:
    """How many rows of tiles a preview has that can be looked at alone; 1 where it is nothing but a row, or a plot."""
    return 1 if sample.tiles.plot else max(1, sample.rows) // sample.tiles.band(max(1, sample.rows))


class Sight(NamedTuple):
    """Preview number `at` of a history, whole, or its `tile`, or its `band` of tiles; and what it is compared with.

    `neighbours` are the training images nearest to its tiles, or words about them; None where nobody asked.
    """

    view: RunView
    history: Sequence[Sample]
    at: int
    comparison: Comparison
    tile: int | None = None
    band: int | None = None
    neighbours: Neighbours | str | None = None

    @property
    def preview(self) -> Sample:
        """The preview."""
        return self.history[self.at]

    @property
    def counterparts(self) -> list[Counterpart]:
        """What it can be compared with."""
        return self.comparison.counterparts(self.view.samples, self.history, self.at)

    @property
    def _other(self) -> Counterpart | None:
        return self.comparison.counterpart(self.counterparts) if self.comparison.way else None

    def _in_turn(self) -> Counterpart | None:
        """The one that is shown of two that take turns."""
        if self.comparison.way != "flicker":
            return None
        pair = self.comparison.pair(self.history, self.at, self.counterparts)
        return pair[not self.comparison.turned] if pair else None

    def subjects(self) -> list[Subject]:
        """One subject, or two beside each other. Raises OSError where a file lies outside of the run."""
        here, other = self._in_turn(), self._other
        if isinstance(near := self.neighbours, Neighbours) and self.tile is not None:
            rows = Subject(near.path, (near.columns, near.rows), None, near.gap, near.tiles, self.tile, "trained on")
            return [self._subject(self.preview, "made"), rows]
        if here is not None:
            return [self._subject(here.preview)]
        if other is None or self.comparison.way == "flicker":
            return [self._subject(self.preview)]
        if self.comparison.way == "difference":
            return [self._subject(self.preview, minus=other.preview)]
        if other.name in ("raw", "averaged"):
            pair = [(other.preview, other.name), (self.preview, "averaged" if other.name == "raw" else "raw")]
            return [self._subject(*part) for part in sorted(pair, key=lambda part: part[1])]
        return [
            self._subject(other.preview, f"{self._pin(other)}step {other.preview.step:,}"),
            self._subject(self.preview, f"step {self.preview.step:,}"),
        ]

    def _subject(self, sample: Sample, title: str = "", minus: Sample | None = None) -> Subject:
        return Subject(
            str(self.view.file(sample.path)),
            (max(1, sample.columns), max(1, sample.rows)),
            self.tile,
            sample.gap,
            sample.tiles,
            self.band if self.tile is None else None,
            title,
            str(self.view.file(minus.path)) if minus is not None else "",
        )

    def words(self, layout: tuple[tuple[int, int], int] | None, differs: tuple[float, float] | None) -> str:
        """What can be seen, in words. `layout`: (columns, rows) and number of tiles, as they were laid out; `differs`:
        the greatest and the mean difference.
        """
        here = self._in_turn()
        steps = [sample.step for sample in self.history]
        at = self.at if here is None or here.preview.step not in steps else steps.index(here.preview.step)
        place = f"{at + 1}/{len(self.history)}"
        if isinstance(self.neighbours, str):
            return f"step {self.preview.step:,} · {self.neighbours}"
        if self.preview.path.endswith(".txt"):
            return f"step {self.preview.step:,} · {place}"
        return " · ".join([self._steps(differs), place, *self._tiles(layout)])

    def room(self) -> int:
        """Cells of the words that have to be seen: up to what is compared."""
        if isinstance(self.neighbours, str):
            return width_of(self.words(None, None))
        return 2 + width_of(self.words(None, (1.0, 1.0)).partition("/")[0]) if self.comparison.way else ROOM

    def _steps(self, differs: tuple[float, float] | None) -> str:
        """The step, and what it is compared with."""
        here, other, step = self._in_turn(), self._other, f"step {self.preview.step:,}"
        if here is not None:
            return f"in turn: {self._pin(here)}step {here.preview.step:,}"
        if not self.comparison.way:
            return step
        if other is None:
            return f"{step}, {self.comparison.name}: nothing to compare"
        name = f"{other.name} weights" if other.name in ("raw", "averaged") else f"step {other.preview.step:,}"
        if self.comparison.way == "beside":
            return f"{step} beside {name}"
        much = f": up to {differs[0]:.0%}, mean {differs[1]:.1%}" if differs is not None else ""
        return f"{step} minus {name}{much}"

    def _pin(self, counterpart: Counterpart) -> str:
        """The letter of a pin, to go before its step."""
        return f"{counterpart.name} · " if counterpart.name in self.comparison.pins else ""

    def _tiles(self, layout: tuple[tuple[int, int], int] | None) -> list[str]:
        """Which tiles can be seen."""
        preview, every = self.preview, tile_count(self.preview)
        high, wide = preview.tile
        if self.tile is not None:
            name, near = preview.tiles.name(self.tile, max(1, preview.columns)), self.neighbours
            few = isinstance(near, Neighbours) and near.among < near.total
            among = f"among {near.among:,} of {near.total:,}" if isinstance(near, Neighbours) and few else ""
            words = [name, f"tile {self.tile + 1} of {every}, {wide}×{high}", among]
            return [word for word in words if word]
        if self.band is not None:
            return [f"row {self.band + 1} of {band_count(preview)}"]
        if preview.tiles.plot and every == 1:
            return []
        (columns, rows), count = layout or ((preview.columns, preview.rows), every)
        if count < every:
            return [f"{count} of {every} tiles"]
        return [f"{f'{columns}×{rows}' if columns * rows == count else count} of {wide}×{high}"]
