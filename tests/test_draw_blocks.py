"""Half-blocks, ASCII and resizing: every pixel where it belongs, shapes kept."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tui_gen.draw.blocks import RAMP, ascii_rows, halfblocks, luminance, to_256, to_ansi, to_ascii
from tui_gen.draw.place import as_pixels, at_cell, fit, resize

images = st.one_of(
    arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20))),
    arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))),
)


@settings(max_examples=80, deadline=None)
@given(images, st.integers(0, 30), st.integers(0, 20))
def test_halfblocks_fill_exactly_the_cells_and_keep_whole_pixels(pixels, columns, rows):
    blocks = halfblocks(pixels, columns, rows)
    text = blocks.rows()
    assert len(text) == rows and all(sum(len(t) for t, _, _ in row) == columns for row in text)
    if blocks.box.scale >= 1:  # every pixel is scale x scale equal dots
        s = int(blocks.box.scale)
        grid = np.stack([blocks.upper, blocks.lower], axis=1).reshape(2 * rows, columns)
        x, y = blocks.box.x, 2 * blocks.box.y
        part = grid[y : y + blocks.box.height, x : x + blocks.box.width]
        rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
        packed = (rgb.astype(int) * [65536, 256, 1]).sum(axis=2)
        np.testing.assert_array_equal(part, np.kron(packed, np.ones((s, s), dtype=int)))
        assert (grid >= 0).sum() == part.size


def test_runs_carry_the_colours_of_both_halves():
    pixels = np.array([[10, 10, 200], [20, 20, 200]], dtype=np.uint8)
    row = halfblocks(pixels, 3, 1).rows()[0]
    assert row == [("▀▀", (10, 10, 10), (20, 20, 20)), (" ", None, (200, 200, 200))]


def test_odd_height_leaves_the_lower_half_of_the_last_row_to_the_background():
    row = halfblocks(np.full((1, 2), 7, dtype=np.uint8), 2, 1).rows()[0]
    assert row == [("▀▀", (7, 7, 7), None)]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 80), st.integers(1, 40), st.integers(4, 20))
def test_fit_stays_inside_and_keeps_the_shape(height, width, columns, rows, cell):
    box = fit((height, width), columns, rows, (cell, 2 * cell))
    assert box.x >= 0 and box.x + box.columns <= columns
    assert box.y >= 0 and box.y + box.rows <= rows
    assert box.width <= box.columns * cell and box.height <= box.rows * 2 * cell
    assert abs(box.width - width * box.scale) <= 1 and abs(box.height - height * box.scale) <= 1


@settings(max_examples=60, deadline=None)
@given(images, st.integers(1, 40), st.integers(1, 40))
def test_resizing_keeps_range_and_mean(pixels, height, width):
    out = resize(pixels, height, width)
    assert out.shape[:2] == (height, width) and out.dtype == np.uint8
    assert out.min() >= pixels.min() and out.max() <= pixels.max()
    assert out.mean() == pytest.approx(pixels.mean(), abs=1.0)


def test_shrinking_averages_areas():
    pixels = np.array([[0, 100, 50, 50], [0, 100, 50, 150]], dtype=np.uint8)
    assert resize(pixels, 1, 2).tolist() == [[50, 75]]


def test_tall_cells_do_not_stretch_the_image():
    box = halfblocks(np.zeros((64, 64), dtype=np.uint8), 200, 16, cell=(8, 24), whole=False).box
    shape = (box.width * 8) / (box.height * 12)
    assert shape == pytest.approx(1, abs=0.1)


def test_ascii_is_monotone_in_brightness_and_blank_around_the_image():
    ramp = np.linspace(0, 255, 100).astype(np.uint8)[None].repeat(100, axis=0)
    rows = ascii_rows(ramp, 60, 20)
    assert all(len(row) == 60 and row.isascii() for row in rows)
    inside = [RAMP.index(c) for c in rows[10].strip()]
    assert inside == sorted(inside) and inside[-1] == len(RAMP) - 1
    assert ascii_rows(np.full((4, 4), 255, np.uint8), 2, 1, light=True) == ["  "]
    assert to_ascii(np.full((4, 4), 255, np.uint8), 10, 5).split() == ["@@@@@@@@@@"] * 5


def test_luminance_weighs_green_most():
    red, green, blue = (luminance(np.array([[c]], dtype=np.uint8))[0, 0] for c in np.eye(3, dtype=np.uint8) * 255)
    assert green > red > blue


def test_256_colours_are_the_nearest():
    levels = [0, 95, 135, 175, 215, 255]
    table = [(r, g, b) for r in levels for g in levels for b in levels] + [(8 + 10 * i,) * 3 for i in range(24)]
    table = np.array(table)
    rgb = np.random.default_rng(0).integers(0, 256, (400, 3))
    rgb[:100] = rgb[:100, :1]  # greys too
    found = table[to_256(rgb).astype(int) - 16]
    error = ((found - rgb) ** 2).sum(axis=1)
    best = ((table[None] - rgb[:, None]) ** 2).sum(axis=2).min(axis=1)
    np.testing.assert_array_equal(error, best)


def test_ansi_decodes_to_the_image():
    pixels = np.random.default_rng(1).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    colour, ground, seen = None, None, []
    for line in to_ansi(pixels, 5, 2).split("\n"):
        for codes, text in re.findall(r"\x1b\[([\d;]*)m([^\x1b]*)", line):
            numbers = [int(c) for c in codes.split(";")]
            while numbers:
                kind = numbers.pop(0)
                if kind in (38, 48):
                    value, numbers = tuple(numbers[1:4]), numbers[4:]
                    colour, ground = (value, ground) if kind == 38 else (colour, value)
            seen += [(colour, ground)] * len(text)
    expected = [(tuple(pixels[y, x]), tuple(pixels[y + 1, x])) for y in (0, 2) for x in range(5)]
    assert seen == expected


def test_ansi_in_256_colours_and_without_image():
    text = to_ansi(np.full((2, 2, 3), (255, 0, 0), dtype=np.uint8), 2, 1, truecolor=False)
    assert text == "\x1b[48;5;196m  \x1b[0m"
    assert to_ansi(np.zeros((0, 5), dtype=np.uint8), 10, 5) == ""


@pytest.mark.parametrize("bad", [np.zeros((2, 2), float), np.zeros((2, 2, 5), np.uint8), np.zeros(3, np.uint8)])
def test_other_arrays_are_refused(bad):
    with pytest.raises(ValueError, match="pixels must be"):
        as_pixels(bad)


def test_payloads_are_placed_with_the_cursor_restored():
    assert at_cell(2, 4, b"X") == b"\x1b7\x1b[3;5HX\x1b8"
    assert at_cell(2, 4, b"") == b""
