"""Previews held against each other: what there is to compare with, what differs, and where two of them go."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.plot_host import write_run, write_sample
from tui_gen.app.panes.samples.comparing import Comparison
from tui_gen.app.panes.samples.imaging import PictureRequest, Subject, make
from tui_gen.app.panes.samples.sight import Sight
from tui_gen.draw import heat
from tui_gen.pictures import Tiles
from tui_gen.view import RunView

GREY = np.array([[0, 10], [200, 255]], np.uint8)


@pytest.mark.parametrize(
    ("before", "apart"),
    [
        (np.array([[0, 0], [255, 0]], np.uint8), [[0, 10], [55, 255]]),
        (np.stack([GREY, GREY + 5, GREY], -1), [[5, 5], [5, 251]]),  # 255 + 5 wraps to 4
        (GREY[..., None], [[0, 0], [0, 0]]),
    ],
    ids=["grey", "coloured", "alike"],
)
def test_the_difference_is_that_of_the_colour_that_differs_most_whichever_is_brighter(before, apart):
    assert heat.difference(GREY, before).tolist() == apart == heat.difference(before, GREY).tolist()


def test_pictures_of_two_sizes_are_not_compared():
    with pytest.raises(ValueError, match="differ in size: 2×2 and 3×2 pixels"):
        heat.difference(GREY, np.zeros((2, 3), np.uint8))


def test_heat_is_brighter_the_more_differs_and_rounding_is_dark():
    every = heat.heat(np.arange(256, dtype=np.uint8)[None])[0].astype(int)
    assert every[0].tolist() == [0, 0, 0] and every[255].tolist() == [255, 245, 180]
    luminance = every @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > -0.5).all() and luminance[255] > 200
    assert heat.heat(np.array([[1]], np.uint8)).max() < 20, "one level of 255 is no news"
    assert heat.heat(np.array([[60]], np.uint8)).tolist() == [[[255, 245, 180]]], "the most there is, is seen"


@pytest.fixture
def view(tmp_path):
    """Samples of steps 0 to 400, each step brighter by its last digit of seven; raw ones at 200 and 400."""
    some = [write_sample(tmp_path, step) for step in range(0, 401, 100)]
    some += [write_sample(tmp_path, step, "raw samples", colour=True) for step in (200, 400)]
    return RunView.read(write_run(tmp_path, *some))


def names(view, at, comparison, kind="samples"):
    history = [sample for sample in view.samples if sample.kind == kind]
    found = Sight(view, history, at, comparison).counterparts
    return [(counterpart.name, counterpart.preview.kind, counterpart.preview.step) for counterpart in found]


def test_what_there_is_to_compare_with(view):
    comparison = Comparison()
    assert names(view, 0, comparison) == []
    assert names(view, 2, comparison) == [("before", "samples", 100), ("raw", "raw samples", 200)]
    comparison.pin("A", 300)
    comparison.pin("B", 120)  # of another kind: the last one that is not after it
    expected = [("before", "samples", 100), ("A", "samples", 300), ("B", "samples", 100), ("raw", "raw samples", 200)]
    assert names(view, 2, comparison) == expected
    assert ("averaged", "samples", 400) in names(view, 1, comparison, "raw samples")
    assert ("A", "samples", 300) not in names(view, 3, comparison), "not with itself"
    comparison.pin("A", 300)
    assert comparison.pins == {"B": 120}
    comparison.pin_next(5)
    comparison.pin_next(6)
    comparison.pin_next(5)
    assert comparison.pins == {"B": 6}


def test_each_way_goes_through_what_there_is_and_then_ends(view):
    comparison, history = Comparison({"A": 0, "B": 100}), [one for one in view.samples if one.kind == "samples"]
    there = Sight(view, history, 2, comparison).counterparts
    for way, order in (("difference", ["before", "A", "B", "raw"]), ("beside", ["raw", "A", "B", "before"])):
        seen = []
        while comparison.go_on(way, there) and comparison.way:
            seen.append(comparison.name)
        assert seen == order
    comparison.go_on("difference", there)
    comparison.go_on("flicker", there)
    assert (comparison.way, comparison.name) == ("flicker", "before"), "what was compared takes turns"
    comparison.stop()
    comparison.go_on("flicker", there)
    assert [counterpart.name for counterpart in comparison.pair(history, 2, there)] == ["A", "B"]
    comparison.go_on("flicker", there)
    assert not comparison.way and not Comparison().go_on("beside", [])


def subjects(view, at, way, name, **more):
    history = [sample for sample in view.samples if sample.kind == "samples"]
    sight = Sight(view, history, at, Comparison({"A": 0}, way, name), **more)
    return tuple(sight.subjects()), sight.words(None, (0.5, 0.125))


def test_two_pictures_stand_beside_each_other_with_their_titles(view):
    for size in ((78, 20), (30, 50)):
        given, words = subjects(view, 4, "beside", "raw")
        reply = make(PictureRequest(given, *size, cell=(10, 20)))
        assert [part.title for part in given] == ["averaged", "raw"] and words.startswith("step 400 beside raw weights")
        assert [word[2] for word in reply.words] == ["averaged", "raw"]
        upper = np.frombuffer(reply.upper, "<i4").reshape(size[1], size[0])
        for (left, top, *_), coloured in zip((reply.places[0], reply.places[12]), (False, True)):
            rgb = int(upper[int(top), int(left)])
            assert (len({rgb >> 16, rgb >> 8 & 255, rgb & 255}) > 1) == coloured
        assert sorted(place[4] for place in reply.places) == sorted([*range(12)] * 2)
    given, words = subjects(view, 4, "beside", "A", tile=5)
    assert [part.title for part in given] == ["A · step 0", "step 400"] and {part.tile for part in given} == {5}


def test_of_two_that_take_turns_the_one_that_is_shown_has_its_own_number(view):
    history = [sample for sample in view.samples if sample.kind == "samples"]
    comparison = Comparison()
    comparison.go_on("flicker", comparison.counterparts(view.samples, history, 3))
    told = set()
    for comparison.turned in (False, True):
        told.add(Sight(view, history, 3, comparison).words(None, None))
    assert {words.partition(" · 4×3")[0] for words in told} == {"in turn: step 200 · 3/5", "in turn: step 300 · 4/5"}


@pytest.mark.parametrize("protocol", ["", "sixel", "kitty"])
def test_a_difference_is_a_picture_in_every_way_of_drawing(view, tmp_path, protocol):
    given, words = subjects(view, 4, "difference", "A")
    reply = make(PictureRequest(given, 40, 20, protocol, cell=(10, 20)))
    assert reply.differs == pytest.approx((1 / 255, 1 / 255)) and bool(reply.pieces) == bool(protocol)
    assert words.startswith("step 400 minus step 0: up to 50%, mean 12.5% · 5/5")
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "small.png")
    bad = Subject(given[0].path, given[0].grid, minus=str(tmp_path / "small.png"))
    assert "cannot be compared: the two differ in size" in make(PictureRequest((bad,), 40, 20)).error


@pytest.mark.parametrize(
    ("grid", "tiles", "bands", "second"),
    [
        ((4, 3), Tiles(block=(1, 1), labels=tuple("abcdefghijkl")), 3, ("e", "f", "g", "h")),
        ((3, 4), Tiles(block=(1, 2), parts=("original", "copy")), 2, ("original",) * 3 + ("copy",) * 3),
        ((4, 3), Tiles(block=(4, 1), titles=("x", "y", "z"), parts=tuple("abcd")), 3, ("y · a", "y · b")),
        ((2, 6), Tiles(block=(1, 6), titles=("cat", "dog")), 6, ("cat", "dog")),
        ((4, 3), Tiles(), 3, ()),
        ((4, 3), Tiles(count=6, block=(1, 1), labels=tuple("abcdef")), 3, ("e", "f")),
    ],
    ids=["alone", "pairs", "ways", "classes", "unknown", "few"],
)
def test_a_row_of_tiles_keeps_their_names(grid, tiles, bands, second):
    high = tiles.band(grid[1])
    assert grid[1] // high == bands
    row = tiles.of_band(1, grid)
    there = tuple(row.name(number, grid[0]) for number in range(row.count))
    assert there[: len(second)] == second and len(there) == (2 if tiles.count else grid[0] * high)
    with pytest.raises(ValueError, match="no band"):
        tiles.of_band(bands, grid)
