"""One picture for one room: the tiles of a PNG file laid out anew, as bytes of a pixel protocol and as text.

Runs in the encoder's process. Everything is in every reply: pixels for the protocol, half-blocks and ASCII in the same
places for when something lies over them, names and legends as text, and where each tile is.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Callable

import msgspec
import numpy as np

from tui_gen import pictures
from tui_gen.draw.colour_legend import entries, lay_out_plot
from tui_gen.draw.place import Pieces, resize, resize_plot
from tui_gen.draw.tiles import Layout, Room, Sheet
from tui_gen.pictures import UNKNOWN, Tiles

KEPT = 8
"""Decoded pictures the child keeps, so that stepping back and forth reads no file twice."""
LEAST_TILE = 9.5
"""Where all tiles would get fewer pixels than this, and much fewer than they have, text shows fewer tiles."""
MOST_TILES = 10_000
"""Tiles of a picture that are laid out; one of more, which no preview has, is shown as one image."""

CellBox = tuple[int, int, int, int]
"""(x, y, columns, rows) in cells."""


class PictureRequest(msgspec.Struct, frozen=True):
    """A picture to show in `columns` x `rows` cells of `cell` = (width, height) pixels.

    The file holds `grid` = (columns, rows) tiles, `gap` pixels between them; `tiles` says what they are, and `tile`
    picks one, counted along the rows. `protocol` is kitty (as pictures `ident` and following), sixel, or "" for text
    only. `light` says that the ground is light, `ground` its colour, where it is known; `colours` that text has some;
    `largest` is the size in pixels that no sixel may exceed.
    """

    path: str
    columns: int
    rows: int
    grid: tuple[int, int] = (1, 1)
    tile: int | None = None
    gap: int = 0
    tiles: Tiles = UNKNOWN
    protocol: str = ""
    ident: int = 1
    cell: tuple[float, float] | None = None
    light: bool = False
    colours: bool = True
    ground: tuple[int, int, int] | None = None
    largest: tuple[int, int] | None = None


class PictureReply(msgspec.Struct):
    """What came of a request: `error`, or the picture in every form it may be needed in.

    `upper`, `lower`: packed half-block colours, int32 little-endian, (rows, columns); `lines`: the luminance ramp;
    `pieces`: the protocol's bytes, each for its box (x, y, columns, rows) of cells. `words`: (x, y, text, colour).
    `places`: (left, top, right, bottom) in cells of every tile that can be seen, what lies between it and the next
    included, and its number. `shown`: (columns, rows) of tiles, of which `count` are there; `size`: the picture's
    (height, width) in pixels.
    """

    error: str = ""
    upper: bytes = b""
    lower: bytes = b""
    lines: list[str] = []
    pieces: Pieces = []
    words: list[tuple[int, int, str, str]] = []
    places: list[tuple[float, float, float, float, int]] = []
    shown: tuple[int, int] = (1, 1)
    count: int = 1
    size: tuple[int, int] = (0, 0)

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
        self._kept: OrderedDict[tuple[str, int, int], np.ndarray] = OrderedDict()

    def get(self, path: str) -> np.ndarray:
        """The pixels of a file. Raises as `tui_gen.pictures.read_png` does."""
        status = os.stat(path)
        key = (path, status.st_mtime_ns, status.st_size)
        if key not in self._kept:
            self._kept[key] = pictures.read_png(path)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


def make(request: PictureRequest, files: PictureFiles | None = None) -> PictureReply:
    """The reply to a request. Problems with the file are in `error`, in words for the pane."""
    files = files or PictureFiles()
    try:
        pixels = files.get(request.path)
    except FileNotFoundError:
        return PictureReply(error="The picture is gone: this file does not exist (any more).")
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        return PictureReply(error=f"The picture cannot be read: {error}")
    grid, gap, tile = _measured(pixels, request)
    if request.tile is not None:
        number = request.tile % (grid[0] * grid[1])
        sheet = Sheet.of((1, 1), tile, gap)
    else:
        what = {name: getattr(request.tiles, name) for name in ("count", "block", "titles", "parts", "labels")}
        number, sheet = 0, Sheet.of(grid, tile, gap, **what)
    room = _room(request, sheet)
    lines = entries(request.tiles.legend, request.tiles.axes, request.colours)
    layout = lay_out_plot(sheet, room, lines)
    right = _centred(request.columns, room.columns, [(x, x + columns) for x, _, columns, _ in layout.boxes])
    down = _centred(request.rows, room.rows, [(y, y + rows) for _, y, _, rows in layout.boxes])
    strips = [
        _strip(pixels, layout, place, lambda at: _corner(at + number, grid, tile, gap))
        for place in range(len(layout.boxes))
    ]
    boxes = [(x + right, y + down, columns, rows) for x, y, columns, rows in layout.boxes]
    reply = PictureReply(
        shown=(len(layout.xs), len(layout.numbers)), count=layout.visible_count,
        size=pixels.shape[:2] if request.tile is None else tile,
        words=[(word.x + right, word.y + down, word.text, word.colour) for word in layout.words],
        places=[(left + right, top + down, end + right, bottom + down, at + number)
                for left, top, end, bottom, at in _places(layout, room)],
    )  # fmt: skip
    _text(reply, request, strips, boxes, layout, room)
    if _has_pixels(request):
        reply.pieces = _pieces(request, strips, boxes, layout, room)
    return reply


def _centred(whole: int, room: int, spans: list[tuple[int, int]]) -> int:
    """How far what lies in a smaller room has to move, so that it is in the middle of the whole."""
    if whole == room:
        return 0
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    return max(0, min(whole - room, (whole - (last - first)) // 2 - first))


def _measured(pixels: np.ndarray, request: PictureRequest) -> tuple[tuple[int, int], int, tuple[int, int]]:
    """The grid, the gap and a tile's (height, width) of a file; those asked for where the file can have them."""
    high, wide = pixels.shape[:2]
    grid = request.grid
    if min(grid) < 1 or wide < grid[0] or high < grid[1] or grid[0] * grid[1] > MOST_TILES:
        grid = (1, 1)
    gap = max(0, request.gap)
    down, across = (high + gap) // grid[1], (wide + gap) // grid[0]
    if gap >= min(down, across):
        gap, down, across = 0, high // grid[1], wide // grid[0]  # not of this file
    return grid, gap, (down - gap, across - gap)


