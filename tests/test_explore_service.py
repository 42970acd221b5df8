"""What is asked of a checkpoint's latent space, answered in this process."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests import fake_worker, small_runs
from tests.explorers import InThread, frames_of
from tests.test_restore import saved
from tests.waiting import wait_for
from tui_gen import children, exploring
from tui_gen import config as configs
from tui_gen.exploring import Axes, Dots, Failure, Film, Filmed, Look, Open, Space, Spread, View
from tui_gen.train.data import denormalise
from tui_gen.train.offline.explore import walk as walking
from tui_gen.train.offline.explore.__main__ import serve
from tui_gen.train.offline.explore.service import Explorer
from tui_gen.train.offline.restore import restore
from tui_gen.train.shown import plots


@pytest.fixture(scope="module", autouse=True)
def threads_kept():
    """What decodes sets their number for its whole process, which here is that of other tests, too."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def opened(root, family, folder, **overrides):
    """An explorer that has the newest checkpoint of a small run open, what it said, and the run's model."""
    run, _ = saved(root, family, (2, 4), **overrides)
    folder.mkdir(exist_ok=True)
    explorer = Explorer(folder)
    space = explorer.answer(Open(str(run)))
    assert isinstance(space, Space), space
    return explorer, space, restore(run, device="cpu").model, run


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    return opened(folder / "runs", "vae", folder / "pictures", model__conditional=True)


def numbers(raw):
    return torch.from_numpy(np.frombuffer(raw, np.float32).copy())


def tile_of(view, number=0):
    """The pixels of a tile of a view's picture."""
    pixels = np.asarray(Image.open(view.path))
    columns, rows = view.grid
    high, wide = (pixels.shape[0] + view.gap) // rows, (pixels.shape[1] + view.gap) // columns
    row, column = divmod(number, columns)
    return pixels[row * high : (row + 1) * high - view.gap, column * wide : (column + 1) * wide - view.gap]


def decoded(model, code, label=0):
    """What the model itself makes of a code, as pixels."""
    with torch.no_grad():
        x = model.decode(numbers(code)[None], torch.tensor([label]) if model.conditional else None)
    return denormalise(x, model.value_range)[0, 0].numpy()


def asked(explorer, ask, kind=View):
    answer = explorer.answer(ask)
    assert isinstance(answer, kind), answer
    return answer


def test_a_place_is_what_the_model_decodes_there(vae):
    explorer, space, model, _ = vae
    assert (space.step, space.dimensions, space.encodes, space.normal, space.trajectory) == (4, 4, True, True, False)
    assert space.classes == space.names == tuple("0123456789")
    view = asked(explorer, Look(label=3))
    assert numbers(view.code).tolist() == [0, 0, 0, 0] and view.at == (0, 0)
    assert np.array_equal(tile_of(view), decoded(model, view.code, 3))
    there = asked(explorer, Look(code=view.code, at=(1.5, -2), axes=Axes("dimension", 3, 1), label=3))
    assert numbers(there.code).tolist() == [0, -2, 0, 1.5] and there.names == ("z3", "z1")
    assert np.array_equal(tile_of(there), decoded(model, there.code, 3))
    back = asked(explorer, Look(code=there.code, axes=Axes("dimension", 0, 3)))
    assert back.code == there.code and back.at == (0, 1.5)


def test_a_grid_has_the_corners_of_the_plane_and_classes_a_column_each(vae):
    explorer, _, model, _ = vae
    grid = asked(explorer, Look(scene="grid", count=5, label=1))
    assert grid.grid == (5, 5)
    for tile, x, y in ((0, -3, 3), (4, 3, 3), (20, -3, -3)):
        there = np.array([x, y, 0, 0], np.float32).tobytes()
        assert np.abs(tile_of(grid, tile).astype(int) - decoded(model, there, 1)).max() <= 1
    classes = asked(explorer, Look(scene="classes", code=grid.code))
    assert classes.grid[0] == 10 and classes.tiles.titles == tuple("0123456789")
    assert np.array_equal(tile_of(classes, 7), decoded(model, grid.code, 7))


