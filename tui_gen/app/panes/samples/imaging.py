"""One picture for one room, or several: tiles of PNG files laid out anew, as bytes of a pixel protocol and as text.

Runs in the encoder's process. Everything is in every reply: pixels for the protocol, half-blocks and ASCII in the same
places for when something lies over them, names and legends as text, and where each tile is.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Iterable
from functools import partial

import msgspec
import numpy as np
from msgspec.structs import replace

from tui_gen import pictures
from tui_gen.draw import heat, placeholders
from tui_gen.draw.colour_legend import Entry, entries, lay_out_plot
from tui_gen.draw.place import Pieces, resize, resize_plot
from tui_gen.draw.text import elided, width_of
from tui_gen.draw.tiles import Room, Sheet, TileLayout, Word
from tui_gen.pictures import UNKNOWN, Tiles
from tui_gen.text import clean

CAPACITY = 24
"""Decoded pictures the child keeps, so that stepping back and forth reads no file twice."""
SMALLEST = 0.3
"""The least share of a room's width and height that a picture of pixels is worth; below it, text tells more."""
LEAST_TILE = 9.5
"""Where all tiles would get fewer pixels than this, and much fewer than they have, text shows fewer tiles."""
CELL_BYTES, CHANGE_BYTES = 3, 34
"""Of a half-block, and of two colours before it."""
BETWEEN = 2
"""Cells between two pictures that are beside each other."""
SHARES = (0.5, 0.4, 0.3)
"""How much of the room the first of two pictures may have, where they are of different sorts."""
LEAST_ROWS = 3
"""Rows of cells that a picture has at least where one is taken from it for a title."""
MOST_TILES = 10_000
"""Tiles of a picture that are laid out; one of more, which no preview has, is shown as one image."""

CellBox = tuple[int, int, int, int]
"""(x, y, columns, rows) in cells."""


class Subject(msgspec.Struct, frozen=True):
    """A picture file, and what is to be seen of it.

    The file holds `grid` = (columns, rows) tiles, `gap` pixels between them; `tiles` says what they are. `tile` picks
    one, counted along the rows, `band` the tiles of a row (see `Tiles.band`). `title` stands above it, in this `colour`
    (`#rrggbb`; empty for that of all text). Where `minus` is another file, what is shown is how much the picture
    differs from it.
    """

    path: str
    grid: tuple[int, int] = (1, 1)
    tile: int | None = None
    gap: int = 0
    tiles: Tiles = UNKNOWN
    band: int | None = None
    title: str = ""
    minus: str = ""
    colour: str = ""


class PictureRequest(msgspec.Struct, frozen=True):
    """A picture, or several beside each other, to show in `columns` x `rows` cells of `cell` = (width, height) pixels.

    `protocol` is kitty (as pictures `ident` and following, with `placeholders` to be named by cells of text), sixel,
    iterm2, or "" for text only. `light` says that the ground is light, `ground` its colour, where it is known;
    `colours` that text has some; `largest` is the size in pixels that no sixel may exceed. Where `most` is not 0, the
    picture is made so small that it has no more bytes, and is text, made small, where pixels would be too small.
    """

    subjects: tuple[Subject, ...]
    columns: int
    rows: int
    protocol: str = ""
    ident: int = 1
    cell: tuple[float, float] | None = None
    light: bool = False
    colours: bool = True
    ground: tuple[int, int, int] | None = None
    largest: tuple[int, int] | None = None
    most: int = 0
    placeholders: bool = False


class PictureReply(msgspec.Struct):
    """What came of a request: `error`, or the picture in every form it may be needed in.

    `upper`, `lower`: packed half-block colours, int32 little-endian, (rows, columns); `lines`: the luminance ramp;
    `pieces`: the protocol's bytes, each for its box (x, y, columns, rows) of cells. `words`: (x, y, text, colour).
    `places`: (left, top, right, bottom) in cells of every tile that can be seen, what lies between it and the next
    included, and its number. `grid`: (columns, rows) of tiles, of which `count` are there; `size`: the picture's
    (height, width) in pixels; all three of the first of several. `differs`: the greatest difference and the mean, as
    shares of the whole range, where that is what is shown.
    """

    error: str = ""
    upper: bytes = b""
    lower: bytes = b""
    lines: list[str] = []
    pieces: Pieces = []
    words: list[tuple[int, int, str, str]] = []
    places: list[tuple[float, float, float, float, int]] = []
    grid: tuple[int, int] = (1, 1)
    count: int = 1
    size: tuple[int, int] = (0, 0)
    differs: tuple[float, float] | None = None

    @property
    def payload(self) -> bytes:
        """The bytes of all pieces."""
        return b"".join(data for data, _ in self.pieces)

    @property
    def box(self) -> CellBox:
        """The smallest box that holds all pieces; nothing where there are none."""
        if not self.pieces:
            return 0, 0, 0, 0
        boxes = [box for _, box in self.pieces]
        x, y = min(box[0] for box in boxes), min(box[1] for box in boxes)
        return x, y, max(box[0] + box[2] for box in boxes) - x, max(box[1] + box[3] for box in boxes) - y


