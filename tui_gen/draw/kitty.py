"""The kitty graphics protocol: PNG at native pixels, scaled by the terminal to a box of cells.

Pure functions that build bytes. An image id shown again replaces the earlier picture in place. Not for tmux, which
does not pass the protocol on.
"""

from __future__ import annotations

import base64
import io

import numpy as np

from tui_gen.draw.place import as_pixels, resize
from tui_gen.draw.sixel import quantise

CHUNK = 4096
UNLIKELY = ((1, 254, 3), (253, 2, 251), (7, 9, 250))
"""Colours that few pictures have: one may stand for what is transparent."""


def png(
    pixels: np.ndarray, *, colours: int = 0, level: int = 6, enlarge: int = 1, size: tuple[int, int] = (0, 0)
) -> bytes:
    """`pixels`, uint8 (H, W) or (H, W, 3), as a PNG file; `level` of compression 0 to 9.

    `colours`: 0 keeps every colour; 2 to 256 chooses so many for a coloured image, a third of the bytes at 64.
    Every pixel is repeated `enlarge` times in both directions. Up to `size` = (width, height) there are transparent
    pixels to the right and below; every colour is kept then.
    """
    from PIL import Image

    out = io.BytesIO()
    pixels = as_pixels(pixels)
    if pixels.ndim == 3 and (pixels[..., :1] == pixels).all():
        pixels = pixels[..., 0]
    more: dict[str, object] = {}
    high, wide = (enlarge * length for length in pixels.shape[:2])
    across, down = max(0, size[0] - wide), max(0, size[1] - high)
    colour: int | tuple[int, ...] = 0
    if across or down:
        pixels, colour = _free(pixels)
        more["transparency"] = colour
    if enlarge > 1:
        pixels = resize(pixels, high, wide)
    if across or down:
        whole = np.empty((high + down, wide + across, *pixels.shape[2:]), np.uint8)
        whole[:] = colour
        whole[:high, :wide] = pixels
        image = Image.fromarray(whole)
    elif pixels.ndim == 3 and colours:
        index, palette = quantise(pixels, 256, colours)
        image = Image.fromarray(index)
        image.putpalette(palette.astype(np.uint8).tobytes())
    else:
        image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(out, "PNG", compress_level=level, **more)
    return out.getvalue()


def _free(pixels: np.ndarray) -> tuple[np.ndarray, int | tuple[int, ...]]:
    """`pixels`, and a colour that none of them has; in colour where they have every grey."""
    if pixels.ndim == 2:
        free = np.flatnonzero(np.bincount(pixels.ravel(), minlength=256) == 0)
        if len(free):
            return pixels, int(free[-1])
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    for unlikely in UNLIKELY:
        if not (pixels == unlikely).all(axis=2).any():
            return pixels, unlikely
    colours = np.unique(pixels.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1]))
    colour = int(np.setdiff1d(np.arange(len(colours) + 1), colours)[0])
    return pixels, (colour >> 16, colour >> 8 & 255, colour & 255)


def show(image: bytes, ident: int, columns: int, rows: int, *, virtual: bool = False) -> bytes:
    """Show the PNG file `image` as picture `ident` (1 to 2**32 - 1) in `columns` x `rows` cells at the cursor.

    The cursor does not move (C=1), the terminal sends no reply (q=2), and placement 1 of `ident` is replaced. A
    `virtual` one is shown nowhere but in the cells of text that name it (`placeholders`).
    """
    if not 1 <= ident < 2**32:
        raise ValueError(f"kitty image id must be 1 to 4294967295, not {ident}")
    if not image or columns < 1 or rows < 1:
        return b""
    data = base64.standard_b64encode(image)
    parts = [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]
    out = []
    for i, part in enumerate(parts):
        more = int(i < len(parts) - 1)
        place = "U=1" if virtual else "p=1,C=1"
        keys = f"a=T,f=100,i={ident},c={columns},r={rows},{place},q=2,m={more}" if i == 0 else f"q=2,m={more}"
        out.append(b"\x1b_G%b;%b\x1b\\" % (keys.encode(), part))
    return b"".join(out)


def encode(
    pixels: np.ndarray, ident: int, columns: int, rows: int, *, enlarge: int = 1, colours: int = 0,
    pad: tuple[int, int] = (0, 0), virtual: bool = False,
) -> bytes:  # fmt: skip
    """`pixels` as picture `ident` in `columns` x `rows` cells; `colours` as for `png`, `virtual` as for `show`.

    The terminal blurs what it enlarges. `enlarge` repeats every pixel that often first, which keeps tiny images crisp
    and costs few bytes; the whole part of the box's scale is a good value. With `pad` = (width, height) there is
    nothing to the right and below the enlarged picture up to that size, so that it keeps its shape in whole cells.
    """
    if not np.size(pixels):
        return b""
    return show(png(pixels, colours=colours, enlarge=enlarge, size=pad), ident, columns, rows, virtual=virtual)


def delete(ident: int) -> bytes:
    """Take picture `ident` off the screen and free its data."""
    return b"\x1b_Ga=d,d=I,i=%d,q=2\x1b\\" % ident
