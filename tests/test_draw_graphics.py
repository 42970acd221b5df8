"""Sixel and kitty payloads, decoded again by small independent readers."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from tui_gen.draw import kitty, sixel


def decode_sixel(data: bytes) -> np.ndarray:
    """RGB in percent, int (H, W, 3), -1 where nothing was drawn; raises on anything outside the grammar."""
    body = re.fullmatch(rb'\x1bP0;1;0q"1;1;(\d+);(\d+)(.*)\x1b\\', data, re.DOTALL)
    assert body, "no complete sixel string"
    width, height = int(body[1]), int(body[2])
    canvas = np.full((-(-height // 6) * 6, width, 3), -1)
    palette, colour, x, y, end = {}, None, 0, 0, 0
    token = re.compile(rb"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|([$-])")
    for match in token.finditer(body[3]):
        assert match.start() == end, f"unknown bytes {body[3][end : match.start()]!r}"
        end = match.end()
        name, r, g, b, count, repeated, single, control = match.groups()
        if name is not None:
            colour = int(name)
            if r is not None:
                palette[colour] = (int(r), int(g), int(b))
        elif control == b"$":
            x = 0
        elif control == b"-":
            x, y = 0, y + 6
        else:
            count, bits = int(count or 1), (repeated or single)[0] - 63
            for row in range(6):
                if bits >> row & 1:
                    canvas[y + row, x : x + count] = palette[colour]
            x += count
            assert x <= width
    assert end == len(body[3])
    assert (canvas[height:] == -1).all()
    return canvas[:height]


def percent(rgb: np.ndarray) -> np.ndarray:
    return np.rint(rgb.astype(float) * (100 / 255)).astype(int)


side = st.integers(1, 40)
few_colours = st.one_of(
    arrays(np.uint8, st.tuples(side, side), elements=st.integers(0, 15).map(lambda v: v * 17)),
    arrays(np.uint8, st.tuples(st.integers(1, 14), side, st.just(3)), elements=st.sampled_from([0, 99, 255])),
)


@settings(max_examples=40, deadline=None)
@given(few_colours, st.integers(1, 3), st.integers(0, 15), st.integers(0, 15))
def test_ground_fills_the_rest_of_an_area_and_nothing_else(pixels, factor, right, below):
    height, width = pixels.shape[0] * factor, pixels.shape[1] * factor
    area = width + right, height + below
    data = sixel.encode(pixels, width, height, area=area, ground=(51, 0, 255))
    canvas = decode_sixel(data)
    assert canvas.shape[:2] == (area[1], area[0])
    alone = decode_sixel(sixel.encode(pixels, width, height))
    assert np.array_equal(canvas[:height, :width], alone)
    around = np.concatenate([canvas[:height, width:].reshape(-1, 3), canvas[height:].reshape(-1, 3)])
    assert (around == (20, 0, 100)).all()


@settings(max_examples=80, deadline=None)
@given(few_colours, st.integers(1, 5), st.integers(1, 4))
def test_sixel_decodes_to_the_very_pixels(pixels, across, down):
    height, width = pixels.shape[:2]
    found = decode_sixel(sixel.encode(pixels, width * across, height * down))
    rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    expected = percent(np.repeat(np.repeat(rgb, across, axis=1), down, axis=0))
    np.testing.assert_array_equal(found, expected)


def test_sixel_of_a_wide_plain_image_is_short_and_exact():
    data = sixel.encode(np.full((6, 12_345), 255, dtype=np.uint8))
    assert data.endswith(b"#0!12345~\x1b\\")


def test_sixel_quantises_rich_images_closely():
    y, x = np.mgrid[0:96, 0:96]
    photo = np.stack([x * 2, y * 2, (x + y)], axis=2).astype(np.uint8)
    found = decode_sixel(sixel.encode(photo, colours=64))
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= 64
    assert np.abs(found - percent(photo)).mean() < 6
    grey = decode_sixel(sixel.encode(photo[..., 0], greys=16))
    assert len(np.unique(grey)) == 16 and np.abs(grey[..., 0] - percent(photo[..., 0])).max() <= 3


def test_sixel_to_a_size_that_is_no_multiple():
    assert decode_sixel(sixel.encode(np.eye(10, dtype=np.uint8) * 255, 33, 27)).shape == (27, 33, 3)
    assert sixel.encode(np.zeros((0, 4), dtype=np.uint8)) == b""


def parse_kitty(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    commands = re.findall(rb"\x1b_G([^;\x1b]*);?([^\x1b]*)\x1b\\", data)
    assert b"".join(b"\x1b_G%b%b%b\x1b\\" % (k, b";" if v else b"", v) for k, v in commands) == data
    return [(dict(pair.split("=") for pair in keys.decode().split(",")), value) for keys, value in commands]


@settings(max_examples=20, deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 120), st.integers(1, 120))), st.integers(1, 3))
def test_kitty_carries_the_png_in_chunks(pixels, enlarge):
    commands = parse_kitty(kitty.encode(pixels, 7, 26, 13, enlarge=enlarge))
    first = commands[0][0]
    assert {k: first[k] for k in "afipcrCq"} == dict(a="T", f="100", i="7", p="1", c="26", r="13", C="1", q="2")
    assert [keys["m"] for keys, _ in commands] == ["1"] * (len(commands) - 1) + ["0"]
    assert all(len(part) == 4096 for _, part in commands[:-1]) and len(commands[-1][1]) <= 4096
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(b"".join(part for _, part in commands)))))
    np.testing.assert_array_equal(image, np.kron(pixels, np.ones((enlarge, enlarge), dtype=np.uint8)))


def test_kitty_keeps_colour_and_sends_grey_as_grey():
    colour = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert Image.open(io.BytesIO(kitty.png(colour))).mode == "RGB"
    assert Image.open(io.BytesIO(kitty.png(np.repeat(colour[..., :1], 3, axis=2)))).mode == "L"


def test_kitty_with_fewer_colours_is_close_and_smaller():
    y, x = np.mgrid[0:64, 0:64]
    rich = np.stack([x * 4, y * 4, np.random.default_rng(0).integers(0, 60, x.shape)], axis=2).astype(np.uint8)
    small = kitty.png(rich, colours=64)
    found = np.asarray(Image.open(io.BytesIO(small)).convert("RGB")).astype(int)
    assert len(np.unique(found.reshape(-1, 3), axis=0)) <= 64
    assert np.abs(found - rich).mean() < 16 and len(small) < len(kitty.png(rich)) / 2
    exact = kitty.png(np.repeat(np.repeat(rich[:4, :4], 8, axis=0), 8, axis=1), colours=64)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(exact)).convert("RGB"))[::8, ::8], rich[:4, :4])


def test_kitty_other_commands_ask_for_no_reply():
    for data in (kitty.delete(3),):
        ((keys, value),) = parse_kitty(data)
        assert keys["q"] == "2" and value == b""
    assert parse_kitty(kitty.delete(3))[0][0]["d"] == "I"
    with pytest.raises(ValueError, match="image id"):
        kitty.show(b"png", 0, 1, 1)
    assert kitty.encode(np.zeros((0, 0), dtype=np.uint8), 1, 2, 2) == b""


@pytest.mark.parametrize("kind", ["grey", "every grey", "colour", "every likely colour"])
def test_kitty_has_nothing_beyond_a_picture_that_is_padded_to_whole_cells(kind):
    pixels = {
        "grey": np.arange(12, dtype=np.uint8).reshape(3, 4) * 23,
        "every grey": np.arange(256, dtype=np.uint8).reshape(16, 16),
        "colour": np.arange(36, dtype=np.uint8).reshape(3, 4, 3),
        "every likely colour": np.array([[*kitty.UNLIKELY, (0, 0, 0), (0, 0, 1)]], np.uint8),
    }[kind]
    high, wide = pixels.shape[:2]
    data = kitty.encode(pixels, 7, 3, 2, enlarge=2, pad=(2 * wide + 5, 2 * high + 3))
    image = Image.open(io.BytesIO(base64.standard_b64decode(b"".join(re.findall(rb";([^;\x1b]*)\x1b\\", data)))))
    shown = np.asarray(image.convert("RGBA"))
    assert shown.shape == (2 * high + 3, 2 * wide + 5, 4)
    solid = np.zeros(shown.shape[:2], bool)
    solid[: 2 * high, : 2 * wide] = True
    assert np.array_equal(shown[..., 3] == 255, solid) and not shown[~solid][:, 3].any()
    wanted = np.kron(pixels if pixels.ndim == 3 else pixels[..., None].repeat(3, 2), np.ones((2, 2, 1), np.uint8))
    assert np.array_equal(shown[: 2 * high, : 2 * wide, :3], wanted)


def test_sixel_without_blending_has_only_the_colours_that_were_there():
    pixels = np.full((5, 7, 3), 16, np.uint8)
    pixels[2, 3] = (255, 255, 255)
    drawn = decode_sixel(sixel.encode(pixels, 17, 13, blend=False))
    assert drawn.shape[:2] == (13, 17) and len(np.unique(drawn.reshape(-1, 3), axis=0)) == 2
    blended = decode_sixel(sixel.encode(pixels, 17, 13))
    assert len(np.unique(blended.reshape(-1, 3), axis=0)) > 2
