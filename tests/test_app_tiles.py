"""Tiles laid out anew in the samples pane: the right pixels and names in the right place, in every way of drawing."""

from __future__ import annotations

import base64
import io
import re
import sys
from itertools import pairwise, product

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from tests.plot_host import Host, write_run, write_sample
from tests.pty_terminal import KITTY, PtyTerminal
from tests.test_app_graphics import Kitty
from tests.test_app_samples import SIZES, drive
from tests.test_draw_graphics import decode_sixel
from tests.waiting import wait_for
from tui_gen import events
from tui_gen.app.panes.samples.imaging import PictureReply, PictureRequest, Subject, make
from tui_gen.draw.place import nearest
from tui_gen.draw.terminal import Terminal
from tui_gen.pictures import Tiles

CELL = (10, 20)
GRIDS = {
    "alone": ((4, 4), Tiles(count=15, block=(1, 1))),
    "classes": ((5, 3), Tiles(block=(1, 3), titles=("one", "two", "three", "four", "five"))),
    "pairs": ((4, 2), Tiles(block=(1, 2), parts=("original", "reconstruction"))),
    "walks": ((5, 3), Tiles(block=(5, 1), titles=("a", "b", "c"), parts=("noise", "25 %", "50 %", "75 %", "sample"))),
    "named": ((4, 4), Tiles(count=14, block=(1, 1), labels=tuple(f"{at}→{at + 1}" for at in range(14)))),
    "unknown": ((5, 3), Tiles()),
}


def write_tiles(path, name, tile=(12, 16), gap=1, step=0, kind=""):
    """A picture whose tile number n has the level 15 · (n + 1) all over; its event, of a kind called as it is."""
    (columns, rows), tiles = GRIDS[name]
    high, wide = tile
    pixels = np.zeros((rows * (high + gap), columns * (wide + gap)), np.uint8)
    for number in range(tiles.count or columns * rows):
        row, column = divmod(number, columns)
        top, left = row * (high + gap), column * (wide + gap)
        pixels[top : top + high, left : left + wide] = 15 * (number + 1)
    file = f"samples/{step:06d}-{name}.png"
    (path / "samples").mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[: -gap or None, : -gap or None]).save(path / file)
    grid = {"columns": columns, "rows": rows, "tile": tile, "gap": gap, "tiles": tiles}
    return events.Sample(step=step, path=file, kind=kind or name, **grid)


def asked(path, name, size, protocol=""):
    one = write_tiles(path, name)
    grid = one.columns, one.rows
    return PictureRequest((Subject(str(path / one.path), grid, None, one.gap, one.tiles),), *size, protocol, cell=CELL)


def kitty_pixels(payload: bytes) -> np.ndarray:
    """The grey levels that a transmission holds, -1 where it is transparent."""
    data = b"".join(re.findall(rb"\x1b_G[^;]*;([^\x1b]*)\x1b\\", payload))
    image = Image.open(io.BytesIO(base64.standard_b64decode(data)))
    grey, _, _, alpha = np.moveaxis(np.asarray(image.convert("RGBA")).astype(int), 2, 0)
    return np.where(alpha, grey, -1)


def screen(request: PictureRequest, reply: PictureReply) -> np.ndarray:
    """What a terminal shows, as grey levels of its pixels; -1 where nothing is drawn."""
    wide, high = CELL
    out = np.full((request.rows * high, request.columns * wide), -1)
    for payload, (x, y, columns, rows) in reply.pieces:
        if request.protocol == "sixel":
            drawn = np.rint(decode_sixel(payload)[..., 0].astype(float) * 2.55).astype(int)
        else:
            whole = kitty_pixels(payload)
            down, across = nearest(rows * high, whole.shape[0]), nearest(columns * wide, whole.shape[1])
            drawn = whole[down][:, across]
        assert drawn.shape[0] <= rows * high and drawn.shape[1] <= columns * wide
        out[y * high : y * high + drawn.shape[0], x * wide : x * wide + drawn.shape[1]] = drawn
    if not request.protocol:
        halves = np.empty((2 * request.rows, request.columns), "<i4")
        for row, data in enumerate((reply.upper, reply.lower)):
            halves[row::2] = np.frombuffer(data, "<i4").reshape(request.rows, request.columns)
        out = np.kron(np.where(halves < 0, -1, halves & 255), np.ones((10, 10), int))
    return out


