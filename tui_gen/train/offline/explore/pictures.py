"""Pictures of what codes decode to, as files in a folder of their own."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from torch import Tensor

from tui_gen.model import Tiles
from tui_gen.pictures import colour
from tui_gen.train.data import denormalise
from tui_gen.train.shown.plots import GREY, ORANGE, PLOT, scatter
from tui_gen.train.shown.previews import Grid, axes, plots_of, tiles

KEPT = 24
"""Pictures that stay in the folder: whoever draws them may be some behind."""
HERE = (255, 255, 255)


class Album:
    """Writes grids as files, each under a new name."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._count = folder, 0

    def add(self, grid: Grid) -> str:
        """The path of a new file. Raises OSError where it cannot be written."""
        self._count += 1
        path = self.folder / f"{self._count:08d}.png"
        path.write_bytes(grid.png())
        if self._count > KEPT:
            (self.folder / f"{self._count - KEPT:08d}.png").unlink(missing_ok=True)
        return str(path)


def of_images(images: Tensor, value_range: str, columns: int, what: Tiles, kind: str) -> Grid:
    """(N, C, H, W) in the model's range as a grid of tiles."""
    return tiles(denormalise(images, value_range).cpu(), columns, kind, what)


def of_points(points: Tensor, here: Tensor | None, real: Tensor | None, kind: str) -> Grid:
    """Decoded points (N, 2) over real ones (M, 2), with the one that is `here` (2,) as a white square."""
    coordinates = points.float().cpu().numpy()
    ground = None if real is None else real.float().cpu().numpy()
    reach = 1.4 * float(np.abs(ground if ground is not None else coordinates).max(initial=1e-3))
    picture = scatter(coordinates, ground, PLOT, reach)
    if here is not None:
        across, down = here.float().cpu().clamp(-reach, reach).tolist()
        x, y = (round((value / reach + 1) / 2 * (PLOT - 1)) for value in (across, -down))
        if math.isfinite(across + down):
            picture[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = HERE
    legend: tuple[tuple[str, str], ...] = ((colour(ORANGE), "decoded"), (colour(HERE), "here"))
    if real is not None:
        legend = (*legend, (colour(GREY), "real"))
    return plots_of([picture], kind, Tiles(block=(1, 1), legend=legend, axes=axes(reach)))


def frames_of(images: Tensor, value_range: str, least: int = 160) -> list[np.ndarray]:
    """(N, C, H, W) as pictures of at least so many pixels, enlarged by a whole factor: (H, W) or (H, W, 3) uint8."""
    small = denormalise(images, value_range).cpu()
    factor = max(1, math.ceil(least / min(small.shape[-2:])))
    pixels = small.repeat_interleave(factor, -1).repeat_interleave(factor, -2).permute(0, 2, 3, 1).numpy()
    return [np.ascontiguousarray(frame[..., 0] if frame.shape[-1] == 1 else frame) for frame in pixels]


def write_gif(frames: list[np.ndarray], path: Path, per_second: int = 20) -> None:
    """An endless GIF. Raises OSError where it cannot be written."""
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(path, "GIF", save_all=True, append_images=pictures[1:], duration=1000 // per_second, loop=0)

