"""What of a frame has to be sent: only the cells that are not on the terminal already.

Textual repaints the whole screen for every change of layout, for a dialog that comes or goes and for much less; at its
start, seven times. Most of those cells are there already, and over a slow link each screenful takes a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from rich.color import ColorSystem
from rich.console import COLOR_SYSTEMS
from rich.control import Control
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui_gen.app.terminal.private import ChopsUpdate, CompositorUpdate, LayoutUpdate

if TYPE_CHECKING:
    from rich.console import Console

LARGE = 0.2
"""Share of the screen's cells from which an update is compared with all that is there; one below, only with what the
same cells were last sent."""

APART = 4
"""Cells between two changes of a row that are sent along, as moving the cursor would take as many bytes."""
MOST = 32
"""Pieces written over a row, at most, before it is forgotten."""

Piece = tuple[int, int, Strip]
"""(column, row, cells)"""


Codes = tuple[str, str, str]
_UNSTYLED: Codes = ("", "", "")
END = {"1": "22", "2": "22", "3": "23", "4": "24", "5": "25", "6": "25", "7": "27", "8": "28", "9": "29"}
END |= {"21": "24", "51": "54", "52": "54", "53": "55"}
"""What ends an attribute."""
_NOTHING = Strip([])
_PLAIN = Style()


class PiecesUpdate(CompositorUpdate):
    """An update that writes these pieces of rows and nothing else."""

    def __init__(self, pieces: list[Piece]) -> None:
        self.pieces = pieces

    def render_segments(self, console: Console) -> str:
        """The escape sequences of every piece's cells; of colours and attributes only what changes between two."""
        out: list[str] = []
        system = COLOR_SYSTEMS[console.color_system or "truecolor"]
        last = _UNSTYLED
        for x, y, strip in self.pieces:
            out.append(Control.move_to(x, y).segment.text)
            for text, style, _ in strip:
                style = style or _PLAIN
                codes = _UNSTYLED if style.link else _codes(style, system)
                if codes != last:
                    out.append(f"\x1b[{_change(last, codes)}m")
                    last = codes
                out.append(Strip.render_style(style, text, system) if style.link else text)
        if last != _UNSTYLED:
            out.append("\x1b[0m")
        return "".join(out)


@lru_cache(maxsize=4096)
def _codes(style: Style, system: ColorSystem) -> Codes:
    """Of a style its attributes, its colour and its background, as the terminal takes them."""
    fore, back = style.color, style.bgcolor
    return (
        Strip.render_ansi(style.without_color, system),
        ";".join(fore.downgrade(system).get_ansi_codes()) if fore else "",
        ";".join(back.downgrade(system).get_ansi_codes(foreground=False)) if back else "",
    )


@lru_cache(maxsize=4096)
def _change(last: Codes, codes: Codes) -> str:
    """What makes one style of another, in as few characters as it takes."""
    before, after = (set(filter(None, style[0].split(";"))) for style in (last, codes))
    ends = {END[code] for code in before - after}
    begun = sorted(code for code in after if code not in before or END[code] in ends)  # 22 ends both bold and dim
    colours = [code or default for code, was, default in zip(codes[1:], last[1:], ("39", "49")) if code != was]
    return min(";".join(["0", *filter(None, codes)]), ";".join([*sorted(ends), *begun, *colours]), key=len)


