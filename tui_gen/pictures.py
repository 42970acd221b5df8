"""Reading the pictures of a run, which may be anybody's: PNG and nothing else, of a size that was looked at before."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from tui_gen.files import read_regular

if TYPE_CHECKING:
    import numpy as np

LARGEST = 64 << 20
"""Pixels of a picture that is still read."""
_HEADER = struct.Struct(">8sI4sII")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_png(path: str | Path) -> np.ndarray:
    """The pixels of a PNG, uint8 of shape (height, width), or (height, width, 3) with colours.

    Raises OSError where it cannot be opened, ValueError (and whatever Pillow has for damaged files: OSError,
    SyntaxError, EOFError) where it is no PNG or too large.
    """
    import numpy as np
    from PIL import Image

    data = read_regular(path, 4 * LARGEST)
    if len(data) < _HEADER.size or not data.startswith(_SIGNATURE):
        raise ValueError("it is not a PNG")
    _, _, kind, width, height = _HEADER.unpack_from(data)
    if kind != b"IHDR" or not width * height:
        raise ValueError("it is not a PNG")
    if width * height > LARGEST:
        raise ValueError(f"{width}×{height} pixels are too many to show")
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        image.load()
        return np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB"))
