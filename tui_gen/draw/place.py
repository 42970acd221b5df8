"""Where an image goes: the largest box of cells that keeps its shape, and bytes sent to a cell of the screen."""

from __future__ import annotations

import math

import msgspec
import numpy as np

Pieces = list[tuple[bytes, tuple[int, int, int, int]]]
"""Bytes of a pixel protocol, each for its box = (x, y, columns, rows) of cells."""


class Placement(msgspec.Struct, frozen=True):
    """A rectangle of cells, the screen pixels of the image in it (from its top left), and how much it is enlarged."""

    x: int
    y: int
    columns: int
    rows: int
    width: int
    height: int
    scale: float


def fit(
    image: tuple[int, int], columns: int, rows: int, cell: tuple[float, float] = (1, 2), *, whole: bool = True
) -> Placement:
    """The box for an image of `image` = (height, width) pixels, centred in `columns` x `rows` cells.

    `cell`: a cell's (width, height) in pixels; half-blocks have (1, 2). An image that must be enlarged is enlarged by a
    whole factor, so that all its pixels are equally large, unless `whole` is False.
    """
    high, wide = image
    if min(high, wide, columns, rows) < 1:
        return Placement(0, 0, 0, 0, 0, 0, 0.0)
    scale = min(columns * cell[0] / wide, rows * cell[1] / high)
    if scale >= 1 and whole:
        scale = float(math.floor(scale + 1e-9))
    width = max(1, min(round(wide * scale), int(columns * cell[0])))
    height = max(1, min(round(high * scale), int(rows * cell[1])))
    across = min(columns, math.ceil(width / cell[0]))
    down = min(rows, math.ceil(height / cell[1]))
    return Placement((columns - across) // 2, (rows - down) // 2, across, down, width, height, scale)


def as_pixels(pixels: np.ndarray) -> np.ndarray:
    """uint8 pixels as (H, W) grey or (H, W, 3) RGB; (H, W, 1) loses its axis, alpha is dropped.

    Raises ValueError for other shapes or types.
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8, not {pixels.dtype}")
    if pixels.ndim == 3 and pixels.shape[2] in (1, 2):
        return pixels[:, :, 0]
    if pixels.ndim == 3 and pixels.shape[2] in (3, 4):
        return pixels[:, :, :3]
    if pixels.ndim != 2:
        raise ValueError(f"pixels must be (H, W), (H, W, 1) or (H, W, 3), not {pixels.shape}")
    return pixels


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 pixels at another size: by area, so that shrinking averages and a whole factor just repeats pixels."""
    out = pixels
    for axis, size in ((0, height), (1, width)):
        have = out.shape[axis]
        if size == have:
            continue
        if size % have == 0:
            out = np.repeat(out, size // have, axis=axis)
        else:
            out = _area(out, size, axis)
    return np.rint(out).astype(np.uint8) if out.dtype != np.uint8 else out


def _area(pixels: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Mean over `size` equal parts of an axis; a pixel cut by an edge counts for both sides."""
    total = np.cumsum(np.moveaxis(pixels, axis, 0), axis=0, dtype=np.float64)
    total = np.concatenate([np.zeros_like(total[:1]), total])
    have = len(total) - 1
    at = np.linspace(0, have, size + 1)
    low = np.minimum(at.astype(np.intp), have - 1)
    part = (at - low).reshape(-1, *([1] * (total.ndim - 1)))
    edge = total[low] * (1 - part) + total[low + 1] * part
    return np.moveaxis(np.diff(edge, axis=0) * (size / have), 0, axis)


def at_cell(row: int, column: int, payload: bytes) -> bytes:
    """`payload` written at a cell (counted from 0), the cursor restored afterwards; empty stays empty."""
    return b"\x1b7\x1b[%d;%dH%b\x1b8" % (row + 1, column + 1, payload) if payload else b""


def nearest(size: int, have: int) -> np.ndarray:
    """Which of `have` pixels in a row each of `size` is a copy of."""
    return np.arange(size) * have // size


def resize_plot(pixels: np.ndarray, height: int, width: int, colours: int = 16) -> np.ndarray:
    """A plot at another size, with the colours that it has: enlarged by repeating pixels, shrunk so that no dot fades.

    Where it shrinks, a pixel has the most frequent colour of its part that is not the ground's, which is that of the
    top left corner; of a plot of more than so many colours the mean of those that are not the ground's.
    """
    high, wide = pixels.shape[:2]
    if height > high:
        pixels = pixels[nearest(height, high)]
    if width > wide:
        pixels = pixels[:, nearest(width, wide)]
    if pixels.shape[:2] == (height, width):
        return pixels
    flat = pixels.reshape(*pixels.shape[:2], -1)
    ground = flat[0, 0]
    key = flat @ (1 << 8 * np.arange(flat.shape[2]))
    row, column = np.nonzero(key != key[0, 0])
    ink, cells = flat[row, column], height * width
    cell = row * height // flat.shape[0] * width + column * width // flat.shape[1]
    values = key[row, column]
    few = len(np.unique(values[:: 1 + len(values) // 1000])) <= colours  # all of them are looked at only then
    kinds, kind = np.unique(values, return_inverse=True) if few else (values, values)
    out = np.broadcast_to(ground, (cells, flat.shape[2])).copy()
    if len(kinds) <= colours:
        counts = np.bincount(kind * cells + cell, minlength=len(kinds) * cells).reshape(len(kinds), cells)
        table = np.stack([kinds >> 8 * part & 255 for part in range(flat.shape[2])], axis=1)
        ink_cells = np.flatnonzero(counts.any(axis=0))
        out[ink_cells] = table[counts[:, ink_cells].argmax(axis=0)] if len(ink_cells) else 0
    else:
        count = np.bincount(cell, minlength=cells)
        ink_cells = np.flatnonzero(count)
        for part in range(flat.shape[2]):
            out[ink_cells, part] = np.rint(np.bincount(cell, ink[:, part], cells)[ink_cells] / count[ink_cells])
    return out.reshape(height, width, *pixels.shape[2:])