def test_an_example_is_encoded_and_the_worst_come_first(vae):
    explorer, _, _, _ = vae
    dots = asked(explorer, Spread(), Dots)
    places, errors = np.frombuffer(dots.places, np.float32).reshape(-1, 2), np.frombuffer(dots.errors, np.float32)
    assert len(places) == len(errors) == len(dots.labels) // 4 > 10 and len(dots.spread) == 4
    view = asked(explorer, Look(example=5, axes=Axes("dimension", 0, 1)))
    assert np.allclose(view.at, places[5], atol=1e-5) and view.label == np.frombuffer(dots.labels, np.int32)[5]
    assert view.grid == (3, 1) and np.array_equal(tile_of(view, 1), tile_of(view, 2))  # nobody has moved yet
    error = np.square(tile_of(view, 0) / 255 - tile_of(view, 1) / 255).mean()
    assert abs(error - errors[5]) < 0.01
    worst = asked(explorer, Look(scene="errors"))
    order = np.argsort(-errors, kind="stable")
    assert worst.examples[: worst.grid[0]] == tuple(order[: worst.grid[0]])
    assert asked(explorer, Look(example=0, worst=True)).example == order[0]


def test_components_and_neighbourhoods_put_codes_where_they_say(vae):
    explorer, _, _, _ = vae
    axes = Axes("component", 0, 1)
    places = np.frombuffer(asked(explorer, Spread(axes), Dots).places, np.float32).reshape(-1, 2)
    assert np.allclose(places.mean(0), 0, atol=1e-3) and np.allclose(places.std(0, ddof=1), 1, atol=1e-3)
    assert asked(explorer, Look(axes=axes, example=2)).names == ("PC1", "PC2")
    near = np.frombuffer(asked(explorer, Spread(Axes("t-sne")), Dots).places, np.float32).reshape(-1, 2)
    view = asked(explorer, Look(axes=Axes("t-sne"), at=tuple(map(float, near[7] + 1e-4))))
    assert view.example == 7 and np.allclose(view.at, near[7])


def test_a_walk_goes_through_its_pins_and_is_written_as_a_gif(vae, tmp_path):
    explorer, _, model, _ = vae
    pins = tuple(asked(explorer, Look(draw=seed)).code for seed in range(3))
    assert len(set(pins)) == 3 and pins[0] == asked(explorer, Look(draw=0)).code
    view = asked(explorer, Look(scene="walk", pins=pins, count=8, label=2))
    assert len(view.codes) == 9 and view.codes[0] == pins[0] and numbers(view.codes[8]).allclose(numbers(pins[2]))
    assert np.array_equal(tile_of(view, 3), decoded(model, view.codes[3], 2))
    between = asked(explorer, Look(axes=Axes("pins"), pins=pins, at=(1, 0)))
    assert torch.allclose(numbers(between.code), numbers(pins[1]), atol=1e-6)
    assert np.allclose(between.pins, [(0, 0), (1, 0), (0, 1)], atol=1e-5)
    flat = asked(explorer, Look(axes=Axes("dimension", 1, 3), pins=pins[:1])).pins
    assert np.allclose(flat, [numbers(pins[0])[[1, 3]].tolist()])
    path = tmp_path / "walk.gif"
    assert asked(explorer, Film(str(path), pins[:2], 6), Filmed).frames == 12
    with Image.open(path) as film:
        assert frames_of(path) == 12 and min(film.size) >= 160 and film.info["loop"] == 0
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_a_trajectory_ends_at_the_sample_and_follows_its_guidance(world, tmp_path):
    wanted = {"model__conditional": True, "model__label_dropout": 0.2, "model__guidance": 2.0}
    explorer, space, model, _ = opened(world / "runs", "ddpm", tmp_path / "pictures", **wanted)
    assert (space.decodes, space.encodes, space.trajectory, space.guidance) == ("noise", False, True, 2.0)
    view = asked(explorer, Look(scene="trajectory", count=4, label=6))
    noise = numbers(view.code).view(1, *model.noise_shape)
    with torch.no_grad():
        sample = denormalise(model.sample(noise, torch.tensor([6])), model.value_range)[0, 0].numpy()
    assert np.array_equal(tile_of(view, 3), sample)
    assert np.array_equal(tile_of(view, 0), denormalise(noise, model.value_range)[0, 0].numpy())
    inner, strengths = explorer._restored.model, []
    way = inner.trajectory
    inner.trajectory = lambda *given: [strengths.append(inner.strength), way(*given)][1]
    for guidance in (None, 9.0, 0.0):
        asked(explorer, Look(scene="trajectory", count=4, code=view.code, label=6, guidance=guidance))
    assert strengths == [2.0, 9.0, 0.0] and inner.config.guidance == 2.0