def _corner(number: int, grid: tuple[int, int], tile: tuple[int, int], gap: int) -> tuple[int, int]:
    """The (row, column) of the first pixel of a tile in the file."""
    row, column = divmod(number, grid[0])
    return row * (tile[0] + gap), column * (tile[1] + gap)


def _has_pixels(request: PictureRequest) -> bool:
    # kitty scales the picture itself, so where a cell's size is not known its usual shape will do
    return request.protocol == "kitty" or (request.protocol == "sixel" and request.cell is not None)


def _room(request: PictureRequest, sheet: Sheet) -> Room:
    """The room that a request has, in its own pixels: of the screen, or in text half a cell high."""
    columns, rows = request.columns, request.rows
    cell = request.cell or (1, 2)
    whole = not request.tiles.plot
    if not _has_pixels(request):
        stretch = cell[1] / (2 * cell[0])  # height of half a cell over its width
        high = 2 * stretch if abs(stretch - 1) > 0.1 else 2
        return Room(columns, rows, (1, high), whole, 1, min(LEAST_TILE, 0.75 * min(sheet.tile)))
    if request.protocol == "sixel" and request.largest:
        wide, high = request.largest
        columns = min(columns, max(1, int(wide / cell[0])))
        rows = min(rows, max(1, int(high // 6 * 6 / cell[1])))
    return Room(columns, rows, cell, whole and request.cell is not None, 6 if request.protocol == "sixel" else 1)


def _strip(
    pixels: np.ndarray, layout: Layout, place: int, corner: Callable[[int], tuple[int, int]]
) -> np.ndarray:
    """The pixels of a strip, as large as in the file; black between tiles and where there are none."""
    numbers = layout.strip(place)
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


def _tile_of(layout: Layout) -> tuple[int, int]:
    """(height, width) of a tile."""
    return layout.size[0] - layout.ys[-1], layout.size[1] - layout.xs[-1]


def _places(layout: Layout, room: Room) -> list[tuple[float, float, float, float, int]]:
    """Where tiles are, in cells: up to the next one, names below them included."""
    found = []
    across, down = layout.zoom / room.cell[0], layout.zoom / room.cell[1]
    words = 1 if layout.words else 0
    edges = [*layout.xs[1:], layout.size[1]]
    for place, (x, y, _, rows) in enumerate(layout.boxes):
        below = layout.boxes[place + 1][1] if place + 1 < len(layout.boxes) else y + rows + words
        ends = [*(y + at * down for at in layout.ys[1:]), below]
        for numbers, begin, bottom in zip(layout.strip(place), layout.ys, ends):
            for number, left, right in zip(numbers, layout.xs, edges):
                if number >= 0:
                    found.append((x + left * across, y + begin * down, x + right * across, bottom, number))
    return found


def _pieces(
    request: PictureRequest, strips: list[np.ndarray], boxes: list[CellBox], layout: Layout, room: Room
) -> Pieces:
    """The strips in a pixel protocol."""
    from tui_gen.draw import kitty, sixel

    height, width = (max(1, round(length * layout.zoom)) for length in layout.size)
    pieces: Pieces = []
    for place, (strip, box) in enumerate(zip(strips, boxes)):
        if request.protocol == "sixel":
            if request.tiles.plot:
                strip = resize_plot(strip, min(height, len(strip)), min(width, strip.shape[1]))
            blend = not request.tiles.plot
            data = sixel.encode(strip, width, height, area=layout.area, ground=request.ground, blend=blend)
        else:
            enlarge = max(1, min(8, int(layout.zoom))) if request.cell else 4
            # whole cells of it: stretched to them, a low strip would be out of shape, and all blurred
            across, down = (cells * size for cells, size in zip(box[2:], room.cell))
            pad = (round(across / layout.zoom * enlarge), round(down / layout.zoom * enlarge))
            data = kitty.encode(strip, request.ident + place, box[2], box[3], enlarge=enlarge, pad=pad)
        pieces.append((data, box))
    return pieces


def _text(
    reply: PictureReply,
    request: PictureRequest,
    strips: list[np.ndarray],
    boxes: list[CellBox],
    layout: Layout,
    room: Room,
) -> None:
    """The text forms, in the same place as the pixels where there are any: a dialog must not make the picture jump."""
    from tui_gen.draw import blocks

    resized = resize_plot if request.tiles.plot else resize
    halves = np.full((2 * request.rows, request.columns), -1, np.int32)
    ramp = [[" "] * request.columns for _ in range(request.rows)]
    for strip, (x, y, columns, rows) in zip(strips, boxes):
        wide = max(1, min(columns, math.ceil(layout.size[1] * layout.zoom / room.cell[0] - 1e-6)))
        high = layout.size[0] * layout.zoom / room.cell[1]
        half = max(1, min(2 * rows, math.ceil(2 * high - 1e-6)))
        halves[2 * y : 2 * y + half, x : x + wide] = blocks.packed(resized(strip, half, wide))
        full = max(1, min(rows, round(high)))
        for row, line in enumerate(blocks.ramp(resized(strip, full, wide), light=request.light)):
            ramp[y + row][x : x + wide] = line
    reply.upper, reply.lower = (part.astype("<i4").tobytes() for part in (halves[0::2], halves[1::2]))
    reply.lines = ["".join(line) for line in ramp]
