"""Sixel: pixels as bytes for xterm, foot, WezTerm, mlterm, Windows Terminal, and tmux built with sixel.

A sixel is a column of six dots in one colour. A band of six pixel rows is written once per colour in it, each pass as
run-length coded characters ("!12~": twelve full columns); "$" starts the next pass, "-" the next band. Everything runs
in numpy on native pixels: a whole enlargement only multiplies run lengths. Pure functions; nothing is written here.

Put no sixel on the last row of the screen: terminals may scroll when an image ends there.
"""

from __future__ import annotations

import numpy as np

from tui_gen.draw.place import as_pixels, nearest, resize

GREY_LEVELS = 16
COLOURS = 64
_SAMPLE = 4096  # pixels


def encode(
    pixels: np.ndarray,
    width: int = 0,
    height: int = 0,
    *,
    greys: int = GREY_LEVELS,
    colours: int = COLOURS,
    blend: bool = True,
    area: tuple[int, int] = (0, 0),
    ground: tuple[int, int, int] | None = None,
) -> bytes:
    """`pixels`, uint8 (H, W) or (H, W, 3), as one sixel image of `width` x `height` screen pixels (native by default).

    Enlarged by no whole factor, it is blended, or without `blend` has some pixels larger than others.
    At most `greys` levels (2 to 256) for grey images, else at most `colours` (2 to 256) chosen for the image. With
    `ground` (red, green, blue) that colour fills `area` = (width, height) to the right of it and below: whole cells,
    for terminals that paint the rest of a cell as they like.
    """
    pixels = as_pixels(pixels)
    width, height = width or pixels.shape[1], height or pixels.shape[0]
    if not pixels.size:
        return b""
    if width % pixels.shape[1] and (blend or width < pixels.shape[1]):
        pixels = resize(pixels, pixels.shape[0], width)
    if height % pixels.shape[0] and (blend or height < pixels.shape[0]):
        pixels = resize(pixels, height, pixels.shape[1])
    index, palette = quantise(pixels, greys, colours)
    index = index[nearest(height, index.shape[0])]
    edges = -(-np.arange(index.shape[1] + 1) * width // index.shape[1])
    percent = np.rint(palette.astype(np.float64) * (100 / 255)).astype(int)
    table = "".join(f"#{i};2;{r};{g};{b}" for i, (r, g, b) in enumerate(percent.tolist()))
    body = _bands(index, len(palette), edges)
    across, down = max(width, area[0]), max(height, area[1])
    if ground is not None and len(palette) < 256 and (across, down) != (width, height):
        table += f"#{len(palette)};2;" + ";".join(str(round(level * 100 / 255)) for level in ground)
        body = _on_ground(body, b"#%d" % len(palette), (width, height), (across, down))
        width, height = across, down
    # P2 = 1: pixels not drawn keep what is there. Raster attributes: square dots, size, so terminals allocate once.
    head = f'\x1bP0;1;0q"1;1;{width};{height}{table}'
    return head.encode() + body + b"\x1b\\"


def _on_ground(body: bytes, colour: bytes, size: tuple[int, int], area: tuple[int, int]) -> bytes:
    """Every band with one pass more, which fills `area` = (width, height) around a picture of `size`."""
    (width, height), (across, down) = size, area

    def dots(band: int, first: int) -> bytes:
        """The character for the rows of a band from `first` on, as far as the area goes."""
        return bytes([63 + sum(1 << row for row in range(6) if first <= 6 * band + row < down)])

    def fill(band: int) -> bytes:
        below, beside = dots(band, height), across > width
        if below == b"?" and not beside:
            return b""
        return colour + b"!%d%b" % (width, below) + (b"!%d%b" % (across - width, dots(band, 0)) if beside else b"")

    bands = [b"$".join(filter(None, (passes, fill(number)))) for number, passes in enumerate(body.split(b"-"))]
    bands += [fill(number) for number in range(len(bands), -(-down // 6))]
    return b"-".join(bands)


def quantise(pixels: np.ndarray, greys: int = GREY_LEVELS, colours: int = COLOURS) -> tuple[np.ndarray, np.ndarray]:
    """Indices uint8 (H, W) and the palette uint8 (n, 3). Exact when the image has few enough colours."""
    if pixels.ndim == 3 and (pixels[..., :1] == pixels).all():
        pixels = pixels[..., 0]
    if pixels.ndim == 2:
        levels, index = np.unique(pixels, return_inverse=True)
        if len(levels) > greys:
            even = np.rint(np.linspace(int(levels[0]), int(levels[-1]), greys)).astype(np.uint8)
            nearest = np.abs(levels[:, None].astype(int) - even[None].astype(int)).argmin(axis=1)
            index, levels = nearest[index], even
        return index.reshape(pixels.shape).astype(np.uint8), np.repeat(levels[:, None], 3, axis=1)
    red, green, blue = np.moveaxis(pixels.astype(np.int32), 2, 0)
    rgb, index = np.unique(red << 16 | green << 8 | blue, return_inverse=True)
    if len(rgb) <= colours:
        return index.reshape(red.shape).astype(np.uint8), np.stack([rgb >> 16, rgb >> 8 & 255, rgb & 255], 1)
    from PIL import Image

    # median cut is slow on many pixels and no better for seeing them all: a spread sample chooses the palette
    flat = pixels.reshape(-1, 3)
    sample = flat[:: max(1, len(flat) // _SAMPLE) | 1]
    palette_image = Image.fromarray(np.ascontiguousarray(sample[None])).quantize(
        colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    image = Image.fromarray(np.ascontiguousarray(pixels)).quantize(palette=palette_image, dither=Image.Dither.NONE)
    table = np.array(palette_image.getpalette(), dtype=np.uint8).reshape(-1, 3)
    entries, index = np.unique(np.asarray(image), return_inverse=True)
    return index.reshape(red.shape).astype(np.uint8), table[np.minimum(entries, len(table) - 1)]


def _bands(index: np.ndarray, colours: int, edges: np.ndarray) -> bytes:
    """All bands of `index` (H, W); column c reaches from `edges[c]` to `edges[c + 1]`."""
    height, width = index.shape
    bands = -(-height // 6)
    planes = np.zeros((bands, colours, width), dtype=np.uint8)
    column = np.arange(width)[None, :]
    for row in range(6):
        part = index[row::6]
        # no (band, colour, column) twice: a pixel has one colour
        planes[np.arange(len(part))[:, None], part, column] |= 1 << row
    planes = planes.reshape(bands * colours, width)
    plane_numbers = np.flatnonzero(planes.any(axis=1))
    return _runs(planes[plane_numbers], plane_numbers // colours, plane_numbers % colours, edges)


def _runs(planes: np.ndarray, band: np.ndarray, colour: np.ndarray, edges: np.ndarray) -> bytes:
    """Run-length code the passes `planes` (n, W); pass i draws `colour[i]` in `band[i]`."""
    count, width = planes.shape
    flat = planes.ravel()
    start = np.empty(flat.shape, dtype=bool)
    start[1:] = flat[1:] != flat[:-1]
    start[::width] = True
    at = np.flatnonzero(start)
    value = flat[at]
    line = at // width
    length = edges[np.append(at[1:], len(flat)) - line * width] - edges[at - line * width]
    # blanks up to the end of a pass need not be written
    keep = (value != 0) | (np.append(line[1:], -1) == line)
    value, length, line = value[keep] + 63, length[keep], line[keep]

    digits = 1 + (length > 9) + (length > 99) + (length > 999) + (length > 9999)
    size = np.where(length <= 3, length, digits + 2)  # "???" is as short as "!3?"
    # before each pass: "#" colour; after it: "$", or "-" when the band is done (nothing after the last)
    name = 2 + (colour > 9) + (colour > 99)
    first = np.searchsorted(line, np.arange(count))
    ends = np.searchsorted(line, np.arange(count), side="right")
    body = np.concatenate([[0], np.cumsum(size)])
    overhead = np.concatenate([[0], np.cumsum(name + 1)])
    where = body[:-1] + overhead[line] + name[line]
    total = int(body[-1] + overhead[-1])
    out = np.empty(total, dtype=np.uint8)

    begin = body[first] + overhead[:-1]
    out[begin] = ord("#")
    _digits(out, begin + 1, colour, name - 1)
    close = body[ends] + overhead[1:] - 1
    out[close] = np.where(np.append(band[1:], -1) == band, ord("$"), ord("-"))
    for i in range(3):
        short = (length <= 3) & (length > i)
        out[where[short] + i] = value[short]
    long = length > 3
    out[where[long]] = ord("!")
    _digits(out, where[long] + 1, length[long], digits[long])
    out[where[long] + 1 + digits[long]] = value[long]
    return out[:-1].tobytes()


def _digits(out: np.ndarray, at: np.ndarray, number: np.ndarray, digits: np.ndarray) -> None:
    """Write decimal numbers of known length at positions `at`."""
    rest = number.copy()
    for i in range(int(digits.max(initial=0)) - 1, -1, -1):
        some = digits > i
        out[at[some] + i] = ord("0") + rest[some] % 10
        rest[some] //= 10