def test_points_are_plotted_among_real_ones(world, tmp_path, monkeypatch):
    tables = {
        "name": "ring", "model": {"name": "vae", "latent": 2, "hidden": [8], "likelihood": "gaussian"},
        "dataset": {"name": "ring"}, "train": {"steps": 9, "batch_size": 16, "device": "cpu", "compile": "off"},
    }  # fmt: skip
    monkeypatch.setattr(small_runs, "tables", lambda *_, **__: tables)
    explorer, space, model, _ = opened(world / "runs", "vae", tmp_path / "pictures")
    view = asked(explorer, Look(at=(1, -1)))
    with torch.no_grad():
        x, y = model.decode(numbers(view.code)[None], None)[0].tolist()
    assert view.note == f"x = {x:+.3f}, y = {y:+.3f}" and space.dimensions == 2
    pixels, (_, left, right) = np.asarray(Image.open(view.path)), view.tiles.axes[0]
    row, column = ((pixels == 255).all(2)).nonzero()
    side = pixels.shape[0] - 1
    assert abs(left + column.mean() / side * (right - left) - x) < 0.1
    assert abs(right - row.mean() / side * (right - left) - y) < 0.1
    assert (pixels == plots.GREY).all(2).sum() > 50  # real points
    assert (np.asarray(Image.open(asked(explorer, Look(scene="grid")).path)) == plots.ORANGE).all(2).sum() > 3


@pytest.mark.parametrize("family", ["gan", "vq-vae", "autoencoder", "flow-matching", "latent-diffusion"])
def test_every_family_that_makes_examples_can_be_explored(world, tmp_path, family):
    explorer, space, _, _ = opened(world / "runs", family, tmp_path / "pictures")
    view = asked(explorer, Look())
    assert len(view.code) == 4 * space.dimensions
    moved = asked(explorer, Look(code=view.code, at=(view.span[0][1], view.span[1][1])))
    assert moved.code != view.code and moved.path != view.path
    asked(explorer, Look(scene="grid", count=3))


def test_what_cannot_be_is_said_in_one_line(world, tmp_path):
    explorer, _, _, run = opened(world / "runs", "vae", tmp_path / "pictures")

    def refused(ask, words):
        answer = explorer.answer(ask)
        assert isinstance(answer, Failure) and words in answer.words and "\n" not in answer.words
        return answer

    refused(Look(scene="walk"), "needs two pins")
    refused(Look(scene="trajectory"), "in one go")
    refused(Look(code=b"\0" * 8), "4 numbers here, this one 2")
    refused(Look(axes=Axes("pins"), pins=(b"\0" * 16,) * 2), "in one line")
    refused(Film(str(tmp_path / "none" / "a.gif"), (b"\0" * 16, b"\1" * 16)), "cannot be written: No such file")
    assert refused(Open(str(run), 3), "no checkpoint of step 3; it has 2, 4").lost
    assert refused(Look(), "no run is open").lost
    bare, _ = saved(world / "runs", "vae", ())
    refused(Open(str(bare)), "has no checkpoint yet")
    judge, _ = saved(world / "runs", "classifier")
    refused(Open(str(judge)), "nothing to explore")
    for name in ("model.safetensors", "state.pt"):
        (run / "checkpoints" / "000004" / name).write_bytes(b"cut")
        assert asked(explorer, Open(str(run)), Space).step == 2
    text = (run / "config.toml").read_text()
    (run / "config.toml").write_text(text.replace('name = "vae"', 'name = "strange"'))
    refused(Open(str(run)), "strange")


@pytest.mark.parametrize("family", ["vae", "autoencoder"])
def test_without_data_codes_can_still_be_explored(world, tmp_path, family):
    run, _ = saved(world / "runs", family)
    tables = configs.read_toml(run / "config.toml")
    tables["dataset"] = {"name": "folder", "root": str(tmp_path / "gone"), "size": 8}
    (run / "config.toml").write_text(configs.dumps(configs.load(tables, small_runs.built()[0])))
    (tmp_path / "pictures").mkdir()
    explorer = Explorer(tmp_path / "pictures")
    asked(explorer, Open(str(run)), Space)
    view = asked(explorer, Look(at=(1, -1)))
    assert view.at == (1, -1) and view.span == ((-3, 3), (-3, 3))
    for ask in (Spread(), Look(example=1), Look(axes=Axes("component")), Look(scene="errors")):
        answer = asked(explorer, ask, Failure)
        assert "the data cannot be had" in answer.words and "gone" in answer.words and not answer.lost


