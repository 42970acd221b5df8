"""The built-in datasets: what they hold, how they are split, limited, resized and recoloured."""

import subprocess
import sys

import pytest
import torch

from tests.known import DATASETS, dataset
from tui_gen.config import DatasetTable
from tui_gen.events import Note
from tui_gen.train import discover
from tui_gen.train.data import DataError, dataset_of, denormalise, fixed_batches, keyed_random, load, normalise
from tui_gen.train.data.images import limited, recolour, resize, split

CPU = torch.device("cpu")
POINTS = ["ring", "moons", "swiss-roll", "gaussian"]


def everything(source, limit=None):
    raw, labels = source.take(torch.arange(limit or source.count))
    return raw, labels


@pytest.mark.parametrize("name", ["digits", "shapes", *POINTS])
def test_spec_matches_the_catalogue(name):
    entry = DATASETS[name]
    data = load(dataset(name=name), CPU, seed=0)
    assert data.spec.name == name and data.spec.kind == entry.kind
    assert list(data.spec.classes) == entry.classes
    size, channels = entry.default_size, entry.channels
    assert data.spec.shape == ((2,) if entry.kind == "points" else (channels, size, size))
    raw, labels = data.train.take(torch.arange(500))
    assert raw.shape == (500, *data.spec.shape)
    assert raw.dtype == (torch.float32 if entry.kind == "points" else torch.uint8)
    if entry.classes:
        assert labels.dtype == torch.int64 and set(labels.tolist()) == set(range(len(entry.classes)))
    else:
        assert labels is None
    held, _ = everything(data.validation)
    assert held.shape == (data.validation.count, *data.spec.shape)


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    known = load_digits()
    data = load(dataset(name="digits", validation=0), CPU, seed=0)
    raw, labels = everything(data.train)
    assert data.validation is None and data.spec.count == 1797
    assert torch.equal(labels, torch.from_numpy(known.target).long())
    assert torch.equal((raw.view(1797, 64).double() / 255 * 16).round(), torch.from_numpy(known.data))


def test_digits_found_through_scikit_learn_when_the_file_moved(monkeypatch):
    from tui_gen.train.data.sets import digits

    (direct,) = digits.Digits(digits.Digits.Config()).read(print)

    def missing(*_, **__):
        raise FileNotFoundError("moved")

    monkeypatch.setattr(digits.gzip, "open", missing)
    import sklearn.datasets

    class Known:
        data, target = direct[0].view(-1, 64).double().mul(16 / 255).round().numpy(), direct[1].numpy()

    monkeypatch.setattr(sklearn.datasets, "load_digits", lambda: Known)
    (again,) = digits.Digits(digits.Digits.Config()).read(print)
    assert torch.equal(again[0], direct[0]) and torch.equal(again[1], direct[1])


def test_digits_need_neither_torchvision_nor_scikit_learn_nor_pandas():
    code = (
        "import sys, torch; from tui_gen.train import data; from tui_gen.train.data.sets.digits import Digits\n"
        "data.load(Digits(Digits.Config()), torch.device('cpu'), seed=0)\n"
        "print([m for m in ('torchvision', 'sklearn', 'pandas', 'scipy', 'textual') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("size", [0, 8, 16, 32, 20])
@pytest.mark.parametrize("channels", ["auto", "grey", "rgb"])
def test_digits_at_any_size_and_colour(size, channels):
    data = load(dataset(name="digits", size=size, channels=channels), CPU, seed=0)
    depth, wanted = 3 if channels == "rgb" else 1, size or 8
    raw, _ = everything(data.train)
    assert data.spec.shape == (depth, wanted, wanted) and raw.dtype == torch.uint8
    assert raw.min() == 0 and raw.max() >= 250
    assert (raw == raw[:, :1]).all()


def test_enlarged_digits_keep_their_mean_and_their_look():
    small = everything(load(dataset(name="digits"), CPU, seed=0).train)[0].float()
    large = everything(load(dataset(name="digits", size=16), CPU, seed=0).train)[0].float()
    assert (torch.nn.functional.avg_pool2d(large, 2) - small).abs().mean() < 12


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_split_is_disjoint_complete_stratified_and_the_same_for_every_seed(share):
    data = [load(dataset(name="digits", validation=share), CPU, seed=seed) for seed in (0, 1)]
    assert torch.equal(data[0].train.examples, data[1].train.examples)
    labels = torch.arange(1797) % 10
    kept, held = split(labels, 1797, share)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(1797))
    assert len(held) == round(1797 * share) == data[0].validation.count
    of_class = torch.bincount(labels[held], minlength=10) / torch.bincount(labels)
    assert (of_class - share).abs().max() < 0.01


@pytest.mark.parametrize("count,share,held", [(1, 0.9, 0), (2, 0.01, 1), (2, 0.9, 1), (10, 0.0, 0)])
def test_split_of_very_few_examples_leaves_something_to_train_on(count, share, held):
    kept, validation = split(None, count, share)
    assert (len(kept), len(validation)) == (count - held, held)


