"""The training images nearest to a preview's tiles: `python -m tui_gen.train.offline.nearest RUN PNG -n 64 -o OUT`.

Whether a model makes new images or repeats those it was shown can be seen beside them. Writes a picture with a row of
neighbours, in pixels, for each tile, and prints a `Neighbours` as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from tui_gen import config as configs
from tui_gen import files, pictures, trust
from tui_gen.events import Event
from tui_gen.model import DataSpec
from tui_gen.neighbours import Neighbours
from tui_gen.pictures import Tiles
from tui_gen.train import discover
from tui_gen.train.data import DataError, Source, dataset_of, load
from tui_gen.train.shown.previews import GAP, tiles

COUNT = 8
"""Neighbours of each tile."""
MOST_BYTES = 2 << 30
"""Pixels of training images that are looked at; of more, as many as that are, spread evenly."""
CHUNK_BYTES = 32 << 20
"""Pixels of training images that are compared at a time."""
MOST_TILES = 1024
"""Tiles of a preview whose neighbours are looked for: as many as a preview may have."""
SPARE = 8
"""Candidates beyond the neighbours whose distance is computed exactly: the sums of the first look are rounded."""
NICE = 10


class NearestError(Exception):
    """Why there are no neighbours, in words for people."""


def nearest(queries: Tensor, source: Source, count: int = COUNT) -> tuple[Tensor, Tensor, int]:
    """For uint8 images (N, C, H, W) the positions (N, count) int64 of the nearest of a source, nearest first, their
    distances (N, count) float64, and how many were looked at.

    A distance is the root of the mean squared difference of all pixel values, of 0 to 1. Of alike images the first in
    the source comes first. Raises NearestError for a source without end.
    """
    total = source.count
    if total is None:
        raise NearestError("its data are made as it trains: there is no set of training images to look in")
    size = queries[0].numel()
    among = min(total, max(count, MOST_BYTES // size))
    positions = torch.linspace(0, total - 1, among, dtype=torch.float64).long()
    keep = min(among, count + SPARE)
    flat = queries.reshape(len(queries), -1).float()
    best = torch.full((len(flat), 0), 0.0), torch.zeros((len(flat), 0), dtype=torch.int64)
    for part in positions.split(max(1, CHUNK_BYTES // (4 * size))):
        images = source.take(part)[0].cpu().reshape(len(part), -1).float()
        squares = images.square().sum(1) - 2 * flat @ images.T  # |q|² is the same for all
        values = torch.cat([best[0], squares], 1)
        where = torch.cat([best[1], part.expand(len(flat), -1)], 1)
        values, order = values.topk(min(keep, values.shape[1]), dim=1, largest=False)
        best = values, where.gather(1, order)
    return *_exact(queries, source, best[1], min(count, among)), among


def _exact(queries: Tensor, source: Source, candidates: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The nearest of each row of candidates, and how far they are, without rounding."""
    candidates = candidates.sort(1).values
    distances = torch.empty(candidates.shape, dtype=torch.float64)
    for row, (query, some) in enumerate(zip(queries, candidates)):
        apart = source.take(some)[0].cpu().to(torch.int32) - query.to(torch.int32)
        distances[row] = apart.double().square().mean((1, 2, 3)).sqrt() / 255
    distances, order = distances.sort(dim=1, stable=True)
    return candidates.gather(1, order)[:, :count], distances[:, :count]


