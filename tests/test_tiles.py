"""What the tiles of previews are: said in the log for every model, in few words, and read back."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
import torch

from tests import small_runs
from tui_gen import events, view
from tui_gen.model import Picture
from tui_gen.pictures import Tiles
from tui_gen.train.data.sources import Data, Resident
from tui_gen.train.shown.previews import Grid, Previewer, frame_names, scattered

DIGITS = tuple("0123456789")


def previews(family, count=64, dataset=None, **values):
    """The pictures of a small run's previews, by kind, each with the event that tells of it."""
    given = {f"model__{key}": value for key, value in values.items()}
    if dataset:
        given["dataset"] = {"name": dataset}
    trainer = small_runs.trainer(family, **given)
    drawn = Previewer(trainer.model, trainer.data, torch.device("cpu"), count, 0).draw(trainer.eval_model)
    found = {}
    for one in drawn:
        if isinstance(one, Grid):
            told = events.decode(events.encode(one.event(5, f"samples/{one.kind}.png")))
            assert told.tiles == one.tiles, "nothing is lost on the way"
            found[one.kind] = one
    return found


def check(grid):
    """Every name has its place: the blocks fill the grid, and there are as many names as blocks, places and tiles."""
    tiles = grid.tiles
    across, down = tiles.block
    assert grid.columns % across == grid.rows % down == 0 and 0 < tiles.count <= grid.columns * grid.rows
    blocks = grid.columns // across * (grid.rows // down)
    assert len(tiles.titles) in (0, blocks) and len(tiles.parts) in (0, across * down)
    assert len(tiles.labels) in (0, tiles.count)
    return (across, down), tiles


CASES = {
    "vae": {"samples": (1, 1), "reconstructions": (1, 2), "codes": (1, 1)},
    "vae conditional=true": {"samples": (1, 6), "reconstructions": (1, 2)},
    "autoencoder noise=gaussian": {"denoising": (1, 3), "codes": (1, 1), "anomalies": (1, 2)},
    "flow-matching conditional=true": {"samples": (1, 6), "trajectory": (8, 1)},
    "classifier": {"predictions": (1, 1), "saliency": (1, 3)},
    "vq-vae": {"samples": (1, 1), "latents": (1, 1), "codes": (1, 3)},
}


@pytest.mark.parametrize("case", CASES)
def test_every_preview_says_what_belongs_together_and_what_it_is_called(case):
    family, *values = case.split()
    given = {key: {"true": True}.get(value, value) for key, value in (one.split("=") for one in values)}
    found = previews(family, **given)
    blocks = {kind: check(grid)[0] for kind, grid in found.items()}
    assert blocks.items() >= CASES[case].items()
    named = {kind: one.tiles for kind, one in found.items()}
    if given.get("conditional"):
        assert named["samples"].titles == DIGITS and named["samples"].count == 60
        assert named["samples"].name(13, 10) == "3" and named["samples"].name(59, 10) == "9"
    if "reconstructions" in named:
        assert named["reconstructions"].name(3, 8) == "original"
        assert named["reconstructions"].name(11, 8) == "reconstruction"
    if "trajectory" in named:
        assert named["trajectory"].name(0, 8) == "0 · noise" and named["trajectory"].name(63, 8) == "7 · sample"
    if "codes" in named and family != "vq-vae":
        assert [words for _, words in named["codes"].legend] == list(DIGITS) and named["codes"].plot
        assert [low for _, low, _ in named["codes"].axes] == [-high for _, _, high in named["codes"].axes]
    if family == "classifier":
        labels = named["predictions"].labels
        assert any("→" in one for one in labels) and all(set(one.split("→")) <= set(DIGITS) for one in labels)
        assert named["saliency"].titles == labels[: len(named["saliency"].titles)]


def test_points_have_legends_and_axes_that_reach_as_far_as_their_plots():
    found = previews("flow-matching", 9, "moons", hidden=[8])
    for kind, one in found.items():
        _, tiles = check(one)
        assert tiles.plot and len(tiles.legend) in (2, 3), kind
        assert tiles.axes == found["samples"].tiles.axes and tiles.axes[0][2] > 0
        colours = {"#" + bytes(rgb).hex() for rgb in one.pixels.reshape(-1, 3).tolist()}
        # the ramps' ends may be reached by no pixel; what a scatter's legend names is there
        assert kind in ("density", "paths") or colours >= {one for one, _ in tiles.legend}
    assert found["trajectory"].tiles.labels == frame_names(8) and found["density"].tiles.parts == ("real", "generated")


def test_fewer_samples_than_classes_or_places_are_each_for_itself():
    few = check(previews("vae", 9, conditional=True)["samples"])
    assert few == ((1, 1), Tiles(count=9, block=(1, 1), labels=tuple("012345678")))
    odd = previews("vae", 50)["samples"]
    assert check(odd) == ((1, 1), Tiles(count=50, block=(1, 1))) and (odd.columns, odd.rows) == (8, 7)


