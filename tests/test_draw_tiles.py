"""Tiles laid out for a room: the largest there are, what belongs together together, names that lie over nothing."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_gen.draw.colour_legend import entries, lay_out_plot
from tui_gen.draw.place import resize_plot
from tui_gen.draw.text import cut, width_of
from tui_gen.draw.tiles import Room, Sheet, lay_out, shortened

DIGITS = tuple("0123456789")
FRAMES = ("noise", "14 %", "29 %", "43 %", "57 %", "71 %", "86 %", "sample")
ALONE = dict(count=64, block=(1, 1))
CLASSES = dict(count=60, block=(1, 6), titles=DIGITS)
PAIRS = dict(count=32, block=(1, 2), parts=("original", "rebuilt"))
WALKS = dict(count=64, block=(8, 1), titles=DIGITS[:8], parts=FRAMES)
NAMED = dict(count=24, block=(1, 1), labels=("7", "4→9", "automobile→airplane") * 8)
SHEETS = {
    "alone": Sheet.of((8, 8), (28, 28), 1, **ALONE), "classes": Sheet.of((10, 6), (28, 28), 1, **CLASSES),
    "pairs": Sheet.of((8, 4), (28, 28), 1, **PAIRS), "walks": Sheet.of((8, 8), (28, 28), 1, **WALKS),
    "named": Sheet.of((8, 3), (28, 28), 1, **NAMED), "unknown": Sheet.of((8, 8), (28, 28), 1),
}  # fmt: skip
PIXELS = [Room(columns, rows, (10, 20), bands=6) for columns, rows in product((30, 78, 118, 198), (10, 20, 38, 58))]
TEXT = [Room(room.columns, room.rows, (1, 2), least=9.5) for room in PIXELS]


def blocks_of(sheet: Sheet) -> list[list[int]]:
    """The numbers of the tiles of every block, in the order that they have in it."""
    across, down = sheet.block
    places = list(product(range(down), range(across)))
    return [[sheet.number(block, x, y) for y, x in places] for block in range(sheet.blocks)]


def check(layout, room: Room) -> None:
    """Everything is in the room, nothing lies over anything, and no tile is there twice."""
    taken = set()
    for x, y, columns, rows in layout.boxes:
        box = {(x + across, y + down) for across in range(columns) for down in range(rows)}
        assert box and not box & taken and all(0 <= a < room.columns and 0 <= b < room.rows for a, b in box)
        taken |= box
    for word in layout.words:
        cells = {(word.x + at, word.y) for at in range(width_of(word.text))}
        assert cells and not cells & taken, word
        assert all(0 <= a < room.columns and 0 <= b < room.rows for a, b in cells), word
        taken |= cells
    seen = [number for row in layout.numbers for number in row if number >= 0]
    assert len(set(seen)) == len(seen) == layout.visible_count > 0
    assert layout.size[1] * layout.zoom <= layout.boxes[0][2] * room.cell[0] + 0.51
    assert layout.size[0] * layout.zoom <= layout.boxes[0][3] * room.cell[1] + 0.51


@pytest.mark.parametrize("room", PIXELS, ids=lambda room: f"{room.columns}x{room.rows}")
def test_tiles_are_as_large_as_any_arrangement_makes_them(room):
    layout = lay_out(SHEETS["alone"], room)
    check(layout, room)
    best = 0.0
    for columns in range(1, 65):
        rows = math.ceil(64 / columns)
        zoom = min(room.columns * 10 / (29 * columns - 1), room.rows * 20 / (29 * rows - 1))
        best = max(best, math.floor(zoom) if zoom >= 1 else zoom)
    assert layout.zoom == pytest.approx(best)
    assert [number for row in layout.numbers for number in row if number >= 0] == list(range(64))
    own = math.floor(min(room.columns * 10, room.rows * 20) / 231)
    if own >= 1 and own == layout.zoom:
        assert len(layout.xs) == 8, "the file's own grid where that is as large"


@pytest.mark.parametrize("name", SHEETS)
def test_what_belongs_together_stays_together_and_in_order(name):
    for room in PIXELS + TEXT:
        keeps_together(name, room)


def keeps_together(name: str, room: Room) -> None:
    """Whether every block of a sheet is a line in the order of the file, at least as far as it is shown."""
    sheet = SHEETS[name]
    layout = lay_out(sheet, room)
    check(layout, room)
    if not room.least:
        assert layout.visible_count == sheet.count
    if name == "unknown":
        grid = np.array(layout.numbers)
        assert np.array_equal(grid, np.arange(64).reshape(8, 8)[: len(grid), : len(grid[0])])
        return
    where = {number: (row, at) for row, line in enumerate(layout.numbers) for at, number in enumerate(line)}
    for block in blocks_of(sheet):
        found = [where[number] for number in block if number in where]
        if len(found) < 2:
            assert len(block) == 1 or not found or name != "pairs"
            continue
        steps = {(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(found)}
        assert steps in ({(0, 1)}, {(1, 0)}), (block, found)
        if name == "walks":
            assert block[0] in where and block[-1] in where, "both ends of a way"
        if steps != {(0, 1) if sheet.block[0] > 1 else (1, 0)}:
            assert layout.words, "only names tell what leads where when it is turned"


def test_names_stand_under_and_beside_what_they_name():
    layout = lay_out(SHEETS["classes"], Room(118, 36, (10, 20), bands=6))
    (x, y, _, rows), words = layout.boxes[0], layout.words
    assert len(layout.boxes) == 1 and [word.text for word in words] == list(DIGITS)
    assert {word.y for word in words} == {y + rows}
    for place, word in enumerate(words):
        middle = x + (layout.xs[place] + 14) * layout.zoom / 10
        assert abs(word.x + 0.5 - middle) <= 1
    layout = lay_out(SHEETS["walks"], Room(118, 36, (10, 20), bands=6))
    (x, y, _, rows), words = layout.boxes[0], layout.words
    beside, below = ([word for word in words if (word.y == y + rows) == under] for under in (False, True))
    assert [word.text for word in beside] == list(DIGITS[:8]) and {word.x for word in beside} == {x - 2}
    assert [word.text for word in below] == list(FRAMES)
    layout = lay_out(SHEETS["named"], Room(118, 36, (10, 20), bands=6))
    assert len(layout.boxes) == 3 and len(layout.words) == 24
    for strip, (_, y, _, rows) in enumerate(layout.boxes):
        assert {word.y for word in layout.words[8 * strip : 8 * strip + 8]} == {y + rows}
        assert rows * 20 // 6 * 6 >= layout.size[0] * layout.zoom, "no band of a sixel reaches into the names"


def test_the_last_name_of_a_row_needs_no_blank_after_it():
    sheet = Sheet.of((8, 8), (8, 8), 1, count=64, block=(8, 1), parts=FRAMES)
    for columns in range(48, 120):
        layout = lay_out(sheet, Room(columns, 34, (8, 15), bands=6))
        texts = [word.text for word in layout.words]
        wide = round((layout.xs[7] + 8) * layout.zoom / 8) - round(layout.xs[7] * layout.zoom / 8)
        assert not texts or texts[-1] == FRAMES[-1][:wide]
        check(layout, Room(columns, 34, (8, 15), bands=6))


def test_names_that_cost_too_much_are_left_out():
    assert lay_out(SHEETS["named"], Room(78, 20, (10, 20))).words
    assert not lay_out(SHEETS["named"], Room(30, 5, (10, 20))).words
    narrow = Sheet.of((30, 1), (8, 8), block=(1, 1), labels=("automobile",) * 30)
    assert not lay_out(narrow, Room(60, 2, (10, 20))).words  # two cells would tell nothing
    assert not lay_out(SHEETS["walks"], Room(3, 2)).words


@pytest.mark.parametrize(
    ("cells", "tile", "seen"),
    [((40, 20), 28, (4, 4)), ((224, 112), 28, (8, 8)), ((120, 60), 28, (8, 8)), ((3, 2), 28, (1, 1)),
     ((58, 40), 8, (8, 8)), ((40, 10), 28, (4, 2))],
)  # fmt: skip
def test_text_shows_as_many_tiles_as_can_be_made_out(cells, tile, seen):
    room = Room(*cells, least=min(9.5, 0.75 * tile))
    layout = lay_out(Sheet.of((8, 8), (tile, tile)), room)
    assert (len(layout.xs), len(layout.numbers)) == seen
    assert lay_out(Sheet.of((8, 8), (tile, tile), 0, **ALONE), room).visible_count >= seen[0] * seen[1]


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)), st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(0, 3), st.tuples(st.integers(0, 9), st.integers(0, 9)), st.integers(0, 81),
    st.tuples(st.integers(1, 150), st.integers(1, 60)), st.sampled_from([(1, 2), (10, 20), (7.5, 17), (6, 13)]),
    st.tuples(*[st.booleans()] * 3), st.sampled_from([(True, 1, 0.0), (False, 1, 0.0), (True, 6, 0.0), (True, 1, 9.5)]),
)  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_any_sheet_has_a_place_in_any_room(grid, tile, gap, block, count, cells, cell, named, how):
    names = [("a", "ein langer Name", "日本語", "") * 21 if there else () for there in named]
    room = Room(*cells, cell, how[0], how[1], min(how[2], 0.75 * min(tile)))
    sheet = Sheet.of(grid, tile, gap, count=count, block=block, titles=names[0], parts=names[1], labels=names[2])
    check(lay_out(sheet, room), room)


@pytest.mark.parametrize(
    ("name", "width", "text"),
    [("seven", 9, "seven"), ("seven", 3, "sev"), ("4→9", 3, "4→9"), ("cat→automobile", 9, "cat→autom"),
     ("automobile→cat", 9, "autom→cat"), ("airplane→automobile", 8, "air→auto"), ("日本→中国", 5, "日→中"),
     ("a→b", 2, "a→")],
)  # fmt: skip
def test_names_are_cut_to_their_width(name, width, text):
    assert shortened(name, width) == text and width_of(text) <= width


def test_wide_characters_are_cut_whole():
    assert cut("日本語", 5) == "日本" and cut("abc", 0) == "" and cut("e\u0301e", 1) == "e\u0301"


# -- plots

LEGEND = [(f"#{level:02x}0000", f"class {level}") for level in range(10)]
AXES = [("1st", -2.5, 2.5), ("2nd", -1e-7, 12345.0)]


def test_a_legend_names_colours_and_axes():
    lines = entries(LEGEND, AXES)
    assert lines[0] == ("#000000", "class 0") and lines[10] == ("", "")
    assert lines[11:] == [("", "1st -2.5 to 2.5"), ("", "2nd -1e-07 to 1.23e+04")]
    assert entries(LEGEND, AXES, sign=lambda colour: "#*"[colour > "#05"]) == lines[11:], "two of one look say nothing"
    assert entries(LEGEND, AXES, sign=lambda colour: colour[2]) == [
        *(("", f"{level} class {level}") for level in range(10)), *lines[10:],
    ]  # fmt: skip
    assert entries([], []) == []


@pytest.mark.parametrize("room", PIXELS, ids=lambda room: f"{room.columns}x{room.rows}")
def test_a_plot_fills_its_room_with_its_legend_beside_it_or_below(room):
    room = Room(room.columns, room.rows, room.cell, whole=False)
    two = Sheet.of((2, 1), (160, 160), 1, block=(2, 1), parts=("real", "generated"))
    for sheet in (Sheet.of((1, 1), (160, 160)), two):
        layout = lay_out_plot(sheet, room, entries(LEGEND, AXES))
        check(layout, room)
        alone = lay_out(sheet, room)
        assert layout.zoom >= 0.65 * alone.zoom and layout.visible_count == alone.visible_count
        if room.rows >= 20 and room.columns >= 78:
            texts = [word.text for word in layout.words]
            assert "class 0" in texts and "1st -2.5 to 2.5" in texts
            marks = [word.colour for word in layout.words if word.colour]
            assert marks == [colour for colour, _ in LEGEND]


def test_a_legend_that_is_too_long_says_how_much_is_missing():
    many = entries([("#aabbcc", f"the class with number {at}") for at in range(90)], AXES)
    layout = lay_out_plot(Sheet.of((1, 1), (160, 160)), Room(118, 20, (10, 20), whole=False), many)
    assert any(word.text.startswith("… ") and word.text.endswith(" more") for word in layout.words)


def test_dots_keep_their_colour_when_a_plot_shrinks_and_all_pixels_when_it_grows():
    plot = np.full((160, 160, 3), 16, np.uint8)
    plot[10, 10] = (255, 170, 40)
    plot[50:52, 90:92] = (55, 126, 184)
    plot[50, 90] = (228, 26, 28)
    small = resize_plot(plot, 40, 33)
    assert small.shape == (40, 33, 3) and tuple(small[2, 2]) == (255, 170, 40)
    assert (55, 126, 184) in {tuple(one) for one in small.reshape(-1, 3)}
    assert {tuple(one) for one in small.reshape(-1, 3)} <= {tuple(one) for one in plot.reshape(-1, 3)}
    large = resize_plot(plot, 400, 250)
    assert large.shape == (400, 250, 3) and {tuple(one) for one in large.reshape(-1, 3)} == {
        tuple(one) for one in plot.reshape(-1, 3)
    }
    rng = np.random.default_rng(0)
    heat = rng.integers(0, 255, (64, 64, 3), np.uint8)
    assert resize_plot(heat, 16, 16).shape == (16, 16, 3) and resize_plot(heat, 64, 64) is heat
    assert resize_plot(plot[..., 0], 7, 9).shape == (7, 9)
