"""The previews of a run, one after the other, as the frames of a film: what GIF and APNG are written from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from tui_gen.events import Note, Sample
from tui_gen.params import hyper
from tui_gen.pictures import read_png
from tui_gen.quantities import count
from tui_gen.report.exports import Order
from tui_gen.report.summary import spread
from tui_gen.runs import RunError
from tui_gen.view import RunView

USUAL = "samples"
ABOUT = 256
"""Pixels of the longer side up to which small pictures are enlarged where nobody says by how much."""
LARGEST = 400_000_000
"""Bytes that all frames together may take while a film is made."""
ROOM = 14
"""Rows of pixels below the picture in which the step is written."""


class FilmOptions(msgspec.Struct):
    """What can be chosen of a film."""

    NAMED = ("kind", "tile")
    kind: Annotated[str, hyper("which previews (default: samples, else the first kind there is)")] = ""
    tile: Annotated[int, hyper("only this tile of the grid, counted along its rows from 1; 0 is all", ge=0)] = 0
    zoom: Annotated[int, hyper("how many times as large, pixel by pixel; 0 enlarges small ones", ge=0, le=32)] = 0
    fps: Annotated[float, hyper("frames a second", ge=0.2, le=50)] = 10.0
    hold: Annotated[float, hyper("seconds for which the last frame stays", ge=0, le=60)] = 2.0
    most: Annotated[int, hyper("frames at most, evenly spread over the run", ge=1, le=5000)] = 300
    caption: Annotated[bool, hyper("write the step below each picture")] = True


@dataclass
class FilmFrame:
    """Pixels, uint8 (height, width) or (height, width, 3), and for how many milliseconds they stay."""

    pixels: np.ndarray
    duration: float


def frames_of(order: Order, unit: float) -> list[FilmFrame]:
    """The frames of a run's film, all of one size and of one number of colours, no two neighbours alike.

    Durations are whole multiples of `unit` milliseconds, chosen so that the film as a whole is as long as it should be.
    Raises RunError where there are no such previews, or too many pixels.
    """
    options, view = order.options, order.view
    kind = _kind(view, options.kind)
    pictures = list(_pictures(order, spread(_of_kind(view, kind), options.most)))
    if not pictures:
        raise RunError(f"{order.run.name} has no preview of kind {kind!r} that can be read as a picture")
    if options.tile:
        pictures = [(sample, _tile(sample, pixels, options.tile, kind)) for sample, pixels in pictures]
    height, width = (max(pixels.shape[side] for _, pixels in pictures) for side in (0, 1))
    zoom = options.zoom or max(1, round(ABOUT / max(height, width)))
    colours = 3 if any(pixels.ndim == 3 for _, pixels in pictures) else 1
    size = len(pictures) * height * width * zoom**2 * colours
    if size > LARGEST:
        words = f"{count(len(pictures))} frames of {width * zoom}×{height * zoom} pixels are too much for one film"
        raise RunError(f"{words}: choose fewer (--most), a smaller --zoom, or one --tile")
    frames = []
    for sample, pixels in pictures:
        canvas = np.zeros((height * zoom, width * zoom, 3) if colours == 3 else (height * zoom, width * zoom), np.uint8)
        large = pixels.repeat(zoom, axis=0).repeat(zoom, axis=1)
        if colours == 3 and large.ndim == 2:
            large = np.repeat(large[..., None], 3, axis=2)
        canvas[: large.shape[0], : large.shape[1]] = large
        frames.append(_captioned(canvas, f"step {count(sample.step)}") if options.caption else canvas)
    return _timed(_of_one_width(frames), 1000 / options.fps, 1000 * options.hold, unit)


def _kind(view: RunView, choice: str) -> str:
    kinds = list(dict.fromkeys(sample.kind for sample in view.samples))
    picture_kinds = list(dict.fromkeys(sample.kind for sample in view.samples if not sample.path.endswith(".txt")))
    if choice and choice in kinds and choice not in picture_kinds:
        raise RunError(f"{choice!r} are texts: a film needs pictures")
    if not picture_kinds:
        raise RunError(f"{view.path.name} has no previews" + (" but texts: a film needs pictures" if kinds else ""))
    if choice and choice not in picture_kinds:
        raise RunError(f"{view.path.name} has no previews of kind {choice!r}; it has {', '.join(picture_kinds)}")
    return choice or (USUAL if USUAL in picture_kinds else picture_kinds[0])


def _of_kind(view: RunView, kind: str) -> list[Sample]:
    """The newest preview of every step, in the order of steps."""
    by_step = {sample.step: sample for sample in view.samples if sample.kind == kind}
    return [by_step[step] for step in sorted(by_step)]


def _pictures(order: Order, samples: Sequence[Sample]) -> Iterator[tuple[Sample, np.ndarray]]:
    lost = 0
    for sample in samples:
        try:
            yield sample, read_png(order.view.file(sample.path))
        except (OSError, ValueError, SyntaxError, EOFError):
            lost += 1
    if lost:
        order.tell(Note(text=f"{count(lost)} previews could not be read and are left out", level="warning"))


def _tile(sample: Sample, pixels: np.ndarray, number: int, kind: str) -> np.ndarray:
    """One tile of a grid, cut out. Raises RunError for one that is not there."""
    columns, rows, (height, width) = sample.columns, sample.rows, sample.tile
    tiles = sample.tiles.count or columns * rows
    row, column = divmod(number - 1, max(1, columns))
    top, left = row * (height + sample.gap), column * (width + sample.gap)
    cut = pixels[top : top + height, left : left + width]
    if number > tiles or cut.shape[:2] != (height, width):
        where = f"{kind} at step {count(sample.step)}"
        raise RunError(f"{where} has {count(tiles)} tiles: there is no tile {count(number)}")
    return cut


def _captioned(canvas: np.ndarray, words: str) -> np.ndarray:
    """A picture with words in rows of their own below it: its own pixels stay as they are."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default()
    height, width = canvas.shape[:2]
    wide = max(width, int(font.getlength(words)) + 6)
    page = Image.new("RGB" if canvas.ndim == 3 else "L", (wide, height + ROOM))
    page.paste(Image.fromarray(canvas), (0, 0))
    ImageDraw.Draw(page).text((3, height + 1), words, fill=(200, 200, 200) if canvas.ndim == 3 else 200, font=font)
    return np.asarray(page)


