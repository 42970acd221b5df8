"""Figures of samples whose faults are known, and the reference they are measured against."""

from functools import cache

import pytest
import torch
from torch.nn import functional

from tests import small_runs
from tests.known import dataset
from tui_gen import quality as tables
from tui_gen.model import Model
from tui_gen.places import cache_dir
from tui_gen.train.data import load, sources
from tui_gen.train.quality import WAITING, QualityError, evaluate, finish, measure, nets, prepared, reference

CPU = torch.device("cpu")
SMALL = dataset(name="digits", limit=120)


def data_of(config):
    return load(config, CPU, seed=0)


def ready(config=SMALL, data=None):
    """The reference of a dataset, all at once."""
    return finish(prepared(data or data_of(config), CPU, lambda event: None))


class Replayed(Model):
    """A model whose samples are given: `images` (N, *shape) in [0, 1], or points, from the first on."""

    name = "replayed"
    kinds = ("image", "points")
    noise_shape = (1,)

    def __init__(self, spec, images, labels=None):
        super().__init__(None, spec)
        self.images, self.labels, self.at = images, labels, 0

    @property
    def conditional(self):
        return self.labels is not None

    def sample(self, noise, labels):
        if labels is not None:  # the first image of each class asked for, after those given out before
            self.at += len(labels)
            return torch.stack([self.images[self.labels == label][self.at % 50] for label in labels])
        part = self.images[self.at : self.at + len(noise)]
        self.at += len(noise)
        return part


def figures(images, config=None, labels=None, count=None):
    """The report on given samples."""
    config = config or dataset(name="digits")
    data = data_of(config)
    model = Replayed(data.spec, images, labels)
    return finish(measure(model, data, CPU, step=7, samples=count or len(images), seed=0))


def value(report, name):
    return report.figure(name).value


@cache
def real():
    """Digits to train with, in [0, 1], and their labels."""
    data = data_of(dataset(name="digits"))
    raw, labels = data.train.take(torch.arange(data.train.count))
    return raw.float() / 255, labels


# -- what is wrong with samples shows in the figures


def test_real_training_images_are_perfect_but_memorised():
    report = figures(real()[0])
    assert value(report, "fid") < 1e-6 and report.figure("fid").doubt  # 1,617 are below the 2,000 it takes
    assert value(report, "precision") > 0.8 and value(report, "coverage") > 0.9
    assert value(report, "memorisation") == 1.0 and report.figure("memorisation").real == 0.5
    assert value(report, "class_kl") < 1e-3 and {one.name for one in report.figures} <= set(tables.KINDS)
    assert (report.step, report.samples, report.train, report.held_out) == (7, 1617, 1617, 180)