class PictureFiles:
    """The pictures read last, by path and time of change."""

    def __init__(self) -> None:
        self._pixels: OrderedDict[tuple[str, int, int], np.ndarray] = OrderedDict()

    def get(self, path: str) -> np.ndarray:
        """The pixels of a file. Raises as `tui_gen.pictures.read_png` does."""
        status = os.stat(path)
        key = (path, status.st_mtime_ns, status.st_size)
        if key not in self._pixels:
            self._pixels[key] = pictures.read_png(path)
            while len(self._pixels) > CAPACITY:
                self._pixels.popitem(last=False)
        self._pixels.move_to_end(key)
        return self._pixels[key]


class Drawing(msgspec.Struct, frozen=True):
    """The pixels of a subject, its grid as the file has it, and where in the room of the request it goes."""

    subject: Subject
    pixels: np.ndarray
    grid: tuple[int, int]
    gap: int
    tile: tuple[int, int]
    first: int
    sheet: Sheet

    @classmethod
    def of(cls, subject: Subject, pixels: np.ndarray) -> Drawing:
        """What a file holds of a subject: tiles beginning with number `first`, laid out as `sheet` says."""
        grid, gap, tile = _measured(pixels, subject)
        if subject.tile is not None:
            number = subject.tile % (grid[0] * grid[1])
            return cls(subject, pixels, grid, gap, tile, number, Sheet.of((1, 1), tile, gap))
        what, first, rows = subject.tiles, 0, grid[1]
        if subject.band is not None:
            high = what.band(rows)
            band = subject.band % (rows // high)
            what, first, rows = what.of_band(band, grid), band * high * grid[0], high
        names = {name: getattr(what, name) for name in ("count", "block", "titles", "parts", "labels")}
        return cls(subject, pixels, grid, gap, tile, first, Sheet.of((grid[0], rows), tile, gap, **names))

    def corner(self, number: int) -> tuple[int, int]:
        """The (row, column) of the first pixel of a tile of the sheet in the file."""
        row, column = divmod(number + self.first, self.grid[0])
        return row * (self.tile[0] + self.gap), column * (self.tile[1] + self.gap)


class PlacedDrawing(msgspec.Struct, frozen=True):
    """A drawing in its part of the request's room: where its strips of tiles are, and the words around them."""

    drawing: Drawing
    room: Room
    layout: TileLayout
    boxes: list[CellBox]
    words: list[Word]
    places: list[tuple[float, float, float, float, int]]
    strips: list[np.ndarray]

    @property
    def plot(self) -> bool:
        """Whether it is a plot rather than an image."""
        return self.drawing.subject.tiles.plot


def make(request: PictureRequest, files: PictureFiles | None = None) -> PictureReply:
    """The reply to a request. Problems with the files are in `error`, in words for the pane."""
    files = files or PictureFiles()
    scale = 1.0
    reply = _made(request, files, scale)
    while request.most and (size := _link_bytes(request, reply)) > request.most:
        scale *= max(0.5, 0.95 * math.sqrt(request.most / size))
        if scale < SMALLEST:
            return make(replace(request, protocol=""), files) if reply.pieces else _made(request, files, SMALLEST)
        reply = _made(request, files, scale)
    return reply


def _link_bytes(request: PictureRequest, reply: PictureReply) -> int:
    """What a picture takes of the link: the bytes of its pixels, or about those of its cells."""
    if reply.pieces or not request.colours:
        return len(reply.payload) or sum(len(line.strip()) for line in reply.lines)
    upper, lower = np.frombuffer(reply.upper, "<i4"), np.frombuffer(reply.lower, "<i4")
    changes = np.count_nonzero((upper[1:] != upper[:-1]) | (lower[1:] != lower[:-1]))
    return int(CELL_BYTES * np.count_nonzero((upper >= 0) | (lower >= 0)) + CHANGE_BYTES * changes)


def _made(request: PictureRequest, files: PictureFiles, scale: float) -> PictureReply:
    """The reply with pictures in this share of their room's width and height."""
    reply = PictureReply()
    try:
        drawings = [_drawing(subject, files, reply) for subject in request.subjects]
    except FileNotFoundError:
        return PictureReply(error="The picture is gone: this file does not exist (any more).")
    except UnlikePictures as error:
        return PictureReply(error=f"The two pictures cannot be compared: {error}.")
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        return PictureReply(error=f"The picture cannot be read: {error}")
    parts = [_placed(request, drawing, area, scale) for drawing, area in zip(drawings, _areas(request, drawings))]
    first = parts[0]
    reply.grid, reply.count = (len(first.layout.xs), len(first.layout.numbers)), first.layout.visible_count
    alone = first.drawing.subject.tile is not None
    reply.size = first.drawing.tile if alone else first.drawing.pixels.shape[:2]
    reply.words = [(word.x, word.y, word.text, word.colour) for part in parts for word in part.words]
    reply.places = [place for part in parts for place in part.places]
    _text(reply, request, parts)
    if _has_pixels(request):
        for part in parts:
            reply.pieces += _pieces(request, part, request.ident + len(reply.pieces))
    return reply


class UnlikePictures(ValueError):
    """Why two pictures cannot be held against each other."""


def _drawing(subject: Subject, files: PictureFiles, reply: PictureReply) -> Drawing:
    """What is drawn of a subject; how much it differs is told in the reply."""
    pixels = files.get(subject.path)
    if not subject.minus:
        return Drawing.of(subject, pixels)
    try:
        apart = heat.difference(pixels, files.get(subject.minus))
    except ValueError as error:
        raise UnlikePictures(str(error)) from error
    drawing = Drawing.of(subject, apart)
    tiles = _only(drawing)
    reply.differs = int(tiles.max(initial=0)) / 255, float(tiles.mean()) / 255
    return replace(drawing, pixels=heat.heat(np.minimum(apart, tiles.max(initial=0))))


def _only(drawing: Drawing) -> np.ndarray:
    """The pixels of the tiles that are shown, in any order."""
    (high, wide), count = drawing.tile, drawing.sheet.count
    corners = [drawing.corner(number) for number in range(count)]
    return np.stack([drawing.pixels[top : top + high, left : left + wide] for top, left in corners])


def _areas(request: PictureRequest, drawings: list[Drawing]) -> list[CellBox]:
    """Where each drawing goes: beside and below each other, as they are largest; the first alone in too little room."""
    columns, rows = request.columns, request.rows
    if len(drawings) == 1:
        return [(0, 0, columns, rows)]
    every: Iterable[list[CellBox]]
    if len(drawings) == 2:
        shares = (0.5,) if drawings[0].sheet.count == drawings[1].sheet.count else SHARES
        every = (areas for share in shares for areas in _halves(columns, rows, share))
    else:
        every = (_equal(columns, rows, len(drawings), beside) for beside in range(1, len(drawings) + 1))
    possible = [areas for areas in every if all(min(area[2:]) > 0 for area in areas)]

    def size(areas: list[CellBox]) -> float:
        return math.prod(_size(request, *both) for both in zip(drawings, areas))

    return max(possible, key=size) if possible else [(0, 0, columns, rows)]


def _equal(columns: int, rows: int, count: int, beside: int) -> list[CellBox]:
    """Cells divided into so many equal parts, some of them beside each other."""
    wide, high = (columns - BETWEEN * (beside - 1)) // beside, rows // -(-count // beside)
    return [((wide + BETWEEN) * (place % beside), high * (place // beside), wide, high) for place in range(count)]


def _halves(columns: int, rows: int, share: float) -> tuple[list[CellBox], list[CellBox]]:
    """Cells divided into two parts beside each other, and below each other; the first has this share of them."""
    wide, high = round((columns - BETWEEN) * share), round(rows * share)
    return (
        [(0, 0, wide, rows), (wide + BETWEEN, 0, columns - wide - BETWEEN, rows)],
        [(0, 0, columns, high), (0, high, columns, rows - high)],
    )


def _size(request: PictureRequest, drawing: Drawing, area: CellBox) -> float:
    """How large the tiles of a drawing would be in an area, and how many."""
    _, room = _room(request, drawing, area, 1.0)
    layout = lay_out_plot(drawing.sheet, room, _legend(request, drawing))
    return layout.zoom**2 * layout.visible_count


def _legend(request: PictureRequest, drawing: Drawing) -> list[Entry]:
    tiles = drawing.subject.tiles
    sign = None if request.colours else partial(_sign, light=request.light)
    return entries(() if drawing.subject.minus else tiles.legend, tiles.axes, sign)


def _sign(colour: str, light: bool) -> str:
    """The character of the luminance ramp that a colour (`#rrggbb`) is drawn with."""
    from tui_gen.draw import blocks

    return blocks.ramp(np.array([[tuple(bytes.fromhex(colour[1:]))]], dtype=np.uint8), light=light)[0]


def _placed(request: PictureRequest, drawing: Drawing, area: CellBox, scale: float) -> PlacedDrawing:
    """Where a drawing goes in this share of its area's width and height, with its title above it."""
    (x, y, columns, rows), room = _room(request, drawing, area, scale)
    layout = lay_out_plot(drawing.sheet, room, _legend(request, drawing))
    right = x + _centred(columns, room.columns, [(at, at + wide) for at, _, wide, _ in layout.boxes])
    down = y + _centred(rows, room.rows, [(at, at + high) for _, at, _, high in layout.boxes])
    words = [Word(word.x + right, word.y + down, word.text, word.colour) for word in layout.words]
    if y > area[1]:
        title = elided(clean(drawing.subject.title), columns)
        top = min(at for _, at, _, _ in layout.boxes) + down - 1
        words.append(Word(x + (columns - width_of(title)) // 2, top, title, drawing.subject.colour))
    return PlacedDrawing(
        drawing, room, layout,
        boxes=[(at + right, on + down, wide, high) for at, on, wide, high in layout.boxes],
        words=words,
        places=[(left + right, top + down, end + right, bottom + down, at + drawing.first)
                for left, top, end, bottom, at in _places(layout, room)],
        strips=[_strip(drawing, layout, place) for place in range(len(layout.boxes))],
    )  # fmt: skip


def _centred(whole: int, room: int, spans: list[tuple[int, int]]) -> int:
    """How far what lies in a smaller room has to move, so that it is in the middle of the whole."""
    if whole == room:
        return 0
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    return max(0, min(whole - room, (whole - (last - first)) // 2 - first))


def _measured(pixels: np.ndarray, subject: Subject) -> tuple[tuple[int, int], int, tuple[int, int]]:
    """The grid, the gap and a tile's (height, width) of a file; those asked for where the file can have them."""
    high, wide = pixels.shape[:2]
    grid = subject.grid
    if min(grid) < 1 or wide < grid[0] or high < grid[1] or grid[0] * grid[1] > MOST_TILES:
        grid = (1, 1)
    gap = max(0, subject.gap)
    down, across = (high + gap) // grid[1], (wide + gap) // grid[0]
    if gap >= min(down, across):
        gap, down, across = 0, high // grid[1], wide // grid[0]  # not of this file
    return grid, gap, (down - gap, across - gap)


def _has_pixels(request: PictureRequest) -> bool:
    # kitty scales the picture itself, so where a cell's size is not known its usual shape will do
    return request.protocol in ("kitty", "iterm2") or (request.protocol == "sixel" and request.cell is not None)


def _room(request: PictureRequest, drawing: Drawing, area: CellBox, scale: float) -> tuple[CellBox, Room]:
    """What an area has beside a title, and the room in it: pixels of the screen, or in text half a cell high."""
    x, y, columns, rows = area
    if drawing.subject.title and rows > LEAST_ROWS:
        y, rows = y + 1, rows - 1
    cell = request.cell or (1, 2)
    whole = not drawing.subject.tiles.plot
    box = (x, y, columns, rows)
    columns, rows = (max(1, math.ceil(cells * scale)) for cells in (columns, rows))
    if request.placeholders:
        columns, rows = min(columns, placeholders.MOST), min(rows, placeholders.MOST)
    if not _has_pixels(request):
        stretch = cell[1] / (2 * cell[0])  # height of half a cell over its width
        high = 2 * stretch if abs(stretch - 1) > 0.1 else 2
        return box, Room(columns, rows, (1, high), whole, 1, min(LEAST_TILE, 0.75 * min(drawing.sheet.tile)))
    if request.protocol == "sixel" and request.largest:
        most = request.largest
        columns = min(columns, max(1, int(most[0] / cell[0])))
        rows = min(rows, max(1, int(most[1] // 6 * 6 / cell[1])))
    return box, Room(columns, rows, cell, whole and request.cell is not None, 6 if request.protocol == "sixel" else 1)


def _strip(drawing: Drawing, layout: TileLayout, place: int) -> np.ndarray:
    """The pixels of a strip, as large as in the file; black between tiles and where there are none."""
    numbers, pixels, corner = layout.strip(place), drawing.pixels, drawing.corner
    (high, wide), (tall, broad) = layout.size, _tile_of(layout)
    starts = [[corner(number) for number in row] for row in numbers if min(row) >= 0]
    top, left = corner(numbers[0][0])
    if len(starts) == len(numbers) and all(
        start == (top + y, left + x)
        for row, y in zip(starts, layout.ys)
        for start, x in zip(row, layout.xs)
    ):
        return pixels[top : top + high, left : left + wide]  # as it lies in the file
    out = np.zeros((high, wide, *pixels.shape[2:]), np.uint8)
    for row, y in zip(numbers, layout.ys):
        for number, x in zip(row, layout.xs):
            if number >= 0:
                top, left = corner(number)
                out[y : y + tall, x : x + broad] = pixels[top : top + tall, left : left + broad]
    return out


def _tile_of(layout: TileLayout) -> tuple[int, int]:
    """(height, width) of a tile."""
    return layout.size[0] - layout.ys[-1], layout.size[1] - layout.xs[-1]


def _places(layout: TileLayout, room: Room) -> list[tuple[float, float, float, float, int]]:
    """Where tiles are, in cells: up to the next one, names below them included."""
    places = []
    across, down = layout.zoom / room.cell[0], layout.zoom / room.cell[1]
    words = 1 if layout.words else 0
    edges = [*layout.xs[1:], layout.size[1]]
    for place, (x, y, _, rows) in enumerate(layout.boxes):
        below = layout.boxes[place + 1][1] if place + 1 < len(layout.boxes) else y + rows + words
        ends = [*(y + at * down for at in layout.ys[1:]), below]
        for numbers, begin, bottom in zip(layout.strip(place), layout.ys, ends):
            for number, left, right in zip(numbers, layout.xs, edges):
                if number >= 0:
                    places.append((x + left * across, y + begin * down, x + right * across, bottom, number))
    return places


def _pieces(request: PictureRequest, part: PlacedDrawing, ident: int) -> Pieces:
    """The strips of a drawing in a pixel protocol."""
    from tui_gen.draw import iterm2, kitty, sixel

    layout, room = part.layout, part.room
    height, width = (max(1, round(length * layout.zoom)) for length in layout.size)
    pieces: Pieces = []
    for place, (strip, box) in enumerate(zip(part.strips, part.boxes)):
        if request.protocol == "sixel":
            if part.plot:
                strip = resize_plot(strip, min(height, len(strip)), min(width, strip.shape[1]))
            data = sixel.encode(strip, width, height, area=layout.area, ground=request.ground, blend=not part.plot)
        else:
            if request.most and layout.zoom < 1:
                strip = resize(strip, height, width)  # the terminal would, of more bytes
            enlarge = max(1, min(8, int(layout.zoom))) if request.cell else 4
            # whole cells of it: stretched to them, a low strip would be out of shape, and all blurred
            across, down = (cells * size for cells, size in zip(box[2:], room.cell))
            pad = (round(across / layout.zoom * enlarge), round(down / layout.zoom * enlarge))
            if request.protocol == "iterm2":
                data = iterm2.show(kitty.png(strip, enlarge=enlarge, size=pad), box[2], box[3])
            else:
                data = kitty.encode(
                    strip, ident + place, box[2], box[3], enlarge=enlarge, pad=pad, virtual=request.placeholders
                )
        pieces.append((data, box))
    return pieces


def _text(reply: PictureReply, request: PictureRequest, parts: list[PlacedDrawing]) -> None:
    """The text forms, in the same place as the pixels where there are any: a dialog must not make the picture jump."""
    from tui_gen.draw import blocks

    halves = np.full((2 * request.rows, request.columns), -1, np.int32)
    ramp = [[" "] * request.columns for _ in range(request.rows)]
    for part in parts:
        layout, room, resize_part = part.layout, part.room, resize_plot if part.plot else resize
        for strip, (x, y, columns, rows) in zip(part.strips, part.boxes):
            wide = max(1, min(columns, math.ceil(layout.size[1] * layout.zoom / room.cell[0] - 1e-6)))
            high = layout.size[0] * layout.zoom / room.cell[1]
            half = max(1, min(2 * rows, math.ceil(2 * high - 1e-6)))
            halves[2 * y : 2 * y + half, x : x + wide] = blocks.packed(resize_part(strip, half, wide))
            full = max(1, min(rows, round(high)))
            for row, line in enumerate(blocks.ramp(resize_part(strip, full, wide), light=request.light)):
                ramp[y + row][x : x + wide] = line
    reply.upper, reply.lower = (half.astype("<i4").tobytes() for half in (halves[0::2], halves[1::2]))
    reply.lines = ["".join(line) for line in ramp]