def cut_out(picture: np.ndarray, grid: tuple[int, int], gap: int, count: int) -> Tensor:
    """The first `count` tiles of a picture of a `grid` = (columns, rows) as images (N, C, H, W) uint8.

    Raises NearestError for a grid that it cannot have: a log may be anybody's.
    """
    tall, broad = picture.shape[:2]
    fits = 0 < grid[0] <= broad and 0 < grid[1] <= tall and 0 <= gap < min(broad // grid[0], tall // grid[1])
    if not fits or not 0 < count <= min(grid[0] * grid[1], MOST_TILES):
        raise NearestError(f"a picture of {broad}×{tall} pixels has no {count} tiles in a grid of {grid[0]}×{grid[1]}")
    high, wide = ((length + gap) // tiles for length, tiles in zip(picture.shape, grid[::-1]))
    planes = picture[None] if picture.ndim == 2 else np.moveaxis(picture, 2, 0)
    corners = [(number // grid[0] * high, number % grid[0] * wide) for number in range(count)]
    cut = [planes[:, top : top + high - gap, left : left + wide - gap] for top, left in corners]
    return torch.from_numpy(np.stack(cut))


def found(run: Path, picture: Path, grid: tuple[int, int], gap: int, count: int, output: Path) -> Neighbours:
    """The neighbours of a preview's tiles, in a picture that is written.

    Raises NearestError, or the errors of the config and the data.
    """
    tables = configs.read_toml(run / "config.toml")
    trust.refuse(folders := trust.named(tables), str(run / "config.toml"))
    catalog, classes = discover.build(list(dict.fromkeys([*trust.given(), *folders])))
    config = configs.load(tables, catalog, str(run / "config.toml"))
    dataset = dataset_of(config.dataset, classes.datasets)
    queries = cut_out(pictures.read_png(picture), grid, gap, count)
    data = load(dataset, torch.device("cpu"), seed=config.train.seed, report=_silent)
    _check(data.spec, queries)
    if queries.shape[1] < data.spec.channels:
        queries = queries.expand(-1, data.spec.channels, -1, -1)
    positions, distances, among = nearest(queries, data.train)
    images, labels = data.train.take(positions.flatten())
    names = _names(distances.flatten(), labels, data.spec)
    what = Tiles(block=(1, 1), labels=names).brief()
    grid_of = tiles(images, positions.shape[1], "nearest", what)
    with files.written_whole(output) as aside:
        aside.write_bytes(grid_of.png())
    total = data.train.count or 0
    return Neighbours(str(output), grid_of.columns, grid_of.rows, grid_of.tile, GAP, grid_of.tiles, among, total)


def _check(spec: DataSpec, queries: Tensor) -> None:
    """Raise NearestError where tiles cannot be what the data are."""
    if spec.kind != "image":
        raise NearestError(f"nearest training images are found for images; this run has {spec.kind}")
    high, wide = queries.shape[2:]
    if (high, wide) != spec.shape[1:] or queries.shape[1] > spec.channels:
        colours = {1: "grey", 3: "RGB"}
        raise NearestError(
            f"the training images are {colours[spec.channels]}, {spec.size}×{spec.size}; "
            f"these tiles are {colours[queries.shape[1]]}, {wide}×{high}"
        )


def _names(distances: Tensor, labels: Tensor | None, spec: DataSpec) -> tuple[str, ...]:
    """The class of each neighbour, where there are any, and how far it is."""
    classes = [""] * len(distances) if labels is None else [f"{spec.classes[label]} " for label in labels.tolist()]
    return tuple(f"{name}{distance:.1%}" for name, distance in zip(classes, distances.tolist()))


def _silent(event: Event) -> None:
    """Nobody is told how loading goes."""


def main() -> int:
    """Print the neighbours; on failure one line on stderr that begins with `error: `, and status 1."""
    parser = argparse.ArgumentParser(prog="python -m tui_gen.train.offline.nearest", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--grid", type=int, nargs=2, default=(1, 1), metavar=("COLUMNS", "ROWS"))
    parser.add_argument("--gap", type=int, default=0)
    parser.add_argument("-n", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    os.nice(NICE)  # training goes first
    grid = (arguments.grid[0], arguments.grid[1])
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what somebody's dataset prints is no part of the answer
            answer = found(arguments.run, arguments.picture, grid, arguments.gap, arguments.n, arguments.output)
    except (NearestError, configs.ConfigError, DataError, ValueError, SyntaxError, EOFError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(answer).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