def test_the_classifier_knows_digits_and_noise_is_no_digit():
    report = figures(torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    known = ready(dataset(name="digits"))
    assert known.accuracy >= 0.97 and "classifier" in known.name and "% of held-out images right" in known.name
    assert report.figure("confident").real == reference.confident(known.confidence) >= 0.95
    assert value(report, "confident") < 0.5 * report.figure("confident").real
    assert value(report, "precision") < 0.3 and value(report, "memorisation") < 0.05


def test_more_noise_is_worse_and_so_is_blur():
    images, _ = real()
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    little, much = (figures((images + by * noise).clamp(0, 1)) for by in (0.1, 0.3))
    blurred = figures(functional.avg_pool2d(images, 3, 1, 1))
    clean = figures(images)
    for name in ("fid", "kid"):
        assert value(clean, name) < value(little, name) < value(much, name)
        assert value(blurred, name) > value(little, name)
    assert value(clean, "coverage") > value(little, "coverage") > value(much, "coverage")
    assert value(much, "confident") < value(clean, "confident")


def test_a_missing_class_shows_in_its_share_and_in_recall():
    images, labels = real()
    report = figures(images[labels != 9])
    half = figures(images[labels < 5])
    assert value(report, "smallest_class") < 0.01 < report.figure("smallest_class").real
    assert 0.05 < value(report, "class_kl") < value(half, "class_kl")
    assert value(half, "fid") > value(report, "fid") > 0.05
    assert value(half, "recall") < 0.7 and value(half, "precision") > 0.8


def test_few_images_repeated_show_in_coverage_and_memorisation_though_each_is_real():
    images, _ = real()
    report = figures(images[torch.arange(1600) % 16])
    assert value(report, "coverage") < 0.5 and value(report, "memorisation") == 1.0
    assert value(report, "precision") > 0.8


def test_labels_are_asked_for_as_often_as_the_data_has_them():
    images, labels = real()
    report = figures(images, labels=labels, count=400)
    assert value(report, "label_accuracy") > 0.95
    assert report.figure("label_accuracy").real == ready(dataset(name="digits")).accuracy
    assert value(report, "class_kl") < 0.05


def test_images_that_are_no_numbers_are_black_and_points_are_left_out():
    report = figures(torch.full((60, 1, 8, 8), float("nan")))
    assert value(report, "diversity") == 0 and value(report, "coverage") < 0.3
    ring = dataset(name="ring")
    points = torch.full((60, 2), float("nan"))
    with pytest.raises(QualityError, match="NaN"):
        figures(points, ring)
    points[:30] = data_of(ring).train.take(torch.arange(30))[0]
    assert value(figures(points, ring), "precision") > 0.8


def test_points_are_compared_as_they_are():
    ring = dataset(name="ring")
    points, labels = data_of(ring).train.take(torch.arange(1500))
    good, bad = figures(points, ring), figures(points[labels != 2], ring)
    names = [one.name for one in good.figures]
    assert names[:2] == ["mmd", "sliced_wasserstein"] and "fid" not in names and "memorisation" not in names
    for name in ("mmd", "sliced_wasserstein", "class_kl"):
        assert value(bad, name) > value(good, name)
    assert abs(value(good, "mmd")) < 5 * good.figure("mmd").error
    assert value(bad, "smallest_class") == 0 and value(good, "smallest_class") > 0.1
    assert good.features == "the coordinates themselves" and set(names) <= set(tables.KINDS)


def test_without_held_out_data_there_is_nothing_beside_and_it_is_said():
    config = dataset(name="digits", limit=120, validation=0.0)
    images, _ = real()
    report = figures(images[:100], config)
    assert all(one.real is None for one in report.figures) and report.figure("memorisation") is None
    assert any("nothing is held out" in note for note in report.notes)


# -- who has no figures


@pytest.mark.parametrize(
    ("family", "words"),
    [("char-rnn", "bits per character"), ("classifier", "makes no samples"), ("autoencoder", "can reconstruct")],
)
def test_models_without_samples_say_so(family, words):
    trainer = small_runs.trainer(family)
    with pytest.raises(QualityError, match=words):
        next(measure(trainer.model, trainer.data, CPU, step=0, samples=50, seed=0))


def test_too_few_images_are_refused_with_their_number():
    config = dataset(name="digits", limit=30)
    with pytest.raises(QualityError, match="has 27 training examples; figures of quality need at least 40"):
        ready(config)


# -- the reference


def test_data_that_do_not_vary_have_no_figures():
    data = data_of(SMALL)
    data.train.examples[:] = data.train.examples[:1]
    data.train = sources.Resident(data.train.examples, data.train.labels, data.train.device)
    with pytest.raises(QualityError, match="the data do not vary"):
        ready(data=data)
    data.train.examples[-1, 0, 3, 3] += 1
    assert reference._varies((data.train, data.train.count, 0)), "one pixel of the last one is enough"


def test_measuring_draws_nothing_from_the_global_generators_and_repeats_itself():
    trainer = small_runs.trainer("ddpm", dataset__limit=120)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    reports = []
    for _ in range(2):
        work = measure(trainer.eval_model, trainer.data, CPU, step=0, samples=80, seed=3)
        reports.append(finish(work))
        torch.rand(3)  # what training draws in between changes nothing
    torch.manual_seed(5)
    assert torch.equal(before, torch.get_rng_state())
    assert reports[0].figures == reports[1].figures
    other = measure(trainer.eval_model, trainer.data, CPU, step=0, samples=80, seed=4)
    assert finish(other).figures != reports[0].figures


def test_the_network_is_the_same_whatever_the_threads_and_the_random_state(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    threads = torch.get_num_threads()
    made = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            torch.manual_seed(number)
            made.append(finish(reference._images(data_of(SMALL).spec, *_halves(), False, CPU)))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert made[0].name == made[1].name and torch.equal(made[0].train, made[1].train)


def _halves():
    data = data_of(SMALL)
    return (data.train, data.train.count, 0), (data.validation, data.validation.count, 0)


def test_it_is_made_once_and_kept_by_what_the_data_holds(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = ready()
    monkeypatch.setattr(nets, "train", lambda *given: pytest.fail("it was kept"))
    again = ready()
    assert again.name == first.name and again.accuracy == first.accuracy and again.kind == "classifier"
    for name in reference.TENSORS:
        assert torch.equal(getattr(again, name), getattr(first, name)), name
    raw, _ = data_of(SMALL).train.take(torch.arange(5))
    assert torch.equal(nets.look(again.net, raw)[0], nets.look(first.net, raw)[0])
    with pytest.raises(pytest.fail.Exception, match="it was kept"):
        ready(dataset(name="digits", limit=110))


def test_a_damaged_one_is_made_anew(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    name = ready().name
    [place] = [one for one in (cache_dir() / "quality").iterdir() if one.is_dir()]
    (place / "reference.safetensors").write_bytes(b"nonsense")
    assert ready().name == name
    assert (place / "reference.safetensors").stat().st_size > 1000


def test_where_the_cache_cannot_be_used_figures_come_all_the_same(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    told = []
    found = finish(prepared(data_of(SMALL), CPU, told.append))
    assert found.kind == "classifier" and "cannot be used" in told[0].text


def test_who_comes_second_waits_for_the_first_without_blocking(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, second = (prepared(data_of(SMALL), CPU, lambda event: None) for _ in range(2))
    assert next(first).startswith("training the classifier network for digits")
    assert next(second) == next(second) == WAITING
    name = finish(first).name
    monkeypatch.setattr(nets, "train", lambda *given: pytest.fail("the first has made it"))
    assert finish(second).name == name
    kept = sorted(one.name.partition(".")[2] for one in (cache_dir() / "quality").iterdir())
    assert kept == ["", "lock"]


def test_images_without_labels_get_a_network_that_says_so(tmp_path):
    from PIL import Image

    images, _ = real()
    for number in range(60):
        pixels = (images[number, 0] * 255).byte().numpy()
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    config = dataset(name="folder", root=str(tmp_path), size=8)
    data = load(config, CPU, seed=0)
    few = ready(config, data)
    assert few.kind == "random" and "untrained" in few.name and few.confidence is None
    bunch = data_of(SMALL)
    source = type(bunch.train)(bunch.train.examples.repeat(5, 1, 1, 1), None, CPU)
    many = finish(reference._images(data.spec, (source, source.count, 0), None, False, CPU))
    assert many.kind == "rotation" and "self-supervised" in many.name and many.shares is None


def test_quarter_turns_are_what_the_rotation_network_learns():
    images = torch.arange(8.0).reshape(2, 1, 2, 2)
    turned = nets.turned(images, torch.tensor([0, 1]))
    assert torch.equal(turned[0], images[0]) and torch.equal(turned[1, 0], images[1, 0].rot90(1))


def test_endless_data_are_told_by_their_settings_not_by_the_runs_seed():
    config = dataset(name="moons")
    one, two = (finish(prepared(load(config, CPU, seed=s), CPU, lambda event: None)) for s in (1, 2))
    assert torch.equal(one.train, two.train) and len(one.held_out) == reference.ENDLESS[1] and one.endless
    assert not torch.equal(one.train[: len(one.held_out)], one.held_out)


# -- as text


def test_the_table_says_what_perfect_is_and_what_cannot_be_trusted():
    figures = [
        tables.Figure("fid", 12.345, 0.5, doubt="from 500 samples", real_doubt="from 180 held-out images"),
        tables.Figure("kid", 0.0123, 0.001, 0.002, 0.0005),
        tables.Figure("confident", 0.5, 1.0),
        tables.Figure("recall", None),
    ]
    report = tables.Report(1200, 500, 1617, 180, "digits classifier network abc", figures, 3.25)
    lines = tables.table(report).splitlines()
    assert lines[0] == "quality at step 1,200: 500 samples, 1,617 real ones to train with, 180 held out; 3 s"
    assert lines[3].split() == ["FID", "12.35?", "0.5?", "lower"]
    assert lines[4].split("  ")[-3:] == ["0.0123 ± 0.002", "0.001 ± 0.0005", "lower"]
    assert lines[6].split() == ["recall", "–", "–", "higher"]
    assert "confident about 0.50 times as many samples as real images" in lines
    assert "? FID: from 500 samples" in lines and "? real FID: from 180 held-out images" in lines
    assert all(len(line) <= 100 for line in lines)
    assert "Heusel" in tables.table(report, with_help=True)
    assert tables.summary(report).startswith("FID 12.35? (real 0.5?), KID 0.0123 ± 0.002 (real 0.001)")


def test_every_figure_has_words():
    assert all(kind.better in ("lower", "higher", "real") and kind.help for kind in tables.KINDS.values())


def test_a_slice_is_short_work():
    """Between two yields lie a few training steps, one batch of samples, or one table of distances."""
    assert nets.SLICE * max(nets.BATCH) <= 640 and evaluate.DRAW_BATCH[0] <= 64 and evaluate.BLOCK <= 3000