def test_frames_are_called_by_their_share_of_the_way():
    assert frame_names(4) == ("noise", "33 %", "67 %", "sample")
    assert frame_names(2) == ("noise", "sample") and frame_names(1) == ("sample",)


def test_names_are_cut_so_that_the_log_keeps_the_preview():
    """Classes may be called like whole sentences, and a line of the log has its length."""
    long = Tiles(block=(1, 1), titles=("ä" * 300,) * 10, labels=("x" * 150,), legend=(("#000000", "y" * 300),))
    short = long.brief()
    assert short.titles == ("ä" * 60,) * 10 and short.labels == ("x" * 60,) and len(short.legend[0][1]) == 60
    many = Tiles(block=(1, 1), labels=tuple(f"{number} of many classes" for number in range(1024)))
    assert many.brief().labels[1023] == "1023 of many"
    assert Tiles(labels=("日本語" * 30,) * 1024).brief().labels == ()
    for tiles in (long, many):
        line = events.encode(events.Sample(step=1, path="a.png", tiles=tiles.brief()))
        assert len(line) < events.LONG and events.decode(line).tiles == tiles.brief()
    odd = Tiles(labels=("caf\udce9",)).brief()
    assert events.decode(events.encode(events.Sample(step=1, path="a", tiles=odd))).tiles.labels == ("caf?",)


def test_axes_of_a_run_that_diverged_do_not_lose_its_preview():
    tiles = Tiles(axes=(("x", -math.inf, math.inf), ("y", math.nan, 1.0), ("z", 0.0, 1.0))).brief()
    assert tiles.axes == (("z", 0.0, 1.0),)


def test_a_reader_gets_names_that_a_terminal_does_not_obey():
    evil = Tiles(titles=("a\x1b]0;mine\x07b",), labels=("x\ny", "\x9b31m"), axes=(("\x1b[2J", 0.0, 1.0),))
    found = view.readable(events.Sample(step=1, path="a.png", tiles=evil)).tiles
    assert found == Tiles(titles=("ab",), labels=("x y", ""), axes=(("", 0.0, 1.0),))


@pytest.mark.parametrize("tiles", [Tiles(block=(-1, 1)), Tiles(legend=(("red", "x"),)), Tiles(count="many")], ids=str)
def test_a_model_of_ones_own_hears_what_cannot_be(tiles):
    with pytest.raises(msgspec.ValidationError, match="Expected"):
        tiles.brief()


def test_a_log_of_an_older_version_has_tiles_of_which_nothing_is_known():
    old = {"type": "sample", "t": 1.0, "step": 5, "path": "samples/5.png", "kind": "samples", "columns": 8, "rows": 8}
    told = events.decode(msgspec.json.encode(old | {"tile": [28, 28], "gap": 1}))
    assert told.tiles == Tiles() and told.tiles.name(9, 8) == "" and not told.tiles.plot
    assert Picture("mine", torch.zeros(4, 1, 2, 2), 2).tiles == Tiles()


def test_a_tile_has_the_names_of_its_block_its_place_and_its_own():
    tiles = Tiles(block=(2, 2), titles=("a", "b", "c", "d"), parts=("1", "2", "3", "4"), labels=tuple("qwertyuiop"))
    grid = np.array([[tiles.name(row * 4 + column, 4) for column in range(4)] for row in range(4)])
    assert grid[0, 0] == "a · 1 · q" and grid[1, 2] == "b · 3 · u" and grid[2, 1] == "c · 2 · p"
    assert grid[3, 3] == "d · 4"


def test_panels_that_show_the_first_few_examples_show_some_of_every_class():
    """What is read from folders is sorted by class, and every model's panels begin with the first of what is given."""
    trainer = small_runs.trainer("gan")
    classes = torch.arange(10).repeat_interleave(100)
    source = Resident(torch.rand(1000, *trainer.data.spec.shape).mul(255).to(torch.uint8), classes, torch.device("cpu"))
    data = Data(trainer.data.spec, source, source)
    for spread, first in ((True, set(range(10))), (False, {0})):
        seen = []
        trainer.model.panels = lambda given, seen=seen: seen.append(given.labels) or []
        previewer = Previewer(trainer.model, data, torch.device("cpu"), 9, 0, lambda spread=spread: spread)
        previewer.draw(trainer.model)
        assert set(seen[0][:14].tolist()) == first and seen[0].bincount().tolist() == [100] * 10


@pytest.mark.parametrize("count", [0, 1, 2, 7, 13, 256, 1000])
def test_scattered_places_are_all_places_and_lie_evenly_from_the_beginning(count):
    order = scattered(count)
    assert sorted(order.tolist()) == list(range(count))
    for some in (count // 10, count // 3):
        if some > 3:
            gaps = torch.cat([order[:some].sort().values, torch.tensor([count])]).diff()
            assert gaps.max() < 3.2 * count / some
