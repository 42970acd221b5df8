"""How the tiles of a picture are laid out for a room of cells: as large as they can be, what belongs together together.

A picture is a grid of tiles; blocks of them belong together (a walk, the samples of a class). Blocks are put side by
side and below each other in whatever number makes a tile largest; a block that is a row may become a column, and the
other way round. Names stand in rows of text below the tiles, or beside them. Pure arithmetic: nothing is drawn here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property, lru_cache

import msgspec

from tui_gen.draw.text import cut, width_of
from tui_gen.text import clean

BESIDE = 16
"""Most cells that names beside the tiles take; at most a quarter of the room."""
READABLE = 3
"""Cells of a name that tell something; with fewer, names are left out, unless they are shorter."""
WORTH = 0.65
"""Names and legends may make tiles smaller by this factor at most; else they are left out."""
FEW = 3
"""Blocks of so many tiles are shown whole, or not at all."""
STRIPS = 200
"""Rows of tiles with text between them that are drawn at most."""
EXACT = 1e-9

Names = tuple[str, ...]


class Sheet(msgspec.Struct, frozen=True, dict=True):
    """What there is to lay out: `grid` = (columns, rows) of tiles of (height, width) pixels, `gap` between them.

    The first `count` are there, numbered along the rows; `block` = (columns, rows) of them belong together. Names are
    clean: `labels` of the tiles, `titles` of blocks of several tiles, `parts` of the places in blocks that are lines.
    """

    grid: tuple[int, int]
    tile: tuple[int, int]
    gap: int
    count: int
    block: tuple[int, int]
    titles: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, grid: tuple[int, int], tile: tuple[int, int], gap: int = 0, *, count: int = 0,
        block: tuple[int, int] = (0, 0), titles: Names = (), parts: Names = (), labels: Names = (),
    ) -> Sheet:  # fmt: skip
        """The sheet of a picture. No `count` is all; a block that the grid cannot have is all of it, as it is."""
        every = grid[0] * grid[1]
        count = count if 0 < count <= every else every
        if min(block) < 1 or grid[0] % block[0] or grid[1] % block[1]:
            block = grid
        titles, parts, labels = (tuple(map(clean, names)) for names in (titles, parts, labels))
        if max(block) == 1:
            labels, titles, parts = labels or titles, (), ()
        elif min(block) > 1 and parts:
            places = (number // grid[0] % block[1] * block[0] + number % grid[0] % block[0] for number in range(count))
            labels, parts = labels or tuple(parts[at] if at < len(parts) else "" for at in places), ()
        return cls(grid, tile, gap, count, block, titles, parts, labels)

    @property
    def line(self) -> bool:
        """Whether a block is several tiles in a row or a column."""
        return min(self.block) == 1 < max(self.block)

    @cached_property
    def blocks(self) -> int:
        """How many blocks have tiles."""
        every = self.grid[0] * self.grid[1] // math.prod(self.block)
        return max(block + 1 for block in range(every) if self.number(block) >= 0)

    @cached_property
    def widest(self) -> dict[str, int]:
        """Cells of the widest name of each sort."""
        return {sort: max(map(width_of, getattr(self, sort)), default=0) for sort in ("titles", "parts", "labels")}

    def number(self, block: int, across: int = 0, down: int = 0) -> int:
        """The number of the tile at a place of a block; -1 where there is none."""
        beside = self.grid[0] // self.block[0]
        row = block // beside * self.block[1] + down
        tile = row * self.grid[0] + block % beside * self.block[0] + across
        return tile if tile < self.count else -1


class Room(msgspec.Struct, frozen=True):
    """Cells to fill: how many, and the (width, height) of one in pixels of the screen.

    `whole`: tiles are enlarged by whole factors only. `bands`: pixels are drawn by so many rows at a time, and with
    text below them the last must not reach into it. `least`: pixels of the screen that a tile needs to be made out.
    """

    columns: int
    rows: int
    cell: tuple[float, float] = (1, 2)
    whole: bool = True
    bands: int = 1
    least: float = 0.0


class Word(msgspec.Struct, frozen=True):
    """Text at a cell of the room; `colour` is `#rrggbb`, or empty for that of all text."""

    x: int
    y: int
    text: str
    colour: str = ""


class TileLayout(msgspec.Struct, frozen=True):
    """Where everything goes. A strip is rows of tiles without text between them; all strips have the same size.

    `numbers`: the tile at each row and column, -1 for none. `xs`, `ys`: where the columns, and the rows of a strip,
    begin, in pixels of the picture; `size` = (height, width) of a strip in these. On the screen it is enlarged by
    `zoom`, and fills `area` = (width, height) of its pixels. `boxes`: (x, y, columns, rows) of each strip in cells.
    """

    numbers: list[list[int]]
    xs: list[int]
    ys: list[int]
    size: tuple[int, int]
    zoom: float
    area: tuple[int, int]
    boxes: list[tuple[int, int, int, int]]
    words: list[Word]

    @property
    def visible_count(self) -> int:
        """How many tiles can be seen."""
        return sum(number >= 0 for row in self.numbers for number in row)

    def strip(self, place: int) -> list[list[int]]:
        """The numbers of the tiles in a strip, by row and column."""
        return self.numbers[place * len(self.ys) : (place + 1) * len(self.ys)]


@lru_cache(maxsize=64)
def lay_out(sheet: Sheet, room: Room) -> TileLayout:
    """The layout in which a tile is largest, with names unless they would cost too much of that.

    Of layouts with equally large tiles the file's own is taken. Where tiles would be smaller than `room.least`, as many
    are shown as are not; of a block with names for its places those that are spread evenly. Nobody may change a layout:
    it is kept, as the previews of a run are all alike.
    """
    shape = _largest(sheet, room, False)
    if sheet.titles or sheet.parts or sheet.labels:
        with_names = _largest(sheet, room, True)
        zoom = with_names.zoom(room)
        if zoom and zoom >= WORTH * shape.zoom(room) and with_names.visible_count >= WORTH * shape.visible_count:
            shape = with_names
    return _placed(shape, room)


class _Shape(msgspec.Struct, frozen=True, dict=True):
    """`across` x `down` blocks, `part` = (columns, rows) of tiles of each; `turned`: rows of the file are columns."""

    sheet: Sheet
    across: int
    down: int
    part: tuple[int, int]
    turned: bool
    named: bool

    @cached_property
    def upright(self) -> bool:
        """Whether the tiles of a block, which is a line, are below each other."""
        return (self.sheet.block[1] > 1) != self.turned

    # -- where names go

    @cached_property
    def labels(self) -> bool:
        """Names below every row of tiles."""
        return self.named and bool(self.sheet.labels)

    @cached_property
    def titles_beside(self) -> bool:
        """Blocks' names beside them, where each is a row and has no neighbour."""
        return self.named and bool(self.sheet.titles) and self.sheet.line and not self.upright and self.across == 1

    @cached_property
    def titles_below(self) -> bool:
        """Blocks' names below them."""
        return self.named and bool(self.sheet.titles) and not self.titles_beside

    @cached_property
    def parts_beside(self) -> bool:
        """The names of the places in a block beside each row."""
        return self.named and bool(self.sheet.parts) and self.upright

    @cached_property
    def parts_below(self) -> bool:
        """The names of the places in a block once, below all columns."""
        return self.named and bool(self.sheet.parts) and not self.upright

    @cached_property
    def rows_per_strip(self) -> int:
        return 1 if self.labels else self.part[1] if self.titles_below else self.down * self.part[1]

    @cached_property
    def strips(self) -> int:
        return self.down * self.part[1] // self.rows_per_strip

    @cached_property
    def text_rows(self) -> int:
        return self.strips * self.labels + self.down * self.titles_below + self.parts_below

    def beside(self, room: Room) -> int:
        """Cells that names beside the tiles take, a blank included."""
        if not (self.titles_beside or self.parts_beside):
            return 0
        return min(self.sheet.widest["titles" if self.titles_beside else "parts"], BESIDE, room.columns // 4) + 1

    # -- pixels

    @cached_property
    def xs(self) -> list[int]:
        return self._places(self.across * self.part[0], self.part[0], self.sheet.tile[1])

    @cached_property
    def ys(self) -> list[int]:
        return self._places(self.rows_per_strip, self.part[1], self.sheet.tile[0])

    def _places(self, count: int, together: int, length: int) -> list[int]:
        """Where so many tiles begin; blocks lie further apart than the tiles of one."""
        gap = self.sheet.gap
        more = 2 * gap + 1 if together > 1 and self.sheet.line else 0
        return [place * (length + gap) + place // together * more for place in range(count)]

    @cached_property
    def size(self) -> tuple[int, int]:
        return self.ys[-1] + self.sheet.tile[0], self.xs[-1] + self.sheet.tile[1]

    @property
    def visible_count(self) -> int:
        """How many tiles it shows, missing ones included."""
        return min(self.sheet.blocks, self.across * self.down) * math.prod(self.part)

    @property
    def as_is(self) -> bool:
        """Whether it is the file's own grid."""
        own = self.across == self.sheet.grid[0] // self.sheet.block[0] and self.part == self.sheet.block
        return own and not self.turned

    def pixels(self, rows: int, room: Room) -> float:
        """Pixels of the screen that a strip may take of so many rows of cells."""
        if self.text_rows and room.bands > 1:
            return int(rows * room.cell[1]) // room.bands * room.bands
        return rows * room.cell[1]

    def zoom(self, room: Room) -> float:
        """How much tiles can be enlarged in a room; 0 where it is too small for the names."""
        columns, rows = room.columns - self.beside(room), room.rows - self.text_rows
        if columns < 1 or rows < self.strips or (self.text_rows and self.strips > STRIPS):
            return 0.0
        high, wide = self.size
        zoom = min(columns * room.cell[0] / wide, self.pixels(rows // self.strips, room) / high)
        if zoom >= 1 and room.whole:
            zoom = float(math.floor(zoom + EXACT))
        return zoom if self._readable(zoom, room) else 0.0

    def _readable(self, zoom: float, room: Room) -> bool:
        """Whether the names below tiles have the room to tell something."""
        width = self.sheet.tile[1] * zoom / room.cell[0]
        for there, sort, cells in (
            (self.labels, "labels", width),
            (self.titles_below, "titles", width * self.part[0]),
            (self.parts_below, "parts", width),
        ):
            longest = self.sheet.widest[sort] if there else 0
            if longest and cells + EXACT < (1 if longest == 1 else min(READABLE, longest) + 1):
                return False
        return True

    # -- what goes where

    def numbers(self) -> list[list[int]]:
        """The tile at each row and column."""
        wide, high = self.part
        return [
            [
                self._number(row // high * self.across + column // wide, column % wide, row % high)
                for column in range(self.across * wide)
            ]
            for row in range(self.down * high)
        ]

    def _number(self, block: int, across: int, down: int) -> int:
        if block >= self.sheet.blocks:
            return -1
        if self.sheet.parts:
            across, down = self._place(across, self.part[0]), self._place(down, self.part[1])
        return self.sheet.number(block, *((down, across) if self.turned else (across, down)))

    def _place(self, place: int, some: int) -> int:
        """Which tile of a block is at a place where some are shown: the first, the last, and evenly between them."""
        return round(place * (max(self.sheet.block) - 1) / (some - 1)) if some > 1 else 0

    def part_names(self) -> list[str]:
        """The names of the places of a block, as far as they are shown."""
        some, names = max(self.part), self.sheet.parts
        places = (self._place(place, some) for place in range(some))
        return [names[place] if place < len(names) else "" for place in places]

    def name_beside(self, row: int) -> str:
        """What stands beside a row of tiles."""
        if self.titles_beside:
            return self.sheet.titles[row] if row < len(self.sheet.titles) else ""
        return self.part_names()[row % self.part[1]] if self.parts_beside else ""

    def names_below(self, numbers: list[int], last: int) -> Iterator[tuple[list[str], int]]:
        """The rows of text below row `last` of the tiles, the last of its strip: names, and of how many tiles each."""
        sheet = self.sheet
        if self.labels:
            yield [sheet.labels[number] if 0 <= number < len(sheet.labels) else "" for number in numbers], 1
        if self.titles_below and (last + 1) % self.part[1] == 0:
            block = last // self.part[1] * self.across
            yield list(sheet.titles[block : block + self.across]), self.part[0]
        if self.parts_below and last + 1 == self.down * self.part[1]:
            yield self.part_names() * self.across, 1


def _largest(sheet: Sheet, room: Room, named: bool) -> _Shape:
    """The shape with the largest tiles; where they are too small, that with the most that are not."""
    best = max(_whole(sheet, named), key=lambda shape: _worth(shape, room))
    least = room.least / min(sheet.tile)
    if best.zoom(room) >= least - EXACT:
        return best
    some = [shape for shape in _some(sheet, room, least, named) if shape.zoom(room) >= least - EXACT]
    if some:
        # as many tiles of a block as there can be where they differ by name, else tiles of as many blocks
        more = 1 if sheet.parts else -1

        def rank(shape: _Shape) -> tuple[float, ...]:
            return shape.visible_count, more * max(shape.part), shape.zoom(room), not shape.turned

        return max(some, key=rank)
    turns = _turns(sheet, named)
    shapes = [_Shape(sheet, 1, 1, _fewer(sheet, part, (1, 1))[0], turned, named) for part, turned in turns]
    return max(shapes, key=lambda shape: shape.zoom(room))


def _worth(shape: _Shape, room: Room) -> tuple[float, bool, int, float]:
    """Larger tiles are better; then the file's own grid, then one without holes, then one shaped like the room."""
    high, wide = shape.size
    off = math.log(wide / (high * shape.strips) * room.rows * room.cell[1] / (room.columns * room.cell[0]))
    return round(shape.zoom(room), 6), shape.as_is, -shape.across * shape.down, -abs(off)


def _turns(sheet: Sheet, named: bool) -> list[tuple[tuple[int, int], bool]]:
    """A block as it is in the file, and turned where it is a line and its names tell what leads where."""
    turns = [(sheet.block, False)]
    if named and sheet.line and (sheet.titles or sheet.parts):
        turns.append((sheet.block[::-1], True))
    return turns


def _whole(sheet: Sheet, named: bool) -> Iterator[_Shape]:
    """Every way to put all blocks side by side and below each other without an empty row or column."""
    for part, turned in _turns(sheet, named):
        for down in range(1, sheet.blocks + 1):
            across = -(-sheet.blocks // down)
            if -(-sheet.blocks // across) == down:
                yield _Shape(sheet, across, down, part, turned, named)


def _some(sheet: Sheet, room: Room, least: float, named: bool) -> Iterator[_Shape]:
    """Ways to show some of the blocks, or some of the tiles of each, so that they may be as large as that."""
    length = (room.columns * room.cell[0], room.rows * room.cell[1])
    most = [
        max(1, int((have / least + sheet.gap) / (tile + sheet.gap) + EXACT))
        for have, tile in zip(length, sheet.tile[::-1])
    ]
    for part, turned in _turns(sheet, named):
        for few in _fewer(sheet, part, (most[0], most[1])):
            for across in range(1, min(sheet.blocks, most[0] // few[0]) + 1):
                for down in range(1, min(-(-sheet.blocks // across), most[1] // few[1]) + 1):
                    yield _Shape(sheet, across, down, few, turned, named)


def _fewer(sheet: Sheet, part: tuple[int, int], most: tuple[int, int]) -> list[tuple[int, int]]:
    """How many (columns, rows) of a block's tiles may be shown where there is room for `most`."""
    if min(part) > 1 or not sheet.line:
        return [(min(part[0], most[0]), min(part[1], most[1]))]
    if max(part) <= FEW:
        return [part]
    lowest = 2 if sheet.parts else 1  # of a way from noise to sample both ends
    counts = range(lowest, max(lowest, min(max(part), max(most[part[1] > 1], 1))) + 1)
    return [(1, count) if part[1] > 1 else (count, 1) for count in counts]


def _placed(shape: _Shape, room: Room) -> TileLayout:
    """Where everything of a shape goes, in the middle of the room."""
    high, wide = shape.size
    # names or not, something is drawn in the smallest room
    zoom = shape.zoom(room) or min(
        room.columns * room.cell[0] / wide, room.rows * room.cell[1] / (high * shape.strips)
    )
    width, height = max(1, round(wide * zoom)), max(1, round(high * zoom))
    columns = min(room.columns, math.ceil(width / room.cell[0] - EXACT))
    rows = max(1, min(room.rows, math.ceil(height / room.cell[1] - EXACT)))
    while shape.pixels(rows, room) < height and shape.strips * (rows + 1) + shape.text_rows <= room.rows:
        rows += 1
    beside = shape.beside(room)
    left = (room.columns - columns - beside) // 2 + beside
    y = (room.rows - shape.strips * rows - shape.text_rows) // 2
    numbers = shape.numbers()
    boxes: list[tuple[int, int, int, int]] = []
    words: dict[tuple[int, int], Word] = {}
    for strip in range(shape.strips):
        boxes.append((left, y, columns, rows))
        first = strip * shape.rows_per_strip
        for row, at in enumerate(shape.ys):
            name = cut(shape.name_beside(first + row), beside - 1) if beside else ""
            middle = y + min(rows - 1, int((at + shape.sheet.tile[0] / 2) * zoom / room.cell[1]))
            if name:
                words.setdefault((-1, middle), Word(left - 1 - width_of(name), middle, name))
        y += rows
        last = first + shape.rows_per_strip - 1
        for names, length in shape.names_below(numbers[last], last):
            for word in _below(names, length, shape, zoom * (1 / room.cell[0]), left, y):
                words[word.x, y] = word
            y += 1
    area = int(columns * room.cell[0]), max(height, int(shape.pixels(rows, room)))
    return TileLayout(numbers, shape.xs, shape.ys, shape.size, zoom, area, boxes, list(words.values()))


def _below(names: list[str], length: int, shape: _Shape, scale: float, left: int, y: int) -> Iterator[Word]:
    """Names in the middle below `length` tiles each, cut so that there is a blank between two.

    `scale`: cells that a pixel of the picture takes.
    """
    starts = [round(shape.xs[place * length] * scale) for place in range(len(names))]
    for place, (name, start) in enumerate(zip(names, starts)):
        end = round((shape.xs[(place + 1) * length - 1] + shape.sheet.tile[1]) * scale)
        following = starts[place + 1] if place + 1 < len(names) else end + 1  # nothing stands beside the last
        text = shortened(name, max(1, min(end, following - 1) - start))
        if text:
            yield Word(left + start + (max(1, end - start) - width_of(text)) // 2, y, text)


def shortened(name: str, width: int) -> str:
    """A name cut to a width; of one that leads from one thing to another, both are cut."""
    before, arrow, after = name.partition("→")
    if not arrow or width_of(name) <= width or width < READABLE:
        return cut(name, width)
    begin = cut(before, max((width - 1) // 2, width - 1 - width_of(after)))
    return begin + arrow + cut(after, width - 1 - width_of(begin))
