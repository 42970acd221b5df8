"""Which colours can be read on which, and a theme's colours moved as far as they must be for that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from textual.color import Color, ColorParseError

BLACK, GREY, WHITE, BLUE = (Color.parse(text) for text in ("#000000", "#aaaaaa", "#ffffff", "#0000aa"))
VALUE, REST = 4.5, 3.0
"""Least contrast of what is read for its content, and of everything else that is text (WCAG 2, levels AA)."""

FRAME = 1.5
"""The same of lines that only set panes apart."""
ROUNDING = 0.15
"""What the shades that widgets make of a ground may cost."""


MARKS = (
    "block-cursor-background", "input-cursor-background", "input-selection-background",
    "scrollbar", "scrollbar-hover", "scrollbar-active",
)  # fmt: skip
"""Grounds that are seen only by being other than the page's."""


def contrast(colour: Color, other: Color) -> float:
    """The contrast ratio of two colours without transparency, 1 … 21 (WCAG 2)."""
    dark, light = sorted((_luminance(colour), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@lru_cache(4096)
def _luminance(colour: Color) -> float:
    parts = (part / 255 for part in (colour.r, colour.g, colour.b))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def legible(colour: Color, grounds: Iterable[Color], least: float) -> Color:
    """A colour as near to `colour` as has at least this contrast on every ground; the best there is where none has."""
    grounds = list(grounds)

    def worst(ink: Color) -> float:
        return min(contrast(ink, ground) for ground in grounds)

    return next((ink for ink in on_the_way(colour) if worst(ink) >= least + ROUNDING), max((BLACK, WHITE), key=worst))


def on_the_way(colour: Color) -> Iterator[Color]:
    """A colour and its shades, ever darker and ever lighter, to black and white."""
    return (colour.blend(end, share / 20) for share in range(21) for end in (BLACK, WHITE))


def readable(
    variables: dict[str, str], same: Callable[[Color, Color], bool] | None = None, coloured: bool = True
) -> dict[str, str]:
    """A theme's CSS variables with `$quiet` (secondary text), `$faint` (help), `$on-panel` (text of bars), `$frame`
    (lines around panes), `$here` and `$here-style` (ground and style of the row under the cursor), and every colour of
    text moved as far as it must be to be read.

    `same` tells whether two grounds look the same on the terminal; what is marked by its ground is marked there, too.
    Without colours (not `coloured`) the row under the cursor is reversed, and of a scroll bar only the thumb is seen.

    Textual's own `$text-muted` and `$text-disabled` are no colours but shades of whatever they stand on; where the
    ground is not known they become white.
    """
    same = same or Color.__eq__
    result = dict(variables)
    try:
        background, surface, panel, foreground = (
            Color.parse(variables[name]) for name in ("background", "surface", "panel", "foreground")
        )
        primary = Color.parse(variables["primary"])
    except (ColorParseError, KeyError):
        background = Color.parse("ansi_default")
    if background.ansi is not None:  # the terminal's own colours, which nobody here knows
        plain = dict.fromkeys(("quiet", "faint", "here", "on-panel", "foreground", "frame"), "ansi_default")
        return result | plain | {"here-style": "reverse"}
    if any(ground.a < 1 for ground in (surface, panel)):
        surface, panel = (background.blend(ground, ground.a).with_alpha(1) for ground in (surface, panel))
    pages = (background, surface)
    foreground = legible(foreground, pages, VALUE)

    def apart(shade: Color) -> bool:
        return not any(same(shade, page) for page in pages)

    shades = [surface.blend(primary, share / 20) for share in range(8, 0, -1)]
    grounds = [shade for shade in shades if contrast(foreground, shade) >= 1.4 * VALUE]
    grounds += [surface.blend(foreground, share / 20) for share in range(1, 5)] + [BLUE, GREY]
    grounds = [shade for shade in grounds if coloured and apart(shade) and contrast(foreground, shade) >= REST]
    here, style = (grounds[0], "none") if grounds else (surface, "reverse")
    colours = {
        "foreground": legible(foreground, (*pages, here), VALUE),
        "here": here,
        "quiet": legible(background.blend(foreground, 0.7), (*pages, panel, here), VALUE),
        "faint": legible(background.blend(foreground, 0.5), (*pages, panel, here), REST),
        "on-panel": legible(foreground, [panel], VALUE),
        "frame": legible(Color.parse(variables["panel-lighten-2"]), pages, FRAME),
    }
    for name in ("primary", "accent", "error", "warning", "success", "secondary"):
        colours[f"text-{name}"] = legible(Color.parse(variables[f"text-{name}"]), (*pages, here), VALUE)
    for name in MARKS:
        if not apart(_over(surface, variables[name])):
            colours[name] = foreground
    if not apart(_over(surface, variables["block-cursor-blurred-background"])):
        result["block-cursor-blurred-text-style"] = "underline"
    for name in ("block-cursor", "input-cursor", "input-selection"):
        ground = colours.get(f"{name}-background") or _over(surface, variables[f"{name}-background"])
        colours[f"{name}-foreground"] = legible(ground.get_contrast_text(1.0), [ground], VALUE)
    if not coloured:
        tracks = [name for name in result if name.startswith(("scrollbar-background", "scrollbar-corner"))]
        result |= dict.fromkeys(tracks, "#00000000")
    return result | {name: colour.hex for name, colour in colours.items()} | {"here-style": style}


def _over(ground: Color, text: str) -> Color:
    """What a colour as CSS writes it (`#4c9be8 30%`) makes of a ground; the ground where it is none."""
    name, _, share = text.partition(" ")
    try:
        colour = Color.parse(name)
        part = float(share.removesuffix("%")) / 100 if share else colour.a
    except (ColorParseError, ValueError):
        return ground
    return ground.blend(colour, part).with_alpha(1)
