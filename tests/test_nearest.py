"""The training images nearest to a preview's tiles: found by the offline room, shown beside a tile of the pane."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from tests import small_runs
from tests.plot_host import Host, write_run, write_sample
from tests.test_app_samples import drive
from tui_gen.app.panes.samples.nearest import SEARCHING, NearestImages
from tui_gen.neighbours import Neighbours
from tui_gen.pictures import Tiles, read_png
from tui_gen.train.data import Resident
from tui_gen.train.offline import nearest as offline
from tui_gen.train.shown.previews import tiles

CPU = torch.device("cpu")


@pytest.fixture
def source():
    """300 colour images of noise, number 17 there twice more."""
    images = torch.randint(0, 256, (300, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    images[40] = images[299] = images[17]
    return Resident(images, torch.arange(300) % 10, CPU)


@pytest.mark.parametrize("chunk", [32 << 20, 8000], ids=["at once", "in parts"])
def test_neighbours_are_those_of_a_search_through_all(source, monkeypatch, chunk):
    monkeypatch.setattr(offline, "CHUNK_BYTES", chunk)
    some = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    queries = torch.cat([some, source.examples[17:18]])
    positions, distances, among = offline.nearest(queries, source, 6)
    apart = queries[:, None].double() - source.examples[None].double()
    every = apart.square().mean((2, 3, 4)).sqrt() / 255
    assert among == 300 and torch.equal(distances, every.sort(1).values[:, :6])
    assert torch.equal(every.gather(1, positions), distances)
    assert positions[5, :3].tolist() == [17, 40, 299] and distances[5, :3].tolist() == [0, 0, 0]


def test_of_more_than_can_be_looked_at_some_are_that_are_spread_evenly(source, monkeypatch):
    monkeypatch.setattr(offline, "MOST_BYTES", 100 * 192)
    positions, _, among = offline.nearest(source.examples[:3], source, 4)
    assert among == 100 and positions.shape == (3, 4) and set(positions.flatten().tolist()) <= {
        round(float(place)) for place in np.floor(np.linspace(0, 299, 100))
    }
    few = Resident(source.examples[:3], None, CPU)
    assert offline.nearest(source.examples[:1], few, 8)[0].tolist()[0][0] == 0, "fewer than are asked for are all"


def test_made_up_data_have_no_training_images(source):
    source.count = None
    with pytest.raises(offline.NearestError, match="made as it trains"):
        offline.nearest(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), source)


def test_a_tile_is_cut_out_as_it_was_put_in(source):
    for count, columns in ((7, 3), (1, 1)):
        grid = tiles(source.examples[:count], columns, "samples")
        cut = offline.cut_out(grid.pixels, (grid.columns, grid.rows), grid.gap, count)
        assert torch.equal(cut, source.examples[:count])


def test_the_process_finds_the_images_a_preview_was_copied_from(world, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(offline.os, "nice", lambda more: None)
    known = small_runs.built()
    monkeypatch.setattr(offline.discover, "build", lambda folders: known)
    run = small_runs.make_run(world / "runs", "vae")
    data = small_runs.trainer("vae").data
    originals, labels = data.train.take(torch.tensor([5, 90, 33, 12]))
    preview, target = run / "samples" / "a.png", tmp_path / "near.png"
    preview.write_bytes(tiles(originals, 2, "samples").png())
    words = [str(run), str(preview), "--grid", "2", "2", "--gap", "1", "-n", "4", "-o", str(target)]
    monkeypatch.setattr("sys.argv", ["nearest", *words])
    assert offline.main() == 0
    answer = msgspec.json.decode(capsys.readouterr().out, type=Neighbours)
    assert (answer.columns, answer.rows, answer.tile, answer.total) == (8, 4, (8, 8), data.train.count)
    names = [answer.tiles.name(8 * row, 8) for row in range(4)]
    assert names == [f"{data.spec.classes[label]} 0.0%" for label in labels.tolist()]
    beside = offline.cut_out(read_png(target), (8, 4), answer.gap, 32)
    assert torch.equal(beside[::8], originals)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(preview)
    assert offline.main() == 1
    assert capsys.readouterr().err == "error: the training images are grey, 8×8; these tiles are RGB, 4×4\n"


@pytest.mark.parametrize("what", [((0, 2), 1, 4), ((30, 2), 1, 4), ((2, 2), 9, 4), ((2, 2), 1, 5), ((2, 2), -1, 4)])
def test_a_grid_that_a_picture_cannot_have_is_refused(what):
    with pytest.raises(offline.NearestError, match="a picture of 17×17 pixels has no"):
        offline.cut_out(np.zeros((17, 17), np.uint8), *what)


async def test_a_tile_stands_beside_its_neighbours_until_that_ends(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", *(write_sample(tmp_path / "run", step) for step in (0, 100)))
    near = write_sample(tmp_path / "near", 0, "near", (8, 12))
    labels = tuple(f"{number % 10} {number / 10:.1f}%" for number in range(96))
    answer = Neighbours(
        str(tmp_path / "near" / near.path), 8, 12, (8, 8), 0, Tiles(count=96, block=(1, 1), labels=labels), 50, 200
    )
    asked = []
    monkeypatch.setattr(NearestImages, "_ask", lambda self, wish: asked.append(wish) or answer)
    async with drive(Host(run, "samples"), (120, 40)) as driver:
        pane = driver.pane
        await driver.press("n")
        await driver.until(lambda: "trained on" in driver.app.text(), "the neighbours")
        assert "step 100 · 2/2 · tile 1 of 12, 8×8 · among 50 of 200" in driver.caption
        assert "7 0.7%" in driver.app.text()
        await driver.press("down", "down")
        await driver.until(lambda: "6 1.6%" in driver.app.text(), "those of another tile")
        assert len(asked) == 1 and (asked[0].grid, asked[0].tiles) == ((4, 3), 12)
        assert sorted(place[4] for place in pane.picture._reply.places) == sorted([2, *range(16, 24)])
        await driver.press("left")
        await driver.until(lambda: len(asked) == 2 and "trained on" in driver.app.text(), "those of another step")
        await driver.press("end")
        assert pane._index == 1, "a live run's next preview is no reason for the next search"
        await driver.press("n")
        assert "trained on" not in driver.app.text() and not pane.nearest.on
    fault = "no nearest images: this run has points"
    monkeypatch.setattr(NearestImages, "_ask", lambda self, wish: fault)
    async with drive(Host(run, "samples"), (80, 24), notifications=True) as driver:
        await driver.press("n")
        await driver.until(lambda: fault in driver.app.text(), "why there are none")
        assert not driver.pane.nearest.on and SEARCHING not in driver.caption
