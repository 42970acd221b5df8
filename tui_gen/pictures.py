"""The pictures of a run: what their tiles are, and reading them. They may be anybody's: PNG and nothing else, of a size
that was looked at before.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from tui_gen.files import read_regular
from tui_gen.text import characters

if TYPE_CHECKING:
    import numpy as np

LARGEST = 64 << 20
"""Pixels of a picture that is still read."""
_HEADER = struct.Struct(">8sI4sII")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
FEW = 3
"""Rows of tiles of a block that are looked at together."""
MOST_WORDS = 16_000
"""Bytes that the names of a picture's tiles may take in the log."""

RAW = "raw "
"""How kinds of previews begin that are drawn from raw weights beside averaged ones: `raw samples`."""
_NAMES = ("titles", "parts", "labels")

Small = Annotated[int, Meta(ge=0, le=10**6)]
Word = Annotated[str, Meta(max_length=200)]
Words = Annotated[tuple[Word, ...], Meta(max_length=10_000)]
Colour = Annotated[str, Meta(pattern="^#[0-9a-f]{6}$")]


class Tiles(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the tiles of a picture are: how they belong together, so that they can be laid out anew, and their names.

    Tiles are counted along the rows; `count` of them are there (0: all), the rest are empty. `block` = (columns, rows)
    of tiles belong together: (1, 1) where each is for itself, (1, 2) where a reconstruction is below its original,
    (0, 0) where that is not known, and the grid stays as it is. `titles` name the blocks, `parts` the places in every
    block, `labels` the tiles. A plot has `axes`, (name, from, to) each, and a `legend`, (colour, what it means) each.
    """

    count: Small = 0
    block: tuple[Small, Small] = (0, 0)
    titles: Words = ()
    parts: Words = ()
    labels: Words = ()
    legend: Annotated[tuple[tuple[Colour, Word], ...], Meta(max_length=100)] = ()
    axes: Annotated[tuple[tuple[Word, float, float], ...], Meta(max_length=10)] = ()

    @property
    def plot(self) -> bool:
        """Whether it is a plot, which may be enlarged by any factor, rather than an image."""
        return bool(self.axes or self.legend)

    def name(self, number: int, columns: int) -> str:
        """All names that tile `number` of a grid of so many columns has, its own and those of its place."""
        across, down = self.block if min(self.block) > 0 and columns % self.block[0] == 0 else (columns, 1)
        row, column = divmod(number, columns)
        block = row // down * (columns // across) + column // across
        part = row % down * across + column % across
        texts = ((self.titles, block), (self.parts, part), (self.labels, number))
        return " · ".join(words[place] for words, place in texts if place < len(words) and words[place])

    def band(self, rows: int) -> int:
        """How many of a grid's `rows` of tiles are looked at together: those of a block of few, else a single one."""
        high = self.block[1]
        return high if 1 < high <= FEW and rows % high == 0 and self.block[0] > 0 else 1

    def of_band(self, band: int, grid: tuple[int, int]) -> Tiles:
        """What the tiles of one band of a grid = (columns, rows) are; the first is number 0. Of no band that is not
        there: ValueError.
        """
        columns, rows = grid
        high = self.band(rows)
        if not 0 <= band * high < rows:
            raise ValueError(f"there is no band {band} of {rows} rows")
        first = band * high * columns
        there = self.count if 0 < self.count <= columns * rows else columns * rows
        count = max(1, min(high * columns, there - first))
        across, down = self.block if min(self.block) > 0 and columns % self.block[0] == 0 else (columns, 1)
        if high % down:  # blocks reach over several bands: each tile is for itself, with all its names
            labels = tuple(self.name(number, columns) for number in range(first, first + count))
            return msgspec.structs.replace(self, count=count, block=(1, 1), titles=(), parts=(), labels=labels)
        start, blocks = band * high // down * (columns // across), high // down * (columns // across)
        return msgspec.structs.replace(
            self, count=count, block=(across, down), titles=self.titles[start : start + blocks],
            labels=self.labels[first : first + count],
        )  # fmt: skip

    def brief(self) -> Tiles:
        """The same as it can be written down: no names longer than the log needs, whatever a model or the folders of a
        data set call them, and no axes without ends. Raises msgspec.ValidationError for what cannot be.
        """
        axes = tuple(axis for axis in self.axes if all(map(math.isfinite, axis[1:])))
        fields: dict[str, tuple[str, ...]] = {}
        for most in (60, 12):
            fields = {name: tuple(str(word)[:most] for word in getattr(self, name)) for name in _NAMES}
            if sum(len(word.encode("utf-8", "replace")) + 3 for text in fields.values() for word in text) <= MOST_WORDS:
                break
        else:
            fields = dict.fromkeys(_NAMES, ())
        legend = tuple((colour, str(word)[:60]) for colour, word in self.legend)
        short = msgspec.structs.replace(self, axes=axes, legend=legend, **fields)
        return msgspec.convert(characters(msgspec.to_builtins(short)), Tiles)


UNKNOWN = Tiles()
"""Nothing is known of the tiles."""


def colour(rgb: Iterable[float]) -> str:
    """(red, green, blue), 0 to 255, as `#rrggbb`."""
    return "#" + "".join(f"{int(part):02x}" for part in rgb)


def read_png(path: str | Path) -> np.ndarray:
    """The pixels of a PNG, uint8 of shape (height, width), or (height, width, 3) with colours.

    Raises OSError where it cannot be opened, ValueError (and whatever Pillow has for damaged files: OSError,
    SyntaxError, EOFError) where it is no PNG or too large.
    """
    import numpy as np
    from PIL import Image

    data = read_regular(path, 4 * LARGEST)
    if len(data) < _HEADER.size or not data.startswith(_SIGNATURE):
        raise ValueError("it is not a PNG")
    _, _, kind, width, height = _HEADER.unpack_from(data)
    if kind != b"IHDR" or not width * height:
        raise ValueError("it is not a PNG")
    if width * height > LARGEST:
        raise ValueError(f"{width}×{height} pixels are too many to show")
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.load()
        return np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB"))
