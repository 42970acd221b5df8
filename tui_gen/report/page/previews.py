"""The previews of a run as a timeline of pictures, and of texts, within a bound on what they take."""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tui_gen.events import Sample
from tui_gen.pictures import read_png
from tui_gen.quantities import count
from tui_gen.report.page.markup import Markup, element, section, text
from tui_gen.report.summary import spread, text_lines
from tui_gen.view import RunView

BUDGET = 3_000_000
"""Characters that all pictures together may take."""
FIRST = "samples"
"""The kind of previews that comes first, and of which there are the most."""
MOST, MOST_OTHERS, MOST_KINDS = 100, 12, 24
"""Previews of the first kind, of each other kind, and kinds of them."""
WIDEST, NARROWEST = 640, 96
"""Pixels of a picture's longer side: what is larger is made smaller, and how small it may become for want of room."""
LINES = 24
"""Lines of a preview of text."""
SMALL = 320
"""Pixels up to which a picture is enlarged, pixel by pixel, to be seen."""


@dataclass
class PagePicture:
    """A preview as it is shown: pixels uint8 (height, width) or (height, width, 3)."""

    sample: Sample
    pixels: np.ndarray
    original: tuple[int, int]
    """Width and height in the run."""
    weight: int = 0
    """Bytes of its file."""
    data: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as it is shown."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def encode(self) -> None:
        """As a PNG in base64; nothing that was in the file beside the pixels."""
        from PIL import Image

        out = io.BytesIO()
        Image.fromarray(self.pixels).save(out, "PNG", compress_level=6)
        self.data = base64.b64encode(out.getvalue()).decode("ascii")

    def shrink(self, side: int) -> bool:
        """Let its longer side be no more than so many pixels; whether that changed anything."""
        from PIL import Image

        width, height = self.size
        scale = side / max(height, width)
        if scale >= 1:
            return False
        size = max(1, round(width * scale)), max(1, round(height * scale))
        self.pixels = np.asarray(Image.fromarray(self.pixels).resize(size, Image.Resampling.BOX))
        return True


@dataclass
class Strip:
    """The previews of a kind: pictures or texts, in the order of steps, and how many there are in the run."""

    kind: str
    total: int
    pictures: list[PagePicture] = field(default_factory=list)
    texts: list[tuple[Sample, list[str]]] = field(default_factory=list)
    lost: int = 0
    """How many of those that were chosen cannot be read."""

    @property
    def length(self) -> int:
        return len(self.pictures) + len(self.texts)