def _of_one_width(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """All as wide as the widest: later steps have more digits."""
    width = max(frame.shape[1] for frame in frames)
    return [
        np.pad(frame, [(0, 0), (0, width - frame.shape[1]), (0, 0)][: frame.ndim]) if frame.shape[1] < width else frame
        for frame in frames
    ]


def _timed(frames: Sequence[np.ndarray], each: float, hold: float, unit: float) -> list[FilmFrame]:
    """Neighbours that are alike as one, which stays as long as both."""
    timed: list[FilmFrame] = []
    for place, pixels in enumerate(frames):
        begin, end = (round(edge * each / unit) * unit for edge in (place, place + 1))
        if timed and np.array_equal(timed[-1].pixels, pixels):
            timed[-1].duration += end - begin
        else:
            timed.append(FilmFrame(pixels, end - begin))
    timed[-1].duration += round(hold / unit) * unit
    return timed


def check_film(target: Path, form: str, frames: Sequence[Any], durations: Sequence[float]) -> None:
    """Read a film and compare it, frame by frame, with the Pillow images that it was made from. Raises ValueError."""
    from PIL import Image

    with Image.open(target, formats=[form]) as film:
        found = getattr(film, "n_frames", 1)
        if found != len(frames):
            raise ValueError(f"it has {found} frames instead of {len(frames)}")
        for number, (frame, duration) in enumerate(zip(frames, durations)):
            film.seek(number)
            if not np.array_equal(np.asarray(film.convert("RGB")), np.asarray(frame.convert("RGB"))):
                raise ValueError(f"frame {number + 1} has other pixels")
            if found > 1 and abs(film.info.get("duration", 0) - duration) > 0.5:
                raise ValueError(f"frame {number + 1} stays {film.info.get('duration', 0)} ms instead of {duration:g}")
