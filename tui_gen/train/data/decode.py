"""One image file of any kind to one square uint8 array, with the colours that an image viewer shows."""

from __future__ import annotations

import functools
import importlib
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps

from tui_gen.train.data.ranges import Range
from tui_gen.train.data.wide import BITS, SAMPLE_FORMAT, is_signed_byte, is_wide, wide_values

EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif"}
EXTENSIONS |= {".tiff", ".avif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"}
EXTENSIONS |= {".qoi", ".tga", ".sgi", ".pcx", ".dds"}
"""Which files count as images."""

PLUGINS = {
    ".heic": ("pillow_heif", "register_heif_opener", "pip install pillow-heif"),
    ".heif": ("pillow_heif", "register_heif_opener", "pip install pillow-heif"),
    ".hif": ("pillow_heif", "register_heif_opener", "pip install pillow-heif"),
    ".jxl": ("pillow_jxl", "", "pip install pillow-jxl-plugin"),
}
"""Kinds of files that Pillow reads where a plugin is installed: its module, what registers it, how it is had."""

ENDING_ADVICE = {ending: how for ending, (_, _, how) in PLUGINS.items()}
ENDING_ADVICE |= dict.fromkeys(
    (".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw"),
    "raw photographs: develop them to TIFF or JPEG first",
)
ENDING_ADVICE |= dict.fromkeys((".svg", ".eps", ".pdf", ".ai"), "drawings: render them to PNG first")
ENDING_ADVICE |= dict.fromkeys((".psd", ".xcf", ".kra", ".exr", ".hdr"), "export them to PNG or TIFF first")
ENDING_ADVICE |= dict.fromkeys((".dcm", ".fits", ".fit", ".nii", ".npy", ".npz", ".h5"), "convert them to TIFF first")
ENDING_ADVICE |= dict.fromkeys((".mp4", ".mov", ".avi", ".mkv", ".webm"), "videos: write their frames to PNG first")
"""Files that hold pictures and are not read: what to do about them."""

GREY_MODES = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
WIDE = {".tif", ".tiff", ".ppm", ".pnm"}
"""Endings of files that may hold colour of 16 bits which Pillow cuts (tui_gen.train.data.wide)."""
DEEP = {".png", ".apng", ".pgm", ".pfm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"} | WIDE
"""Endings of files that may hold more than 8 bits a channel."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF's orientation → what turns the image upright."""

ORIENTATION, PHOTOMETRIC = 0x0112, 262
NEAR = 2
"""Levels of 255 by which a colour profile must change some colour to count: every variant of sRGB stays below."""


@dataclass(frozen=True)
class Header:
    """What the beginning of a file tells: whether it is grey, and the kind of its pixels where they have more than 8
    bits (`whole` numbers or `real` ones; empty for 8 bits and less)."""

    grey: bool
    deep: str = ""


@dataclass
class ImageDecoder:
    """Reads files to (channels, size, size) uint8. `ranges` says, by kind, which values of deep pixels are black and
    white in this set; `several` collects the files that hold more than one frame or page."""

    size: int
    channels: int
    ranges: dict[str, Range] = field(default_factory=dict)
    several: list[Path] = field(default_factory=list)

    def read(self, path: Path) -> np.ndarray:
        """Turned upright by EXIF, on white where transparent, the shorter side scaled to `size` (antialiased bicubic),
        the middle cut out, an embedded colour profile converted to sRGB. Of several frames or pages the first.

        Raises whatever Pillow raises for a file it cannot read to its end.
        """
        mode = "RGB" if self.channels == 3 else "L"
        with Image.open(path) as image:
            header = header_of(path, image)
            if header is not None and header.deep:
                if header.deep not in self.ranges:
                    raise ValueError("has more than 8 bits a channel, and the name of a kind of file that has not")
                upright = _eight_bits(path, image, self.ranges[header.deep])
            else:
                # lets JPEG decode at ½, ¼ or ⅛ of its size where that still leaves twice the pixels needed
                image.draft(None, (2 * self.size, 2 * self.size))
                upright = ImageOps.exif_transpose(image)
            upright = _opaque(upright)
            convert = to_srgb(image.info.get("icc_profile") or b"", upright.mode)
            if _has_more(image):
                self.several.append(path)
        if convert is None:
            upright = upright.convert(mode)
        small = self._square(upright)
        if convert is not None:
            small = _applied(convert, small).convert(mode)
        array = np.asarray(small, dtype=np.uint8)
        return array[None] if self.channels == 1 else array.transpose(2, 0, 1)

    def _square(self, image: Image.Image) -> Image.Image:
        if image.size == (self.size, self.size):
            return image
        short = min(image.size)
        left, top = (image.width - short) // 2, (image.height - short) // 2
        box = (left, top, left + short, top + short)
        return image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box, reducing_gap=3.0)


def header_of(path: Path, image: Image.Image | None = None) -> Header | None:
    """What a file's header tells, or None where it cannot be read. `image` is the file, opened, if it is already."""
    try:
        with open(path, "rb") as file:
            start = file.read(26)
        if start.startswith(b"\x89PNG\r\n\x1a\n") and start[12:16] == b"IHDR":
            # Pillow gives 16 bits with alpha as 8-bit RGBA: the header itself knows better
            bits, colour = start[24], start[25]
            if bits == 16 or colour in (0, 4):
                return Header(grey=colour in (0, 4), deep="whole" if bits == 16 else "")
        if image is None:
            with Image.open(path) as image:
                return _header_of_opened(image)
        return _header_of_opened(image)
    except Exception:  # Pillow's plugins raise nearly anything on broken files
        return None