def test_limit_keeps_every_class_in_proportion():
    rows = limited(torch.arange(1000) % 10, 1000, 100)
    assert len(set(rows.tolist())) == 100
    assert torch.bincount(rows % 10).tolist() == [10] * 10
    data = load(dataset(name="digits", limit=100), CPU, seed=0)
    assert data.train.count + data.validation.count == 100 and data.spec.count == 90
    assert load(dataset(name="digits", limit=5000), CPU, seed=0).spec.count == 1617


@pytest.mark.parametrize("name", ["shapes", *POINTS])
def test_endless_data_is_seeded_and_differs_from_validation(name):
    config = dataset(name=name, size=16 if name == "shapes" else 0)
    first, again, other = (load(config, CPU, seed=seed) for seed in (1, 1, 2))
    assert first.spec.count is None and first.train.count is None
    raw = [one.train.take(torch.arange(64))[0] for one in (first, again, other)]
    assert torch.equal(raw[0], raw[1]) and not torch.equal(raw[0], raw[2])
    held = [everything(one.validation)[0] for one in (first, other)]
    assert torch.equal(held[0], held[1])
    assert not torch.equal(held[0][:64], raw[0])
    assert not torch.equal(first.train.take(torch.arange(64, 128))[0], raw[0])


def test_limit_makes_endless_data_finite():
    data = load(dataset(name="shapes", size=8, limit=50), CPU, seed=0)
    assert data.spec.count == data.train.count == 50


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.5])
def test_points_are_standardised(name, noise):
    points, _ = load(dataset(name=name, noise=noise), CPU, seed=3).train.take(torch.arange(100_000))
    assert points.isfinite().all()
    assert points.mean(0).abs().max() < 0.02 and (points.var(0) - 1).abs().max() < 0.02


@pytest.mark.parametrize("name,modes", [("ring", 8), ("gaussian", 25)])
def test_modes_are_equally_likely_and_apart(name, modes):
    points, labels = load(dataset(name=name), CPU, seed=0).train.take(torch.arange(20_000))
    counts = torch.bincount(labels, minlength=modes)
    assert (counts / 20_000 * modes - 1).abs().max() < 0.15
    centres = torch.stack([points[labels == mode].mean(0) for mode in range(modes)])
    assert (torch.cdist(points, centres).argmin(1) == labels).float().mean() > 0.999


def test_shapes_of_one_kind_differ_and_lie_inside_the_frame():
    raw, kinds = load(dataset(name="shapes", size=24), CPU, seed=0).train.take(torch.arange(600))
    assert (torch.bincount(kinds, minlength=6) > 60).all()
    border = torch.cat([raw[:, :, 0], raw[:, :, -1], raw[:, :, :, 0], raw[:, :, :, -1]], dim=2).amax((1, 2)).float()
    assert (border <= 0.6 * 255).all(), "no shape reaches the border at full strength"
    assert (raw.amax((1, 2, 3)) > 0.6 * 255).all(), "every image holds a shape"
    lit = (raw.amax(1).float() > 0.5 * 255).float().mean((1, 2))
    means = torch.stack([lit[kinds == kind].mean() for kind in range(6)])
    assert means.argmax() == 0, "circles cover the most"
    grey = load(dataset(name="shapes", size=24, channels="grey"), CPU, seed=0).train.take(torch.arange(9))[0]
    assert grey.shape == (9, 1, 24, 24)


def test_many_large_shapes_are_drawn_in_parts_that_fit_together(monkeypatch):
    from tui_gen.train.data.sets import shapes

    data = load(dataset(name="shapes", size=16), CPU, seed=0)
    whole = data.train.take(torch.arange(50))
    monkeypatch.setattr(shapes, "MOST_PIXELS", 16 * 16 * 7)
    parts = data.train.take(torch.arange(50))
    assert (whole[0].int() - parts[0].int()).abs().max() <= 1 and torch.equal(whole[1], parts[1])
    large = load(dataset(name="shapes", size=512), CPU, seed=0)
    assert large.validation.count == 85


def test_images_too_large_for_memory_are_refused_before_it_is_spent(monkeypatch):
    from tui_gen.train.data import images

    monkeypatch.setattr(images, "free_memory", lambda device: 10**8)
    with pytest.raises(DataError, match=r"dataset.size = 256 would take 118 MB of the 100 MB free.*dataset.limit"):
        load(dataset(name="digits", size=256), CPU, seed=0)
    assert load(dataset(name="digits", size=256, limit=50), CPU, seed=0).spec.size == 256


def test_shapes_have_smooth_edges():
    data = load(dataset(name="shapes", size=32, channels="grey"), CPU, seed=0)
    raw, _ = data.train.take(torch.arange(200))
    low, high = raw.amin((1, 2, 3), keepdim=True) + 8, raw.amax((1, 2, 3), keepdim=True) - 8
    between = ((raw > low) & (raw < high)).float().mean((1, 2, 3))
    assert (between > 0.005).float().mean() > 0.95 and between.max() < 0.25


