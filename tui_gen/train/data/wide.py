"""Colour of 16 bits a channel that Pillow cuts to 8: TIFF and PPM, read whole.

Pillow (13.0) has no mode for it and takes the upper byte of each value: of 12 bits in 16 that leaves 16 levels, all of
them black. It takes the lower one where it is told that the bytes lie the other way round.
"""

from __future__ import annotations

import io
import re
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BITS, PHOTOMETRIC, SAMPLES, PLANES, SAMPLE_FORMAT = 258, 262, 277, 284, 339
SIGNED = 2
KEPT = (256, 257, 259, 266, 278, 317, 322, 323)
PLACES = (273, 279, 324, 325)
"""Tags of TIFF: of what is the same for all planes, and where the strips or tiles of each lie, one plane's after those
of another."""
_CHUNKY = re.compile(r"(RGB|RGBA|RGBX);16[LBN]")
_PORTABLE = ("ppm", "ppm_plain")


def is_wide(image: Image.Image) -> bool:
    """Whether an image that was opened, and not read yet, is one of these."""
    codec, args = _first_tile(image)
    if codec in _PORTABLE:
        return image.mode == "RGB" and args[-1] > 255
    return bool(args and _CHUNKY.fullmatch(str(args[0]))) or _in_planes(image)


def is_signed_byte(image: Image.Image) -> bool:
    """Whether 8 bits of a TIFF have a sign, which Pillow passes over: −1 would be white."""
    tags = getattr(image, "tag_v2", {})
    return image.mode == "L" and tags.get(SAMPLE_FORMAT, (1,))[0] == SIGNED and tags.get(BITS, (1,))[0] == 8


def wide_values(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Colour (H, W, 3) uint16 as stored (of PPM as shares of 65535), and opacity (H, W) in 0 … 1 where there is some.

    Raises ValueError, or whatever Pillow raises, for what cannot be read.
    """
    with Image.open(path) as image:
        if _first_tile(image)[0] in _PORTABLE:
            return _portable(path, image), None
        if _in_planes(image):
            return _planes(path, image), None
        upper = np.asarray(image).astype(np.uint16)
    with Image.open(path) as image:
        other = "B" if sys.byteorder == "little" else "L"
        image.tile = [tile._replace(args=_swapped(tile.args, other)) for tile in image.tile]
        values = upper << 8 | np.asarray(image)
    return values[..., :3], values[..., 3] / 65535 if values.shape[-1] == 4 else None


def _first_tile(image: Image.Image) -> tuple[str, tuple[Any, ...]]:
    """The codec of an image's first piece, and what it is told; nothing where the image has been read."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return "", ()
    args = tiles[0][3]
    return tiles[0][0], args if isinstance(args, tuple) else (args,)


def _swapped(args: Any, native: str) -> tuple[Any, ...]:
    """What a decoder is told, with the bytes of each value the other way round."""
    form, order = str(args[0])[:-1], str(args[0])[-1]
    return (form + {"L": "B", "B": "L", "N": native}[order], *args[1:])


def _portable(path: Path, image: Image.Image) -> np.ndarray:
    """A PPM, read as a grey map of three times its width."""
    codec, _, offset, args = image.tile[0]  # type: ignore[attr-defined]
    kind = b"P2" if codec == "ppm_plain" else b"P5"
    width, height = image.size
    data = b"%b %d %d %d\n" % (kind, 3 * width, height, args[-1]) + path.read_bytes()[offset:]
    with Image.open(io.BytesIO(data)) as grey:
        return np.asarray(grey).astype(np.uint16).reshape(height, width, 3)


def _in_planes(image: Image.Image) -> bool:
    """Whether a TIFF holds a plane of 16 bits for each colour. Of these Pillow takes bytes for values where they are
    not compressed, and the upper bytes, whatever it is told, where they are.
    """
    tags = getattr(image, "tag_v2", {})
    return image.mode == "RGB" and tags.get(PLANES, 1) == 2 and tags.get(BITS, (8,)) == (16, 16, 16)


def _planes(path: Path, image: Image.Image) -> np.ndarray:
    """A TIFF of planes, each read as a grey TIFF: by a directory of its own behind the same bytes."""
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    data = path.read_bytes()
    if data[2:4] not in (b"*\0", b"\0*"):
        raise ValueError("is a BigTIFF of planes of 16 bits: save it with its colours side by side")
    order = "<" if tags.prefix == b"II" else ">"
    kept = {tag: tags[tag] for tag in KEPT if tag in tags} | {BITS: 16, PHOTOMETRIC: 1, SAMPLES: 1}
    planes = []
    for plane in range(3):
        parts = {tag: _third(tags[tag], plane) for tag in PLACES if tag in tags}
        head = struct.pack(f"{order}2sHI", tags.prefix, 42, len(data))
        with Image.open(io.BytesIO(head + data[8:] + _directory(kept | parts, order, len(data)))) as grey:
            planes.append(np.asarray(grey).astype(np.uint16))
    return np.stack(planes, -1)


def _third(numbers: Sequence[int], plane: int) -> Sequence[int]:
    count = len(numbers) // 3
    return numbers[plane * count : (plane + 1) * count]


def _directory(tags: Mapping[int, int | Sequence[int]], order: str, place: int) -> bytes:
    """A directory of a TIFF that stands at a place of its file, every tag as whole numbers of 32 bits."""
    after, entries, tail = place + 2 + 12 * len(tags) + 4, b"", b""
    for tag, value in sorted(tags.items()):
        numbers = [value] if isinstance(value, int) else list(value)
        body = struct.pack(f"{order}{len(numbers)}I", *numbers)
        entries += struct.pack(f"{order}HHI", tag, 4, len(numbers))
        entries += body if len(numbers) == 1 else struct.pack(f"{order}I", after + len(tail))
        tail += body if len(numbers) > 1 else b""
    return struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + tail
