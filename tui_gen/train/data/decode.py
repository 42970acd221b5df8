"""One image file of any kind to one square uint8 array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".avif"}
EXTENSIONS |= {".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".jp2"}
"""Which files count as images; anything else in a folder is passed over silently."""

GREY_MODES = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}


def is_grey(path: Path) -> bool | None:
    """Whether a file holds a grey image, by its header alone; None where the header cannot be read."""
    try:
        with Image.open(path) as image:
            return image.mode in GREY_MODES
    except Exception:
        return None


def decode(path: Path, size: int, channels: int) -> np.ndarray:
    """(channels, size, size) uint8: turned upright by EXIF, on white where transparent, the shorter side scaled to
    `size` (antialiased bicubic) and the middle cut out. Of an animation the first frame.

    Raises whatever Pillow raises for a file it cannot read to its end.
    """
    with Image.open(path) as image:
        # lets JPEG decode at ½, ¼ or ⅛ of its size where that still leaves twice the pixels needed
        image.draft(None, (2 * size, 2 * size))
        image = ImageOps.exif_transpose(image)
        image = _flat(image).convert("RGB" if channels == 3 else "L")
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    box = (left, top, left + short, top + short)
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)
    array = np.asarray(image, dtype=np.uint8)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _flat(image: Image.Image) -> Image.Image:
    """An image without transparency, of a mode that `convert` maps to 8 bits the way people expect."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return _eight_bit(np.asarray(image), real=image.mode == "F")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image)
    return image


def _eight_bit(values: np.ndarray, real: bool) -> Image.Image:
    """Greys of more than 8 bits: real ones as 0 … 1 or 0 … 255, whole ones as 16 bits, by their largest value."""
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    ranges = (1.0, 255.0, 65535.0) if real else (65535.0,)
    full = next((one for one in ranges if top <= one), top)
    return Image.fromarray(np.rint(np.clip(values / full, 0, 1) * 255).astype(np.uint8))
