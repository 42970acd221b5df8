"""What of a frame has to be sent: only the cells that are not on the terminal already.

Textual repaints the whole screen for every change of layout, for a dialog that comes or goes and for much less; at its
start, seven times. Most of those cells are there already, and over a slow link each screenful takes a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from rich.control import Control
from textual.strip import Strip

from tui_gen.app.terminal.private import ChopsUpdate, CompositorUpdate, LayoutUpdate

if TYPE_CHECKING:
    from rich.console import Console

LARGE = 0.2
"""Share of the screen's cells from which an update is compared with what is there; below, comparing does not pay."""

Piece = tuple[int, int, Strip]
"""(column, row, cells)"""


class PiecesUpdate(CompositorUpdate):
    """An update that writes these pieces of rows and nothing else."""

    def __init__(self, pieces: list[Piece]) -> None:
        self.pieces = pieces

    def render_segments(self, console: Console) -> str:
        """The escape sequences of every piece's cells."""
        out: list[str] = []
        for x, y, strip in self.pieces:
            out += (Control.move_to(x, y).segment.text, strip.render(console))
        return "".join(out)


class Screenful:
    """What the terminal shows, as far as it is known: pieces of rows as they were sent last."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, Strip]] = {}

    def forget(self, rows: Iterable[int] | None = None) -> None:
        """These rows, or all, may look different from what was sent: they are sent again when they are next painted."""
        if rows is None:
            self._rows.clear()
            return
        for y in rows:
            self._rows.pop(y, None)

    def reduce(self, update: CompositorUpdate, cells: int, console: Console) -> CompositorUpdate:
        """The part of an update that changes anything, on a screen of so many cells."""
        if isinstance(update, LayoutUpdate):
            pieces: Iterable[Piece] = _of_layout(update)
        elif isinstance(update, ChopsUpdate):
            if sum(right - left for _, left, right in update.spans) < LARGE * cells:
                self.forget({y for y, _, _ in update.spans})
                return PiecesUpdate(list(_of_spans(update)))
            pieces = _of_spans(update)
        else:
            self.forget()
            return update
        rows: dict[int, list[Piece]] = {}
        for piece in pieces:
            rows.setdefault(piece[1], []).append(piece)
        return PiecesUpdate([piece for y in sorted(rows) for piece in self._changed(y, rows[y], console)])

    def _changed(self, y: int, pieces: list[Piece], console: Console) -> Iterator[Piece]:
        """The pieces of row `y` that look different from what is there; from now on they are what is there."""
        known = self._rows.get(y, {})
        whole = None
        for x, _, strip in pieces:
            there = known.get(x)
            if there is None or there.cell_length != strip.cell_length:
                # cut in other places than before: compare with the cells, where all of the row is known
                if whole is None:
                    whole = _joined(known)
                there = whole.crop(x, x + strip.cell_length)
            if there is not strip and _looks(there, console) != _looks(strip, console):
                yield x, y, strip
        new = {x: strip for x, _, strip in pieces}
        if all(x in known and known[x].cell_length == strip.cell_length for x, strip in new.items()):
            known.update(new)
        elif sum(map(_width, new.values())) >= sum(map(_width, known.values())):
            self._rows[y] = new
        else:
            self._rows.pop(y)  # what is left of the pieces is not worth knowing


def _joined(known: dict[int, Strip]) -> Strip:
    """A row from its pieces; nothing where they leave gaps, or have wide characters, which another cut would halve."""
    x, strips = 0, []
    for place, strip in sorted(known.items()):
        if place != x:
            return Strip([])
        strips.append(strip)
        x += strip.cell_length
    row = Strip.join(strips)
    return row if len(row.text) == row.cell_length else Strip([])


def _width(strip: Strip) -> int:
    return strip.cell_length


def _looks(strip: Strip, console: Console) -> str:
    return strip.render(console)


def _of_layout(update: LayoutUpdate) -> Iterator[Piece]:
    for y, line in enumerate(update.strips, update.region.y):
        x = update.region.x
        for strip in line:
            if strip is not None:
                yield x, y, strip
                x += strip.cell_length


def _of_spans(update: ChopsUpdate) -> Iterator[Piece]:
    """Exactly the spans' cells.

    Textual's own rendering begins each span where its widget begins: a plot that grew by a dot at the right end of a
    row would send the whole row.
    """
    for y, left, right in update.spans:
        for end, (x, strip) in zip(update.chop_ends[y], update.chops[y].items()):
            if strip is None or x >= right or end <= left:
                continue
            first, last = max(x, left), min(end, right)
            if (first, last) != (x, end):
                strip = strip.crop(first - x, last - x)
            yield first, y, strip
