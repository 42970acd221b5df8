"""The training images nearest to the tiles of a preview, as the process that finds them tells whoever shows them."""

from __future__ import annotations

import msgspec

from tui_gen.pictures import UNKNOWN, Tiles

MODULE = "tui_gen.train.offline.nearest"
"""What finds them, on a live, an ended or a copied run: it needs the run's data and none of its checkpoints."""


class Neighbours(msgspec.Struct):
    """A picture at `path` with a row for each tile of a preview: its nearest training images, `columns` of them.

    `rows` of tiles of `tile` = (height, width) pixels, `gap` pixels between them; `tiles` names the class of each and
    how far it is: the root of the mean squared difference of its pixels, as a share of their range. They are the
    nearest `among` so many of the `total` images that are trained on.
    """

    path: str
    columns: int
    rows: int
    tile: tuple[int, int]
    gap: int = 0
    tiles: Tiles = UNKNOWN
    among: int = 0
    total: int = 0