def _header_of_opened(image: Image.Image) -> Header:
    """What Pillow tells of an image that was opened and not read yet."""
    mode = image.mode
    is_whole = mode == "I" or mode.startswith("I;") or is_wide(image) or is_signed_byte(image)
    return Header(mode in GREY_MODES, "real" if mode == "F" else "whole" if is_whole else "")


def extent(path: Path) -> tuple[float, float] | None:
    """The least and the greatest value of a deep image's pixels, as stored; None where none is a number."""
    with Image.open(path) as image:
        values, _, _ = _stored(path, image)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else None


def with_plugins(endings: set[str]) -> set[str]:
    """Those of these endings that an installed plugin of Pillow reads; it is registered."""
    read = set()
    for ending in endings & set(PLUGINS):
        module, register, _ = PLUGINS[ending]
        try:
            plugin: Any = importlib.import_module(module)
            if register:
                getattr(plugin, register)()
        except Exception:  # not installed, or of a version that does not fit
            continue
        read.add(ending)
    return read


def _stored(path: Path, image: Image.Image) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """Deep pixels as stored, (H, W) or (H, W, 3); their opacity (H, W) in 0 … 1 if any; whether white is least."""
    with open(path, "rb") as file:
        start = file.read(26)
    if start.startswith(b"\x89PNG") and start[25] != 0:
        from torchvision.io import decode_png  # Pillow 13.0 cuts these to 8 bits

        planes = decode_png(torch.from_numpy(np.fromfile(path, dtype=np.uint8))).numpy()
        opacity = planes[-1] / 65535 if len(planes) in (2, 4) else None
        values = planes[0] if len(planes) < 3 else planes[:3].transpose(1, 2, 0)
    elif is_wide(image):
        values, opacity = wide_values(path)
    else:
        signed = is_signed_byte(image)
        values, opacity = np.asarray(image), None
        values = values.view(np.int8) if signed else values
    tags = getattr(image, "tag_v2", {})
    # Pillow 13.0 reads 32 bits without a sign as if they had one
    if values.dtype == np.int32 and tags and tags.get(SAMPLE_FORMAT, (1,))[0] == 1 and tags.get(BITS, (0,))[0] == 32:
        values = values.view(np.uint32)
    key = image.info.get("transparency")
    if opacity is None and isinstance(key, int | tuple):
        mask = values == np.asarray(key)
        opacity = 1.0 - (mask.all(-1) if mask.ndim == 3 else mask)
    return values, opacity, tags.get(PHOTOMETRIC) == 0


def _eight_bits(path: Path, image: Image.Image, value_range: Range) -> Image.Image:
    """A deep image as L, LA, RGB or RGBA, turned upright."""
    values, opacity, negative = _stored(path, image)
    levels = value_range.levels(values)
    if negative:
        levels = 1 - levels
    planes = levels[..., None] if levels.ndim == 2 else levels
    if opacity is not None:
        planes = np.concatenate([planes, opacity[..., None]], axis=-1)
    pixels = np.rint(planes * 255).astype(np.uint8)
    out = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    turn = UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    return out if turn is None else out.transpose(turn)


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    """An image in the colours that a transform leads to."""
    out = ImageCms.applyTransform(image, transform)
    assert out is not None  # it is so only where the image itself is changed
    return out


def _opaque(image: Image.Image) -> Image.Image:
    """An image without transparency, of mode L, RGB, CMYK or LAB."""
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")


def _has_more(image: Image.Image) -> bool:
    """Whether a file holds more than the frame or page that was read."""
    if image.format == "MPO":
        return False  # a photograph with a smaller copy or a second view beside it
    try:
        image.seek(image.tell() + 1)
    except Exception:  # EOFError where there is none; plugins raise more on damaged ones
        return False
    return True


@functools.lru_cache(maxsize=64)
def to_srgb(profile: bytes, mode: str) -> Any:
    """What converts an image of a mode and embedded ICC profile to sRGB; None where nothing is to be done.

    A profile that is damaged, or of other colours than the image's, is passed over, as viewers do.
    """
    if mode == "LAB":
        source: Any = ImageCms.createProfile("LAB")
    elif profile:
        source = profile
    else:
        return None
    try:
        if isinstance(source, bytes):
            import io

            source = ImageCms.ImageCmsProfile(io.BytesIO(source))
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if mode in ("L", "RGB") and _changes_little(transform, mode):
            return None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, struct.error):
        return None
    return transform


def _changes_little(transform: Any, mode: str) -> bool:
    steps = np.arange(0, 256, 51 if mode == "RGB" else 1, dtype=np.uint8)
    if mode == "RGB":
        colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(1, -1, 3)
        before = colours
    else:
        colours = steps[None]
        before = np.repeat(steps[None, :, None], 3, axis=2)
    after = np.asarray(ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(colours)), transform))
    return int(np.abs(after.astype(int) - before.astype(int)).max()) <= NEAR
