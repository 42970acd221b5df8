"""What is read stays readable with as few colours as the terminal has: the one place where colours are brought to them.

Every widget's lines go through here, whoever drew them. With 256 colours each becomes the nearest there is, and text is
moved on, lighter or darker, until it has on its ground what contrast it needs. With 16 nobody knows how the terminal
shows them: what is chosen has the contrast in every one of PALETTES. A theme of the terminal's own colours is held to
the same. Without colours (NO_COLOR) what has a ground of its own is reversed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from rich.color import Color as RichColor
from rich.color import ColorSystem, ColorType
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

from tui_gen.app.shell.legibility import BLACK, REST, VALUE, WHITE, contrast, on_the_way
from tui_gen.draw.text import is_line_art

PALETTES = {
    "vga": "000000 aa0000 00aa00 aa5500 0000aa aa00aa 00aaaa aaaaaa "
    "555555 ff5555 55ff55 ffff55 5555ff ff55ff 55ffff ffffff",
    "xterm": "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 "
    "7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff",
    "windows": "0c0c0c c50f1f 13a10e c19c00 0037da 881798 3a96dd cccccc "
    "767676 e74856 16c60c f9f1a5 3b78ff b4009e 61d6d6 f2f2f2",
    "tango": "000000 cc0000 4e9a06 c4a000 3465a4 75507b 06989a d3d7cf "
    "555753 ef2929 8ae234 fce94f 729fcf ad7fa8 34e2e2 eeeeec",
}  # fmt: skip
"""How terminals show the 16 colours where nobody changed them; the last that knows no bright ground, Linux's console,
is one more. Who keeps other things in their place (Solarized has greys for the bright ones) reads ours as others'."""
GROUNDS = (0, 1, 2, 4, 5, 6, 7, 15)
"""Those of the 16 on which some other one has the contrast of a value in every palette."""
LEVELS = (0, 95, 135, 175, 215, 255)
"""Of the parts of the colours 16 to 231 of 256; those after them are greys, from 8 in steps of 10."""

SOLID = re.compile(r"[\s\u2580-\u259f]*")
"""Grounds and parts of cells, as pictures and bars are made of."""
Appearances = list[Color]
"""A colour as each palette shows it."""
DEFAULT = RichColor.default()
NOT_DIM, REVERSE = Style(dim=False), Style(reverse=True)
UNCOLOURED = Style(color=DEFAULT, bgcolor=DEFAULT)

_TABLES = [[Color.parse(f"#{digits}") for digits in text.split()] for text in (*PALETTES.values(), PALETTES["vga"])]
STANDARD: list[Appearances] = [list(every) for every in zip(*_TABLES)]


def _level(part: int) -> int:
    """The number of the level of the colour cube next to a part of a colour, 0 to 255."""
    return min(range(6), key=lambda level: abs(LEVELS[level] - part))


@lru_cache(8192)
def nearest_256(colour: Color) -> RichColor:
    """The nearest of the colours 16 to 255, which look alike everywhere."""
    parts = [_level(part) for part in colour.rgb]
    grey = min(23, max(0, round((sum(colour.rgb) / 3 - 8) / 10)))
    if _distance(colour, *[8 + 10 * grey] * 3) < _distance(colour, *(LEVELS[part] for part in parts)):
        return RichColor.from_ansi(232 + grey)
    return RichColor.from_ansi(16 + 36 * parts[0] + 6 * parts[1] + parts[2])


@lru_cache(8192)
def nearest_16(colour: Color, among: tuple[int, ...] = tuple(range(16))) -> RichColor:
    """The nearest of the 16, as the first of PALETTES has them."""
    return RichColor.from_ansi(min(among, key=lambda number: _distance(colour, *STANDARD[number][0].rgb)))


def _distance(colour: Color, red: float, green: float, blue: float) -> float:
    return (colour.r - red) ** 2 + (colour.g - green) ** 2 + (colour.b - blue) ** 2


