"""How much two pictures differ, as a picture: black where they are alike, through purple and orange to white."""

from __future__ import annotations

import numpy as np

from tui_gen.draw.place import as_pixels

RAMP = np.array([(0, 0, 0), (70, 20, 110), (190, 50, 90), (250, 140, 40), (255, 245, 180)], float)
"""Colours from no difference to the greatest; each is brighter than the one before, so that it is read without any."""
LEAST = 32
"""A greatest difference smaller than this, of 255, is not white: rounding would look like news."""


def difference(pixels: np.ndarray, before: np.ndarray) -> np.ndarray:
    """|pixels − before| of uint8 pictures (H, W) or (H, W, 3), that of the colour that differs most: (H, W) uint8.

    A grey picture is compared with a coloured one as if it had colours. Raises ValueError where they differ in size.
    """
    left, right = as_pixels(pixels), as_pixels(before)
    if left.shape[:2] != right.shape[:2]:
        sizes = " and ".join(f"{wide}×{high}" for high, wide in (left.shape[:2], right.shape[:2]))
        raise ValueError(f"the two differ in size: {sizes} pixels")
    if left.ndim != right.ndim:
        left, right = (part[..., None] if part.ndim == 2 else part for part in (left, right))
    apart = np.abs(left.astype(np.int16) - right)
    return (apart if apart.ndim == 2 else apart.max(axis=2)).astype(np.uint8)


def heat(values: np.ndarray) -> np.ndarray:
    """Differences (H, W) uint8 as colours (H, W, 3) uint8; the greatest is the brightest, unless it is below LEAST."""
    most = max(LEAST, int(values.max(initial=0)))
    at = np.arange(256) / most * (len(RAMP) - 1)
    table = np.stack([np.interp(at, np.arange(len(RAMP)), RAMP[:, part]) for part in range(3)], axis=1)
    colours: np.ndarray = np.rint(table).astype(np.uint8)[values]
    return colours