def strips_of(view: RunView, budget: int = BUDGET) -> list[Strip]:
    """The previews that a report has, by kind: fewer, then smaller ones, where they would take more than the budget."""
    kinds: dict[str, dict[int, Sample]] = {}
    for sample in view.samples:
        kinds.setdefault(sample.kind, {})[sample.step] = sample  # drawn again at a step: the newer one
    order = sorted(kinds, key=lambda kind: (kind != FIRST, list(kinds).index(kind)))[:MOST_KINDS]
    strips = [_read(view, kind, list(kinds[kind].values())) for kind in order]
    pictures = [picture for strip in strips for picture in strip.pictures]
    side = _side(pictures, budget)
    while True:
        for picture in pictures:
            if picture.shrink(side) or not picture.data:
                picture.encode()
        total = sum(len(picture.data) for picture in pictures)
        if total <= budget:
            return strips
        if side <= NARROWEST:
            break
        longest = max(max(picture.size) for picture in pictures)
        side = max(NARROWEST, int(min(side, longest) * max(0.3, 0.95 * math.sqrt(budget / total))))
    for strip in strips:  # as small as they may be, and still too many
        share = budget * len(strip.pictures) / len(pictures)
        each = max(len(picture.data) for picture in strip.pictures) if strip.pictures else 1
        ids = {id(sample) for sample in spread([p.sample for p in strip.pictures], max(1, int(share // each)))}
        strip.pictures = [picture for picture in strip.pictures if id(picture.sample) in ids]
    return strips


def _side(pictures: Sequence[PagePicture], budget: int) -> int:
    """The longest side at which they are likely to keep the budget, by the sizes of their files."""

    def taken(side: int) -> float:
        return sum(4 / 3 * picture.weight * min(1.0, side / max(picture.size)) ** 2 for picture in pictures)

    side = WIDEST
    while side > NARROWEST and taken(side) > 0.9 * budget:
        side = max(NARROWEST, side * 9 // 10)
    return side


def _read(view: RunView, kind: str, samples: list[Sample]) -> Strip:
    strip = Strip(kind, len(samples))
    for sample in spread(samples, MOST if kind == FIRST else MOST_OTHERS):
        try:
            path = view.file(sample.path)
            if sample.path.endswith(".txt"):
                if lines := text_lines(path, LINES):
                    strip.texts.append((sample, lines))
                else:
                    strip.lost += 1
                continue
            pixels = read_png(path)
        except (OSError, ValueError, SyntaxError, EOFError):
            strip.lost += 1
            continue
        weight = os.path.getsize(path)
        strip.pictures.append(PagePicture(sample, pixels, (pixels.shape[1], pixels.shape[0]), weight))
    return strip


def previews(strips: Iterable[Strip], store: Callable[[str], str], words: Callable[[str], str]) -> Markup:
    """The section with all of them. `store` keeps a picture's data for later and gives what stands for it; `words` is
    what becomes of a text that a model wrote.
    """
    parts = []
    for strip in strips:
        if not strip.length:
            continue
        figures = [_picture(picture, store) for picture in strip.pictures]
        figures += [_text(sample, [words(line) for line in lines]) for sample, lines in strip.texts]
        parts.append(element("h3", strip.kind))
        if notes := _notes(strip):
            parts.append(element("p", notes, class_="note"))
        box = {"tabindex": "0", "role": "region", "aria_label": f"{strip.kind} over the steps of the run"}
        parts.append(element("div", *figures, class_="strip", **box))
    if not parts:
        return Markup("")
    hint = "From the first to the last; scroll sideways. A click, or Tab, enlarges one."
    return section("Previews", element("p", hint, class_="note screen"), *parts, name="previews")


def _notes(strip: Strip) -> str:
    """What is not as it is in the run."""
    notes = []
    if strip.length < strip.total:
        notes.append(f"{count(strip.length)} of {count(strip.total)} previews, evenly spread")
    if strip.lost:
        notes.append(f"{count(strip.lost)} could not be read")
    smaller = [picture for picture in strip.pictures if picture.size != picture.original]
    if smaller:
        now, was = (f"{width}×{height}" for width, height in (smaller[-1].size, smaller[-1].original))
        notes.append(f"made smaller to keep this file small ({now} pixels of {was})")
    return f"{'; '.join(notes)}." if notes else ""


def _picture(picture: PagePicture, store: Callable[[str], str]) -> Markup:
    sample = picture.sample
    width, height = picture.size
    tiles = sample.columns * sample.rows
    what = f", {count(tiles)} tiles" if tiles > 1 else ""
    alt = f"{sample.kind} at step {count(sample.step)}{what}"
    zoom = max(1, SMALL // max(width, height, 1))
    image = element(
        "img", src=Markup(store(picture.data)), alt=alt, width=width * zoom, height=height * zoom,
        class_="pixels" if zoom > 1 else None,
    )  # fmt: skip
    caption = element("figcaption", f"step {count(sample.step)}", *_legend(sample))
    return element("figure", image, caption, tabindex="0")


def _legend(sample: Sample) -> list[Markup]:
    """The colours of a plot with what they mean."""
    return [
        element("span", element("i", class_="key", style=f"background:{colour}"), text(meaning), class_="colour")
        for colour, meaning in sample.tiles.legend
    ]


def _text(sample: Sample, lines: list[str]) -> Markup:
    caption = element("figcaption", f"step {count(sample.step)}")
    return element("figure", element("pre", "\n".join(lines)), caption, tabindex="0", class_="text")