def test_recolour_and_resize():
    grey = torch.randint(0, 256, (5, 1, 6, 6), dtype=torch.uint8)
    assert torch.equal(recolour(recolour(grey, "rgb"), "grey"), grey)
    assert recolour(grey, "auto") is grey
    colours = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)[:, :, None, None]
    assert recolour(colours, "grey").flatten().tolist() == [76, 150, 29]
    assert torch.equal(resize(grey, 6), grey)
    flat = torch.full((3, 3, 9, 7), 77, dtype=torch.uint8)
    assert (resize(flat, 4) == 77).all() and resize(flat, 4).shape == (3, 3, 4, 4)
    checks = (torch.arange(32)[:, None] + torch.arange(32)[None]) % 2 * 255
    down = resize(checks.to(torch.uint8)[None, None], 8)
    assert (down.float() - 127.5).abs().max() < 16, "antialiased: a fine pattern becomes grey"


@pytest.mark.parametrize("pixels,low,high", [("unit", 0.0, 1.0), ("signed", -1.0, 1.0)])
def test_normalise_is_exact_and_inverted(pixels, low, high):
    raw = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    x = normalise(raw, pixels)
    assert x.dtype == torch.float32 and x.min() == low and x.max() == high
    assert torch.equal(denormalise(x, pixels), raw)
    wild = torch.tensor([float("nan"), float("inf"), -float("inf"), 9.0, -9.0])
    assert denormalise(wild, pixels).tolist() == [0, 255, 0, 255, 0]
    points = torch.randn(3, 2)
    assert torch.equal(normalise(points, pixels), points)


def test_batches_go_through_everything_once_in_order():
    data = load(dataset(name="digits"), CPU, seed=0)
    got = list(fixed_batches(data.validation, batch_size=50, value_range="unit"))
    assert [len(x) for x, _ in got] == [50, 50, 50, 30]
    assert torch.equal(torch.cat([x for x, _ in got]), normalise(data.validation.examples, "unit"))
    assert torch.equal(torch.cat([labels for _, labels in got]), data.validation.labels)
    assert sum(len(x) for x, _ in fixed_batches(data.validation, batch_size=50, value_range="unit", limit=70)) == 70
    spread = fixed_batches(data.validation, batch_size=50, value_range="unit", limit=60, spread=True)
    some = [labels for _, labels in spread]
    assert torch.equal(torch.cat(some), data.validation.labels[::3])
    endless = load(dataset(name="ring"), CPU, seed=0).train
    parts = [fixed_batches(endless, batch_size=1000, value_range="unit") for _ in range(2)]
    first, second = (torch.cat([x for x, _ in part]) for part in parts)
    assert torch.equal(first, second) and len(first) == 4096


def test_uniforms_are_uniform_and_uncorrelated():
    drawn = keyed_random.uniforms(keyed_random.key("test"), torch.arange(50_000), 4)
    assert drawn.min() >= 0 and drawn.max() < 1
    assert (drawn.mean(1) - 0.5).abs().max() < 0.01 and (drawn.var(1) - 1 / 12).abs().max() < 0.002
    others = keyed_random.uniforms(keyed_random.key("other"), torch.arange(50_000), 4)
    together = torch.cat([drawn, drawn.roll(1, 1), others])
    assert (torch.corrcoef(together) - torch.eye(12)).abs().max() < 0.02
    far = keyed_random.uniforms(1, torch.tensor([0, 2**40, 2**61]), 2)
    assert len(set(far.flatten().tolist())) == 6
    normal = keyed_random.normals(drawn[0], drawn[1])
    assert normal.mean().abs() < 0.02 and (normal.std() - 1).abs() < 0.02


@pytest.mark.parametrize(
    "table,words",
    [
        (DatasetTable("digitz"), ["digitz", "digits"]),
        (DatasetTable("digits", {"size": 2}), ["dataset.size = 2", "4 px"]),
        (DatasetTable("digits", {"shift": 8}), ["dataset.shift = 8", "8 px"]),
        (DatasetTable("folder"), ["dataset.root"]),
    ],
)
def test_what_cannot_be_is_said(table, words):
    with pytest.raises(DataError) as error:
        load(dataset_of(table, discover.build()[1].datasets), CPU, seed=0)
    assert all(word in str(error.value) for word in words)


def test_settings_without_effect_on_points_are_named():
    notes = []
    load(dataset(name="ring", flip=True, size=32), CPU, seed=0, report=notes.append)
    warned = [note.text for note in notes if isinstance(note, Note) and note.level == "warning"]
    assert len(warned) == 1 and "dataset.size, dataset.flip does nothing" in warned[0]
    load(dataset(name="digits", root="/data"), CPU, seed=0, report=notes.append)
    assert any("dataset.root does nothing" in note.text for note in notes)


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    for name in ("digits", "shapes", "ring"):
        load(dataset(name=name, limit=100), CPU, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