def test_asks_are_answered_by_number_and_garbage_ends_the_service(vae):
    explorer, _, _, _ = vae
    encoder, left = exploring.msgspec.msgpack.Encoder(), []
    whole = b""
    for ask in (exploring.Ask(7, Look()), exploring.Ask(9, Spread())):
        data = encoder.encode(ask)
        whole += exploring.LENGTH.pack(len(data)) + data
    target = io.BytesIO()
    serve(io.BytesIO(whole + exploring.LENGTH.pack(3) + b"???"), target, explorer, lambda: left.append(1), 60)
    wait_for(lambda: len(answers(target)) == 2, what="two answers")
    assert {answer.number: type(answer.what) for answer in answers(target)} == {7: View, 9: Dots}
    assert left == [1]


def answers(target):
    """The whole answers in a stream so far."""
    data, found = target.getvalue(), []
    while len(data) >= 4 and len(data) >= 4 + (size := exploring.LENGTH.unpack(data[:4])[0]):
        found.append(exploring.msgspec.msgpack.decode(data[4 : 4 + size], type=exploring.Answer))
        data = data[4 + size :]
    return found


def test_a_look_that_nobody_waits_for_is_cut_short(world, tmp_path):
    explorer, _, _, _ = opened(world / "runs", "ddpm", tmp_path / "pictures")
    inner, sizes = explorer._restored.model, []
    sample = inner.sample

    def slow(noise, labels=None):
        sizes.append(len(noise))
        explorer.hurry()
        return sample(noise, labels)

    explorer._space = replace(explorer._space, decode=slow)
    assert asked(explorer, Look(scene="grid"), Failure).hurried and len(sizes) == 1
    asked(explorer, Look())  # the next one is not in a hurry
    pins = tuple(asked(explorer, Look(draw=seed)).code for seed in range(2))
    assert asked(explorer, Film(str(tmp_path / "a.gif"), pins, 12), Filmed).frames == 24  # nor is what is to be kept


def test_nothing_asked_for_long_ends_it(tmp_path):
    process = InThread(tmp_path / "pictures", patience=0.01)
    assert process.wait(60) == 0


def test_the_command_writes_a_walk(vae, tmp_path, monkeypatch, capsys):
    _, _, _, run = vae

    def called(*words):
        monkeypatch.setattr("sys.argv", ["walk", str(run), *words])
        return walking.main(), *capsys.readouterr()

    path = tmp_path / "walk.gif"
    assert called("-o", str(path), "--pins", "3", "--frames", "4", "--label", "7") == (0, f"{path}\n", "")
    assert frames_of(path) == 16
    assert called("-o", str(path), "--examples", "1", "0", "--frames", "5", "--way", "lerp")[0] == 0
    assert frames_of(path) == 10
    for words, told in (
        (("--label", "cat"), "error: no class 'cat'; it knows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n"),
        (("--step", "3"), "error: .* has no checkpoint of step 3; it has 2, 4\n"),
    ):
        status, out, err = called("-o", str(path), *words)
        assert (status, out) == (1, "") and re.fullmatch(told, err)
    with pytest.raises(SystemExit):
        called()


def test_walk_asks_a_process_of_its_own(call, tmp_path, monkeypatch):
    run, asked = fake_worker.make_run(), []
    target = str(tmp_path / "w.gif")

    def done(command, status=0, said=""):
        asked.append(command[1:])
        return children.subprocess.CompletedProcess(command, status, f"{target}\n", said)

    monkeypatch.setattr(children.subprocess, "run", lambda command, **_: done(command))
    assert call("walk", run.name, "-o", target, "--examples", "3", "5", "--label", "2") == (0, f"{target}\n", "")
    assert asked == [[
        "-P", "-m", "tui_gen.train.offline.explore.walk", str(run), "-o", target, "--pins", "4", "--frames", "24",
        "--way", "slerp", "--seed", "0", "--examples", "3", "5", "--label", "2",
    ]]  # fmt: skip
    monkeypatch.setattr(children.subprocess, "run", lambda command, **_: done(command, 1, "noise\nerror: no data\n"))
    assert call("walk", run.name) == (1, "", "tui-gen: no data\n")
    assert call("walk", run.name, "--pins", "1")[0] == 2