@pytest.mark.parametrize("size", [(78, 19), (40, 30), (118, 36), (26, 50)], ids=str)
@pytest.mark.parametrize("protocol", ["", "sixel", "kitty"])
@pytest.mark.parametrize("name", GRIDS)
def test_every_tile_is_drawn_where_it_is_said_to_be(tmp_path, name, protocol, size):
    """In the middle of each place there is that tile, and every tile that is shown has one place."""
    request = asked(tmp_path, name, size, protocol)
    reply = make(request)
    assert not reply.error
    tiles = GRIDS[name][1]
    every = tiles.count or GRIDS[name][0][0] * GRIDS[name][0][1]
    there = sorted(number for *_, number in reply.places)
    assert there == list(range(every)) if protocol else set(there) <= set(range(every)), "all are shown"
    assert len(set(there)) == len(there) == reply.count
    pixels = screen(request, reply)
    tall, broad = (12, 16)
    zoom = max(1, int(min(right - left for left, _, right, _, _ in reply.places) * CELL[0] / (broad + 1)))
    for left, top, _, _, number in reply.places:
        for down, across in product((0.2, 0.8), (0.2, 0.8)):
            y, x = int(top * CELL[1] + zoom * tall * down), int(left * CELL[0] + zoom * broad * across)
            assert abs(pixels[y, x] - 15 * (number + 1)) <= 4, (number, pixels[y, x])
    for x, y, text, _ in reply.words:
        under = pixels[y * CELL[1] : (y + 1) * CELL[1], x * CELL[0] : (x + len(text)) * CELL[0]]
        assert (under == -1).all(), f"{text!r} lies over pixels"
    names = (*tiles.titles, *tiles.parts, *tiles.labels)
    assert all(any(name.startswith(text) for name in names) for *_, text, _ in reply.words)


@pytest.mark.parametrize("name", GRIDS)
def test_ascii_has_the_tiles_where_the_half_blocks_are(tmp_path, name):
    request = asked(tmp_path, name, (78, 19))
    reply = make(request)
    upper = np.frombuffer(reply.upper, "<i4").reshape(19, 78)
    lit = np.array([[mark != " " for mark in line] for line in reply.lines])
    assert lit.shape == (19, 78) and (lit <= (upper >= 0)).all() and lit.sum() > 200
    for left, top, _, _, number in reply.places:
        if number >= 4:  # darker ones are blanks
            assert lit[int(top) + 1, int(left) + 2], number


