"""APNG: the previews of a run as an endless film that keeps every colour; where it is not known it shows the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tui_gen.report.exports import Order
from tui_gen.report.film import FilmOptions as Options
from tui_gen.report.film import check_film, frames_of

__all__ = ["Options", "check", "write"]
UNIT = 1.0
"""Milliseconds that its durations are multiples of."""


def write(order: Order, target: Path) -> None:
    """Eight bits a channel, as previews are."""
    images, durations = _made(order)
    images[0].save(target, "PNG", save_all=len(images) > 1, append_images=images[1:], duration=durations, loop=0)


def check(order: Order, target: Path) -> None:
    """Every frame is there, with its pixels and its time."""
    check_film(target, "PNG", *_made(order))


def _made(order: Order) -> tuple[list[Any], list[float]]:
    from PIL import Image

    frames = frames_of(order, UNIT)
    return [Image.fromarray(frame.pixels) for frame in frames], [frame.duration for frame in frames]
