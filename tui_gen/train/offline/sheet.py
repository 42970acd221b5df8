"""A look at a dataset, by a process that ends with it: `python -m tui_gen.train.offline.sheet`.

It reads a `SheetRequest` as JSON from its standard input and writes a `SheetReply` to its standard output. What it
prepares on the way (decoded images) is there for the run that trains on it.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from tui_gen import config as configs
from tui_gen import trust
from tui_gen.events import Event, Note
from tui_gen.pictures import Tiles
from tui_gen.sheet import LONGEST, MOST_WARNINGS, DataSheet, SheetPicture, SheetReply, SheetRequest
from tui_gen.train import discover
from tui_gen.train.data import Data, DataError, dataset_of, drawn, load
from tui_gen.train.data.augment import Augment
from tui_gen.train.data.loading import in_words
from tui_gen.train.data.sources import Mapped, Resident, Source
from tui_gen.train.data.stream import denormalise
from tui_gen.train.shown.plots import PLOT, density, heat
from tui_gen.train.shown.previews import Grid, axes, plots_of, tiles, written

COLUMNS, ROWS = 10, 6
"""Tiles of a contact sheet without classes; with them, a column shows each of the first so many."""
CHANGED, TIMES = 8, 5
"""Images that augmentation is shown on, and how often each is changed."""
POINTS, COUNTED = 4096, 4096
"""Points that are drawn; examples of which the labels are counted where they are made one by one."""


def sheet(data: Data, seed: int, folder: Path, warnings: Sequence[str] = ()) -> DataSheet:
    """What a dataset that was loaded holds, and what was warned of then; pictures are written into a folder."""
    labels = _labels(data.train, seed)
    names = data.spec.classes if data.spec.kind != "text" else ()
    counts = torch.bincount(labels, minlength=len(names)).tolist() if labels is not None and names else []
    pictures: dict[str, SheetPicture] = {}
    text = ""
    if data.spec.kind == "text":
        text = written(drawn(data.train, count=8, seed=seed, value_range="unit")[0], data.spec)[:LONGEST]
    elif data.spec.kind == "points":
        cloud = drawn(data.train, count=POINTS, seed=seed, value_range="unit")[0].cpu().numpy()
        span = 1.4 * float(abs(cloud).max())
        shades = density(cloud, PLOT, span)
        what = Tiles(block=(1, 1), axes=axes(span))
        pictures["examples"] = _written("examples", plots_of([heat(shades, shades.max())], "examples", what), folder)
    else:
        pictures["examples"] = _written("examples", _contact(data, seed), folder)
        if (changed := _augmented(data, seed)) is not None:
            pictures["augmented"] = _written("augmented", changed, folder)
    classes = list(zip((name[:200] for name in names), counts))
    return DataSheet(in_words(data), classes, sum(counts), pictures, text, list(warnings[:MOST_WARNINGS]))


def _labels(source: Source, seed: int) -> Tensor | None:
    """The labels of all training examples, or of some where each is made when it is asked for."""
    if isinstance(source, Resident):
        return None if source.labels is None else source.labels.cpu()
    if isinstance(source, Mapped):
        return None if source.labels is None else source.labels.index_select(0, source.rows).cpu()
    return drawn(source, count=COUNTED, seed=seed, value_range="unit")[1]


def _contact(data: Data, seed: int) -> Grid:
    """Images drawn at random: a column for each class, where there are some, and not too many."""
    classes = data.spec.classes
    count = COLUMNS * ROWS if not classes else max(COLUMNS * ROWS, 40 * min(len(classes), COLUMNS))
    x, labels = drawn(data.train, count=count, seed=seed, value_range="unit")
    images = denormalise(x, "unit")
    if labels is None or not len(classes) > 1:
        images = images[: COLUMNS * ROWS]
        columns = min(len(images), COLUMNS if len(images) > COLUMNS else math.ceil(math.sqrt(len(images))))
        return tiles(images, columns, "examples", Tiles(block=(1, 1)))
    places = [torch.nonzero(labels == label).flatten()[:ROWS] for label in range(min(len(classes), COLUMNS))]
    present = [(name, place) for name, place in zip(classes, places) if len(place)]
    rows = min(len(place) for _, place in present)
    order = torch.stack([place[:rows] for _, place in present], dim=1).flatten()
    what = Tiles(block=(1, rows), titles=tuple(name for name, _ in present))
    return tiles(images[order], len(present), "examples", what)


def _augmented(data: Data, seed: int) -> Grid | None:
    """Columns of one image each, as it is above and as training may meet it below; None where nothing is changed."""
    count = min(CHANGED, data.train.count or CHANGED)
    augment = Augment(data.augmentation, seed=seed, batch_size=count, device=torch.device("cpu"))
    if not augment.active:
        return None
    images = denormalise(drawn(data.train, count=count, seed=seed, value_range="unit")[0], "unit")
    rows = [images, *(augment(images, step) for step in range(TIMES))]
    names = ("original", *["augmented"] * TIMES)
    return tiles(torch.cat(rows), count, "augmented", Tiles(block=(1, 1 + TIMES), parts=names))


def _written(name: str, grid: Grid, folder: Path) -> SheetPicture:
    path = folder / f"{name}.png"
    path.write_bytes(grid.png())
    return SheetPicture(str(path), (grid.columns, grid.rows), grid.gap, grid.tiles.brief())


def reply(request: SheetRequest) -> SheetReply:
    """The sheet that is asked for, or why there is none."""
    warnings: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, Note) and event.level != "info":
            warnings.append(event.text.strip())

    try:
        catalogue, classes = discover.build(trust.given())
        table, problems = configs.dataset_table(request.tables, catalogue)
        if problems:
            return SheetReply(words="\n".join(map(str, problems)))
        data = load(dataset_of(table, classes.datasets), torch.device("cpu"), seed=request.seed, report=hear)
        return SheetReply(sheet(data, request.seed, Path(request.folder), warnings))
    except DataError as error:
        return SheetReply(words=str(error))
    except (OSError, MemoryError, RuntimeError, ValueError) as error:
        return SheetReply(words=f"{type(error).__name__}: {error}")


def main() -> None:
    """Answer the one request."""
    with contextlib.suppress(OSError):
        os.nice(10)  # whoever trains goes first
    request: Any = msgspec.json.decode(sys.stdin.buffer.read(), type=SheetRequest)
    target, sys.stdout = sys.stdout, sys.stderr  # what a user's own dataset prints is no answer
    target.buffer.write(msgspec.json.encode(reply(request)))
    target.flush()


if __name__ == "__main__":
    main()