@pytest.mark.parametrize("protocol", ["", "sixel", "kitty"])
@pytest.mark.parametrize("name", GRIDS)
def test_a_tile_alone_is_the_one_asked_for(tmp_path, name, protocol):
    request = asked(tmp_path, name, (40, 12), protocol)
    for number in (0, 1, 7):
        one = replace(request, subjects=(replace(request.subjects[0], tile=number),))
        reply = make(one)
        pixels = screen(one, reply)
        assert reply.size == (12, 16) and not reply.words and [place[4] for place in reply.places] == [number]
        assert set(np.unique(pixels[pixels >= 0] // 5)) <= {3 * (number + 1) + off for off in (-1, 0, 1)}


@pytest.mark.parametrize("gap", [0, 1, 3])
@pytest.mark.parametrize("size", [(8, 8), (4, 3)], ids=str)
def test_every_tile_is_cut_out_whole_and_alone(tmp_path, size, gap):
    """All 64 of an 8 × 8 grid, as they are written: with gaps between tiles and none after the last."""
    path = str(tmp_path / write_sample(tmp_path, 0, grid=size, tile=8, gap=gap).path)
    count = size[0] * size[1]
    for tile in (0, 1, size[0] - 1, size[0], count // 2, count - 1):
        large = make(PictureRequest((Subject(path, size, tile, gap),), 40, 20, cell=CELL))
        seen = np.frombuffer(large.upper, "<i4")
        levels = set((seen[seen >= 0] & 255).tolist())
        assert large.size == (8, 8) and levels <= {40 + tile * 200 // count + down for down in range(8)}, tile
    for protocol in ("", "sixel", "kitty"):
        whole = make(PictureRequest((Subject(path, size, None, gap),), 120, 60, protocol, cell=CELL))
        assert whole.grid == size and whole.count == count and len(whole.places) == count
        places = sorted(whole.places, key=lambda place: place[4])
        for left, right in pairwise(places[: size[0]]):
            assert left[2] == right[0], "what lies between two tiles belongs to the first"


def test_what_a_log_says_of_a_picture_is_only_believed_where_it_can_be(tmp_path):
    """A log may be anybody's: neither a million tiles nor blocks of that size keep anybody busy."""
    path = tmp_path / "wide.png"
    Image.fromarray(np.full((1100, 1100), 90, np.uint8)).save(path)
    huge = 10**6
    for grid, tiles in (
        ((1100, 1100), Tiles(block=(1, 1))),
        ((huge, huge), Tiles(count=huge, block=(huge, huge))),
        ((4, 4), Tiles(count=huge, block=(3, 1), titles=("x",) * 50, parts=("y",) * 50)),
        ((4, 4), Tiles(block=(huge, 1), labels=("z" * 200,) * 50)),
        ((100, 100), Tiles(block=(1, 1), labels=("z" * 200,) * 10_000)),
    ):
        for protocol in ("", "sixel", "kitty"):
            reply = make(PictureRequest((Subject(str(path), grid, None, 0, tiles),), 80, 24, protocol, cell=CELL))
            assert not reply.error and reply.count >= 1 and len(reply.places) <= 10_000


# -- the pane


@pytest.fixture
def run(tmp_path):
    """A run with a preview of every arrangement."""
    path = tmp_path / "run"
    return write_run(path, *(write_tiles(path, name) for name in GRIDS))


@pytest.mark.parametrize("size", SIZES)
async def test_names_are_on_the_screen_at_every_size(run, size):
    async with drive(Host(run, "samples"), size) as driver:
        for name, words in (
            ("classes", ("one", "two", "three", "four", "five")),
            ("pairs", ("original", "recon")),
            ("walks", ("noise", "25 %", "75 %", "sample")),
            ("named", ("0→1", "13→14")),
        ):
            driver.pane.pick(name)
            await driver.settled()
            picture = driver.pane.picture
            lines = driver.app.text().split("\n")
            for x, y, text, _ in picture._reply.words:
                at = picture.content_region.offset
                assert lines[at.y + y][at.x + x :].startswith(text)
            text = "\n".join(lines[2:-2])
            assert all(word in text for word in words), text
        driver.pane.pick("alone")
        await driver.settled()
        (columns, rows), seen = driver.pane._tile_layout
        assert seen == 15 and (f"{columns}×{rows} of" if columns * rows == 15 else "15 of 16×12") in driver.caption


async def test_a_click_shows_the_tile_under_it_with_its_name_in_every_arrangement(run):
    async with drive(Host(run, "samples"), (100, 30)) as driver:
        for name, number, said in (
            ("alone", 14, "· tile 15 of 15"), ("classes", 8, "four · tile 9 of 15"),
            ("pairs", 6, "reconstruction · tile 7 of 8"), ("walks", 9, "b · sample · tile 10 of 15"),
            ("named", 13, "13→14 · tile 14 of 14"), ("unknown", 7, "1/1 · tile 8 of 15"),
        ):  # fmt: skip
            driver.pane.pick(name)
            await driver.settled()
            place = next(place for place in driver.pane.picture._reply.places if place[4] == number)
            await driver.pilot.click(driver.pane.picture, offset=(int(place[0]) + 1, int(place[1]) + 1))
            await driver.settled()
            assert said in driver.caption and driver.pane.tile == number
            seen = np.frombuffer(driver.pane.picture._reply.upper, "<i4")
            assert set((seen[seen >= 0] & 255).tolist()) == {15 * (number + 1)}
            await driver.press("escape")
    async with drive(Host(run, "samples"), (100, 30)) as driver:
        await driver.press("enter", "up")  # before the first comes the last that is there, not a black one
        assert "tile 15 of 15" in driver.caption


PLOT = Tiles(
    block=(1, 1), legend=(("#ff0000", "seven"), ("#0000ff", "\x1b[31meight")), axes=(("1st component", -2.0, 2.5),)
)


@pytest.mark.parametrize("mode", ["halfblock", "ascii"])
async def test_a_plot_is_large_with_its_legend_in_its_colours(tmp_path, mode):
    path = tmp_path / "run"
    plot = write_sample(path, 0, "codes", (1, 1), tile=160, colour=True)
    plot.tiles = PLOT
    terminal = None if mode == "halfblock" else Terminal("ascii", "", unicode=False, colour=False)
    async with drive(Host(write_run(path, plot), "samples", terminal), (80, 24)) as driver:
        picture, text = driver.pane.picture, driver.app.text()
        upper = np.frombuffer(picture._reply.upper, "<i4").reshape(20, 78)
        assert (upper >= 0).any(axis=1).all(), "as high as the pane"
        assert "1st component -2 to 2.5" in text and driver.caption == "step 0 · 1/1"
        if mode == "ascii":
            assert "seven" not in text, "a mark without its colour tells nothing"
            return
        assert "■ seven" in text and "■ eight" in text and "[31m" not in text
        at, marks = picture.content_region.offset, {}
        for x, y, _, colour in picture._reply.words:
            if colour:  # in few colours that is the nearest one
                marks[colour] = driver.app.screen.get_style_at(at.x + x, at.y + y).color
        assert list(marks) == ["#ff0000", "#0000ff"] and marks["#ff0000"] != marks["#0000ff"]


def test_pieces_between_names_come_and_go_together(tmp_path):
    path = tmp_path / "run"
    grids = (("alone", 0), ("named", 9))
    write_run(path, *(write_tiles(path, name, step=step, kind="samples") for name, step in grids))
    with PtyTerminal([sys.executable, "-m", "tests.plot_host", str(path)], 80, 24, KITTY) as terminal:

        def pieces() -> int:
            return len(Kitty(list(terminal.strings["apc"])).shown)

        def all_there() -> bool:
            rows = len({line for line in terminal.text().split("\n")[2:-2] if "→" in line})
            return pieces() == rows > 1 and "0→1" in terminal.text() and "13→14" in terminal.text()

        wait_for(all_there, what=lambda: f"a piece for each row of names, not {pieces()}:\n{terminal.text()}")
        terminal.press("left")
        wait_for(lambda: pieces() == 1 and "→" not in terminal.text(), what="one piece without names")
        terminal.press("end")
        wait_for(all_there, what="the pieces again")
        terminal.press("m")
        wait_for(lambda: not pieces(), what="no picture under a dialog")
        terminal.press("escape")
        wait_for(all_there, what="the pieces after the dialog")
        terminal.press("enter")
        wait_for(lambda: pieces() == 1 and "tile 1 of 14" in terminal.text(), what="one tile")
