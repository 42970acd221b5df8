"""What a dataset holds, as plain data: some examples, how many there are of each class, what augmentation does to it.

Made by a process with PyTorch (`tui_gen.train.offline.sheet`), shown by one without.
"""

from __future__ import annotations

import msgspec

from tui_gen.bounds import Count, FilePath, Name
from tui_gen.pictures import UNKNOWN, Small, Tiles

MOST_WARNINGS = 20
LONGEST = 4000
"""Characters of a text that are shown."""


class SheetPicture(msgspec.Struct, frozen=True):
    """A PNG of `grid` = (columns, rows) tiles, `gap` pixels between them; `tiles` says what they are."""

    path: FilePath
    grid: tuple[Small, Small] = (1, 1)
    gap: Small = 0
    tiles: Tiles = UNKNOWN


class DataSheet(msgspec.Struct, frozen=True):
    """A dataset as a run would train on it. `words` says what it is, in a line; `warnings` what is wrong with it.

    `classes` has the number of training examples of each (of `counted` that were looked at), in the data's order.
    `pictures` are by name: `examples`, and `augmented` where images are changed at random. `text` is how a text begins.
    """

    words: str
    classes: list[tuple[Name, Count]] = []
    counted: Count = 0
    pictures: dict[Name, SheetPicture] = {}
    text: str = ""
    warnings: list[str] = []


class SheetRequest(msgspec.Struct, frozen=True):
    """What is asked: a dataset's settings (`[dataset]` of a config) and `seed`, and the folder that pictures go to."""

    tables: dict[str, object]
    seed: int
    folder: str


class SheetReply(msgspec.Struct, frozen=True):
    """What comes of it: `sheet`, or why there is none."""

    sheet: DataSheet | None = None
    words: str = ""
