"""GIF: the previews of a run as an endless film, of 256 greys or colours a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tui_gen.events import Note
from tui_gen.report.exports import Order
from tui_gen.report.film import Filmed as Options
from tui_gen.report.film import check_film, frames_of

__all__ = ["Options", "check", "write"]
UNIT = 10.0
"""Milliseconds that its durations are multiples of; what is between is lost without a word."""
LONGEST = 65535 * UNIT


def write(order: Order, target: Path) -> None:
    """Greys as they are; of pictures with more than 256 colours the nearest ones."""
    images, durations = _made(order)
    if any(image.mode == "P" for image in images):
        order.tell(Note(text="a GIF has 256 colours a picture; --as apng keeps all of them"))
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
    for frame in frames_of(order, UNIT):
        image = Image.fromarray(frame.pixels)
        if frame.pixels.ndim == 3:
            image = image.quantize(256, dither=Image.Dither.NONE)
        pixels = np.asarray(image.convert("RGB"))
        if last is not None and np.array_equal(last, pixels):
            durations[-1] = int(min(LONGEST, durations[-1] + frame.duration))
            continue
        images.append(image)
        durations.append(int(min(LONGEST, max(UNIT, frame.duration))))
        last = pixels
    return images, durations
