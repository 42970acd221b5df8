"""Images as text: half-blocks (two pixels per cell) in colour, or a luminance ramp without any.

Colours are packed 0xRRGGBB; -1 means the terminal's own background shows through. A run is (text, upper or text
colour, background colour), colours as (r, g, b) or None.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import msgspec
import numpy as np

from tui_gen.draw.place import Placement, as_pixels, fit, resize

__all__ = ["Blocks", "ascii_rows", "halfblocks", "luminance", "packed", "ramp", "to_256", "to_ansi", "to_ascii"]

Colour = tuple[int, int, int]
BlockRun = tuple[str, Colour | None, Colour | None]

# From dark to bright on a dark terminal: each character covers more of its cell than the one before.
RAMP = " .:-=+*#%@"


class Blocks(msgspec.Struct):
    """An image as half-blocks: packed colours of the `upper` and `lower` halves, each (rows, columns), and its box."""

    upper: np.ndarray
    lower: np.ndarray
    box: Placement

    def rows(self) -> list[list[BlockRun]]:
        """Every row as runs of equal cells."""
        rows: list[list[BlockRun]] = []
        for upper, lower in zip(self.upper, self.lower):
            if not len(upper):
                rows.append([])
                continue
            cuts = np.flatnonzero((upper[1:] != upper[:-1]) | (lower[1:] != lower[:-1])) + 1
            bounds = [0, *cuts.tolist(), len(upper)]
            above, below = upper[bounds[:-1]].tolist(), lower[bounds[:-1]].tolist()
            rows.append([_run(b - a, u, d) for (a, b), u, d in zip(pairwise(bounds), above, below)])
        return rows


def _run(length: int, upper: int, lower: int) -> BlockRun:
    if upper == lower:  # a blank is one byte, a half-block three
        return " " * length, None, _unpack(lower)
    if upper < 0:
        return "▄" * length, _unpack(lower), None
    return "▀" * length, _unpack(upper), _unpack(lower)


def _unpack(colour: int) -> Colour | None:
    return None if colour < 0 else (colour >> 16, colour >> 8 & 255, colour & 255)


def packed(pixels: np.ndarray) -> np.ndarray:
    """uint8 (H, W) or (H, W, 3) as packed colours, int32 (H, W)."""
    if pixels.ndim == 2:
        return pixels.astype(np.int32) * 0x010101
    red, green, blue = np.moveaxis(pixels.astype(np.int32), 2, 0)
    return red << 16 | green << 8 | blue


def halfblocks(
    pixels: np.ndarray, columns: int, rows: int, *, cell: tuple[float, float] = (1, 2), whole: bool = True
) -> Blocks:
    """`pixels`, uint8 (H, W) or (H, W, 3), centred in `columns` x `rows` cells with their shape kept.

    `cell` is the shape of a cell, (width, height) in any unit; `whole` enlarges by whole factors only.
    """
    pixels = as_pixels(pixels)
    grid = np.full((2 * rows, columns), -1, dtype=np.int32)
    stretch = cell[1] / (2 * cell[0])  # height of a half cell over its width
    shape = (pixels.shape[0] / stretch, pixels.shape[1]) if abs(stretch - 1) > 0.1 else pixels.shape[:2]
    box = fit((max(1, round(shape[0])) if pixels.size else 0, shape[1]), columns, rows, whole=whole)
    if box.width:
        small = packed(resize(pixels, box.height, box.width))
        top, left = 2 * box.y, box.x
        grid[top : top + box.height, left : left + box.width] = small
    return Blocks(grid[0::2], grid[1::2], box)


def luminance(pixels: np.ndarray) -> np.ndarray:
    """Perceived brightness (Rec. 709 weights on the stored values), uint8 (H, W)."""
    pixels = as_pixels(pixels)
    if pixels.ndim == 2:
        return pixels
    return np.rint(pixels @ np.array([0.2126, 0.7152, 0.0722])).astype(np.uint8)


def ascii_rows(
    pixels: np.ndarray, columns: int, rows: int, *, cell: tuple[float, float] = (1, 2), light: bool = False
) -> list[str]:
    """`pixels` as `rows` strings of `columns` characters of a luminance ramp; `light` for dark text on white."""
    grey = luminance(pixels)
    box = fit(grey.shape, columns, rows, cell, whole=False)
    out = np.full((rows, columns), ord(" "), dtype=np.uint8)
    if box.columns:
        small = resize(grey, box.rows, box.columns)
        out[box.y : box.y + box.rows, box.x : box.x + box.columns] = _levels(small, light)
    return [line.tobytes().decode() for line in out]


def ramp(pixels: np.ndarray, *, light: bool = False) -> list[str]:
    """uint8 pixels as strings of the luminance ramp, a character each; `light` for dark text on white."""
    return [line.tobytes().decode() for line in _levels(luminance(pixels), light)]


def _levels(grey: np.ndarray, light: bool) -> np.ndarray:
    marks = np.frombuffer(RAMP.encode(), dtype=np.uint8)
    return (marks[::-1] if light else marks)[grey.astype(np.uint16) * len(RAMP) // 256]


def to_256(rgb: np.ndarray) -> np.ndarray:
    """The nearest of xterm's 240 fixed colours (16 to 255), shape of `rgb` (..., 3) without the last axis."""
    rgb = np.asarray(rgb).astype(np.int32)
    # the cube's levels are 0, 95, 135, 175, 215, 255; the ramp's 8, 18, ... 238
    cube = np.where(rgb < 48, 0, np.where(rgb < 115, 1, (rgb - 35) // 40))
    near = np.where(cube == 0, 0, 55 + 40 * cube)
    grey = np.clip(np.floor((rgb.mean(axis=-1) - 3) / 10), 0, 23).astype(np.int32)
    ramp = (8 + 10 * grey)[..., None]
    cube_error = ((rgb - near) ** 2).sum(axis=-1)
    grey_error = ((rgb - ramp) ** 2).sum(axis=-1)
    return np.where(grey_error < cube_error, 232 + grey, 16 + cube @ np.array([36, 6, 1])).astype(np.uint8)


def to_ansi(pixels: np.ndarray, columns: int, rows: int, *, truecolor: bool = True) -> str:
    """Half-blocks as text with SGR colours, one line per row that holds any of the image (for plain printing)."""
    blocks = halfblocks(pixels, columns, rows)
    lines = []
    for row in blocks.rows()[blocks.box.y : blocks.box.y + blocks.box.rows]:
        out: list[str] = []
        state: tuple[Colour | None, Colour | None] = (None, None)
        for text, colour, ground in row:
            colour = state[0] if text[0] == " " else colour  # a blank has no text colour to change
            codes = [] if colour == state[0] else [_sgr(colour, 38, truecolor)]
            codes += [] if ground == state[1] else [_sgr(ground, 48, truecolor)]
            out.append(f"\x1b[{';'.join(codes)}m{text}" if codes else text)
            state = (colour, ground)
        lines.append("".join(out) + "\x1b[0m")
    return "\n".join(lines)


@lru_cache(maxsize=4096)
def _sgr(colour: Colour | None, kind: int, truecolor: bool) -> str:
    if colour is None:
        return str(kind + 1)
    if truecolor:
        return f"{kind};2;{colour[0]};{colour[1]};{colour[2]}"
    return f"{kind};5;{int(to_256(np.array(colour)))}"


def to_ascii(pixels: np.ndarray, columns: int, rows: int, *, light: bool = False) -> str:
    """The luminance ramp as text, blank rows above and below left out (for plain printing); `light` as in `ramp`."""
    box = fit(as_pixels(pixels).shape[:2], columns, rows, whole=False)
    return "\n".join(row.rstrip() for row in ascii_rows(pixels, columns, rows, light=light)[box.y : box.y + box.rows])
