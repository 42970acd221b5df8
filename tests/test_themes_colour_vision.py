"""Two themes for every kind of colour vision: what is well, a warning, an error and plain text stay apart."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from textual.color import Color

from tui_gen import themes
from tui_gen.app.shell import legibility
from tui_gen.app.shell.themes import read_theme

SIMULATED = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
"""Linear RGB as it is seen, at full severity (Machado, Oliveira & Fernandes 2009)."""
FOLDER = Path(themes.__path__[0])


def lab(colour, sight):
    """CIE L*a*b* (D65) of a colour as it is seen."""
    parts = (part / 255 for part in (colour.r, colour.g, colour.b))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    if sight:
        rows = SIMULATED[sight]
        sums = (sum(weight * part for weight, part in zip(row, linear, strict=True)) for row in rows)
        linear = [min(1.0, max(0.0, total)) for total in sums]
    red, green, blue = linear
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    fx, fy, fz = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def least_difference(name, sight):
    """The smallest ΔE*ab (1976) between two of a theme's four colours of meaning."""
    theme = read_theme(FOLDER / f"{name}.toml")
    colours = [Color.parse(getattr(theme, part)) for part in ("success", "warning", "error", "foreground")]
    seen = [lab(colour, sight) for colour in colours]
    return min(sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in combinations(seen, 2))


@pytest.mark.parametrize("sight", ["", *SIMULATED])
@pytest.mark.parametrize("name", ["bluegold", "bluegold-light"])
def test_meanings_stay_apart_however_colours_are_seen(name, sight):
    assert least_difference(name, sight) >= 20  # 2.3 is just noticed; a red and green theme comes below 10


def test_there_is_a_theme_for_every_room():
    ours = [read_theme(path) for path in FOLDER.glob("*.toml")]
    assert len(ours) >= 10
    assert sum(not theme.dark for theme in ours) >= 3
    for name in ("contrast", "contrast-light"):
        theme = read_theme(FOLDER / f"{name}.toml")
        assert legibility.contrast(Color.parse(theme.foreground), Color.parse(theme.background)) > 15