class Screenful:
    """What the terminal shows, as far as it is known: pieces of rows as they were sent last."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[int, Strip]] = {}
        self._over: dict[int, dict[tuple[int, int], Strip]] = {}
        """What small updates wrote over these rows since, by column and width, the newest last."""

    def forget(self, rows: Iterable[int] | None = None) -> None:
        """These rows, or all, may look different from what was sent: they are sent again when they are next painted."""
        if rows is None:
            self._rows.clear()
            self._over.clear()
            return
        for y in rows:
            self._rows.pop(y, None)
            self._over.pop(y, None)

    def reduce(self, update: CompositorUpdate, cells: int, console: Console) -> CompositorUpdate:
        """The part of an update that changes anything, on a screen of so many cells."""
        if isinstance(update, LayoutUpdate):
            pieces: Iterable[Piece] = _of_layout(update)
        elif isinstance(update, ChopsUpdate):
            if sum(right - left for _, left, right in update.spans) < LARGE * cells:
                return PiecesUpdate([piece for span in _of_spans(update) for piece in self._noted(*span)])
            pieces = _of_spans(update)
        else:
            self.forget()
            return update
        rows: dict[int, list[Piece]] = {}
        for piece in pieces:
            rows.setdefault(piece[1], []).append(piece)
        return PiecesUpdate([piece for y in sorted(rows) for piece in self._changed(y, rows[y], console)])

    def _noted(self, x: int, y: int, strip: Strip) -> Iterable[Piece]:
        """What to send of a piece written over a row. Where that is known, the piece is remembered, to be looked
        at when there is something to compare.
        """
        if y not in self._rows:
            return ((x, y, strip),)
        there = self._there(x, y, strip.cell_length)
        over = self._over.setdefault(y, {})
        over.pop((x, strip.cell_length), None)
        over[x, strip.cell_length] = strip
        if len(over) > MOST:
            self.forget((y,))
        return ((x, y, strip),) if there is None else _runs(x, y, there, strip)

    def _there(self, x: int, y: int, width: int) -> Strip | None:
        """What was last sent for exactly these cells of a row that is known; None where they were cut otherwise."""
        for (place, length), strip in reversed(self._over.get(y, {}).items()):
            if place < x + width and x < place + length:
                return strip if (place, length) == (x, width) else None
        strip = self._rows[y].get(x, _NOTHING)
        return strip if strip.cell_length == width else None

    def _known(self, y: int) -> dict[int, Strip]:
        """The pieces of a row that is known."""
        for (x, _), strip in self._over.pop(y, {}).items():
            self._write(x, y, strip)
        return self._rows.get(y, {})

    def _write(self, x: int, y: int, strip: Strip) -> None:
        """This is what a row looks like from column `x` on; forget one in which that halves a wide character."""
        if y not in self._rows:
            return
        rest = _overwritten(self._rows[y], x, strip.cell_length)
        if rest is None:
            self.forget((y,))
        else:
            self._rows[y] = {**rest, x: strip}

    def _changed(self, y: int, pieces: list[Piece], console: Console) -> Iterator[Piece]:
        """The pieces of row `y` that look different from what is there; from now on they are what is there."""
        before = self._known(y)
        whole = None
        for x, _, strip in pieces:
            there = before.get(x)
            if there is None or there.cell_length != strip.cell_length:
                # cut in other places than before: compare with the cells, where all of the row is known
                if whole is None:
                    whole = _joined(before)
                there = whole.crop(x, x + strip.cell_length)
            if there is not strip and _looks(there, console) != _looks(strip, console):
                yield from _runs(x, y, there, strip)
        new = {x: strip for x, _, strip in pieces}
        if all(x in before and before[x].cell_length == strip.cell_length for x, strip in new.items()):
            before.update(new)
        elif sum(map(_width, new.values())) >= sum(map(_width, before.values())):
            self._rows[y] = new
        else:
            for x, strip in new.items():
                self._write(x, y, strip)


def _overwritten(pieces: dict[int, Strip], x: int, width: int) -> dict[int, Strip] | None:
    """A row's pieces but for so many cells from column `x`; None where a wide character might be cut in two."""
    rest: dict[int, Strip] = {}
    for place, strip in pieces.items():
        end = place + strip.cell_length
        if end <= x or place >= x + width:
            rest[place] = strip
            continue
        if (place < x or end > x + width) and len(strip.text) != strip.cell_length:
            return None
        if place < x:
            rest[place] = strip.crop(0, x - place)
        if end > x + width:
            rest[x + width] = strip.crop(x + width - place, strip.cell_length)
    return rest


def _joined(pieces: dict[int, Strip]) -> Strip:
    """A row from its pieces; nothing where they leave gaps, or have wide characters, which another cut would halve."""
    x, strips = 0, []
    for place, strip in sorted(pieces.items()):
        if place != x:
            return Strip([])
        strips.append(strip)
        x += strip.cell_length
    row = Strip.join(strips)
    return row if len(row.text) == row.cell_length else Strip([])


def _runs(x: int, y: int, there: Strip, strip: Strip) -> Iterator[Piece]:
    """The runs of a piece's segments that are not at their places already: of a pane that loses the focus, its frame.

    Runs with only a few cells between them are one.
    """
    places, place = {}, 0
    for segment in there:
        places[place] = segment
        place += segment.cell_length
    run: list[Segment] = []
    same: list[Segment] = []
    place = start = x
    for segment in strip:
        if not _alike(places.get(place - x), segment):
            run += same if run else ()
            start = start if run else place
            run.append(segment)
            same = []
        elif run:
            same.append(segment)
            if sum(between.cell_length for between in same) > APART:
                yield start, y, Strip(run)
                run, same = [], []
        place += segment.cell_length
    if run:
        yield start, y, Strip(run)


def _alike(there: Segment | None, segment: Segment) -> bool:
    """Whether two pieces of a row look the same: of blanks nobody sees in which colour a letter would be.

    Beside a plot that is drawn anew, and beside a dialog, Textual gives blanks another one again and again.
    """
    if there is None or there.text != segment.text:
        return False
    if there.style == segment.style:
        return True
    before, after = there.style or _PLAIN, segment.style or _PLAIN
    unseen = not segment.text.strip(" ") and not (_marks_blanks(before) or _marks_blanks(after))
    return unseen and before.bgcolor == after.bgcolor


def _marks_blanks(style: Style) -> bool:
    """Whether a blank shows the colour of letters."""
    return bool(style.reverse or style.underline or style.underline2 or style.strike or style.overline)


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
