"""GIF: the previews of a run as an endless film, of 256 greys or colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tui_gen.events import Note
from tui_gen.report.exports import Order
from tui_gen.report.film import FilmOptions as Options
from tui_gen.report.film import check_film, frames_of

__all__ = ["Options", "check", "write"]
UNIT = 10.0
"""Milliseconds that its durations are multiples of; what is between is lost without a word."""
LONGEST = 65535 * UNIT
LOOKED_AT, MOST_PIXELS = 16, 1 << 19
"""Frames, and pixels of them, by which a palette is chosen."""


def write(order: Order, target: Path) -> None:
    """Greys as they are; of more than 256 colours the nearest of 256 for the whole film."""
    images, durations = _made(order)
    if any(image.mode == "P" for image in images):
        order.tell(Note(text="a GIF has 256 colours; --as apng keeps all of them"))
    images[0].save(target, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0, optimize=False)


def check(order: Order, target: Path) -> None:
    """Every frame is there, with its pixels and its time."""
    check_film(target, "GIF", *_made(order))


def _made(order: Order) -> tuple[list[Any], list[int]]:
    """The frames as Pillow has them, with milliseconds; what became alike by losing colours is one frame."""
    from PIL import Image

    images: list[Any] = []
    durations: list[int] = []
    last: np.ndarray | None = None
    frames = frames_of(order, UNIT)
    palette = _palette([frame.pixels for frame in frames]) if frames[0].pixels.ndim == 3 else None
    for frame in frames:
        image = Image.fromarray(frame.pixels)
        if palette is not None:
            image = image.quantize(palette=palette, dither=Image.Dither.NONE)
        pixels = np.asarray(image.convert("RGB"))
        if last is not None and np.array_equal(last, pixels):
            durations[-1] = int(min(LONGEST, durations[-1] + frame.duration))
            continue
        images.append(image)
        durations.append(int(min(LONGEST, max(UNIT, frame.duration))))
        last = pixels
    return images, durations


def _palette(frames: Sequence[np.ndarray]) -> Any:
    """256 colours for all frames, so that none of them flickers; chosen by some of the frames."""
    from PIL import Image

    stride = -(-len(frames) // LOOKED_AT)
    some = np.concatenate([frame.reshape(-1, 1, 3) for frame in frames[::stride]])
    thin = some[:: max(1, len(some) // MOST_PIXELS)]
    return Image.fromarray(thin).quantize(256, dither=Image.Dither.NONE)