class Depth(LineFilter):
    """Brings colours to a colour system.

    `own` is for themes of the terminal's own colours, whose ground is `dark` or light.
    """

    def __init__(self, system: ColorSystem, *, own: bool = False, dark: bool = True) -> None:
        super().__init__()
        self.system, self.own, self.dark = system, own, dark
        self.of_pictures = DepthOfPictures(self)
        self._cache: dict[tuple[Style, str], Style] = {}

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments in colours that there are."""
        result = []
        for text, style, control in segments:
            if style is not None and not control:
                kind = "solid" if SOLID.fullmatch(text) else "drawn" if is_line_art(text) else "text"
                style = self._of(style, kind)
            result.append(Segment(text, style, control))
        return result

    def _of(self, style: Style, kind: str) -> Style:
        result = self._cache.get((style, kind))
        if result is None:
            if len(self._cache) > 4096:
                self._cache.clear()
            result = self._cache[style, kind] = self._new(style, kind)
        return result

    def same(self, colour: Color, other: Color) -> bool:
        """Whether two grounds look the same."""
        return self.ground(colour.rich_color) == self.ground(other.rich_color)

    def ground(self, colour: RichColor) -> RichColor:
        """What becomes of the ground of text."""
        if colour.type == ColorType.TRUECOLOR:
            return self._nearest(Color.from_rich_color(colour), GROUNDS)
        if colour.type == ColorType.STANDARD and colour.number not in GROUNDS:
            return nearest_16(STANDARD[colour.number or 0][0], GROUNDS)
        return colour

    def _nearest(self, colour: Color, among: tuple[int, ...] = tuple(range(16))) -> RichColor:
        if self.system == ColorSystem.TRUECOLOR:
            return colour.rich_color
        return nearest_256(colour) if self.system == ColorSystem.EIGHT_BIT else nearest_16(colour, among)

    def _new(self, style: Style, kind: str) -> Style:
        front, back = style.color or DEFAULT, style.bgcolor or DEFAULT
        own = front.is_default, back.is_default
        if all(own) or (style.reverse and any(own)):  # reversed, a colour of text would be a ground within the row
            return style + NOT_DIM + UNCOLOURED
        if kind == "solid":
            return style + NOT_DIM + Style(color=self.ground(front), bgcolor=self.ground(back))
        if style.reverse:
            front, back = back, front
        ground = self.ground(back)
        front, bold = self._ink(style, front, back, ground, kind)
        return style + NOT_DIM + Style(color=front, bgcolor=ground, reverse=False, bold=bold)

    def _ink(
        self, style: Style, front: RichColor, back: RichColor, ground: RichColor, kind: str
    ) -> tuple[RichColor, bool | None]:
        """The colour of text (or lines) on a ground that was `back`; and whether bold, which is left out if it must."""
        colour, behind = self._shown(front, True)[0], self._shown(back)[0]
        if style.dim and not self.own:
            colour = colour.blend(behind, 0.5)
        before = VALUE if self.own else contrast(colour, behind)
        least = min(before, REST) if kind == "drawn" else min(max(before, REST), VALUE)
        grounds = self._shown(ground)
        if ground.number == 15:
            grounds[-1] = STANDARD[7][-1]
        ratios = []
        for bold in (True, False) if style.bold else (style.bold,):
            for ink in self._candidates(front, colour):
                looks = [self._shown(ink)]
                if bold and ink.type == ColorType.STANDARD and ink.number is not None and ink.number < 8:
                    looks.append(STANDARD[ink.number + 8])  # many terminals take bold for bright
                ratios.append((min(contrast(*pair) for every in looks for pair in zip(every, grounds)), ink, bold))
                if ratios[-1][0] >= least:
                    return ink, bold
        return max(ratios, key=lambda candidate: candidate[0])[1:]

    def _candidates(self, front: RichColor, target: Color) -> Iterator[RichColor]:
        """Colours for text, those like the one that is wanted first."""
        if front.type == ColorType.STANDARD:
            yield front
            yield RichColor.from_ansi((front.number or 0) ^ 8)  # the bright one for a plain one, and back
        yield from map(self._nearest, on_the_way(target))

    def _shown(self, colour: RichColor, foreground: bool = False) -> Appearances:
        """A colour as each palette has it; the terminal's own as they are likely to be."""
        if colour.type == ColorType.STANDARD:
            return list(STANDARD[colour.number or 0])
        if colour.is_default:
            plain = WHITE if foreground == self.dark else BLACK
        else:
            plain = Color(*colour.get_truecolor())
        return [plain] * len(_TABLES)


class DepthOfPictures(LineFilter):
    """The same for a widget with a picture, which keeps its colours; the widget's words and its own ground do not."""

    def __init__(self, depth: Depth) -> None:
        super().__init__()
        self.depth = depth

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments in colours that there are."""
        ground = background.rich_color
        return [
            Segment(text, self._picture(style, ground), control)
            if style is not None and SOLID.fullmatch(text)
            else self.depth.apply([Segment(text, style, control)], background)[0]
            for text, style, control in segments
        ]

    def _picture(self, style: Style, ground: RichColor) -> Style:
        return style + Style(bgcolor=self.depth.ground(ground)) if style.bgcolor == ground else style


class NoColours(LineFilter):
    """No colour at all, as NO_COLOR asks; what stands out by its ground alone is reversed."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments, in the terminal's own colours."""
        ground = background.rich_color
        return [
            Segment(text, None if style is None else _plain(style, ground), control)
            for text, style, control in segments
        ]


@lru_cache(4096)
def _plain(style: Style, ground: RichColor) -> Style:
    marked = style.bgcolor is not None and not style.bgcolor.is_default and style.bgcolor != ground
    return style + UNCOLOURED + (REVERSE if marked else Style())
