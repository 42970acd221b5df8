"""Classifiers: textbook sizes, scores against scikit-learn, saliency against derivatives."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch.nn import functional as F

from tests import small_runs
from tests.test_models import POINTS, batch_for, build, images, train
from tui_gen import catalog
from tui_gen.model import Batch, DataSpec, Given, Picture, Text
from tui_gen.models.classifier import Classifier
from tui_gen.models.looks.classification_report import report
from tui_gen.train.shown.previews import Previewer

NETWORKS = [
    {"network": "perceptron"},
    {"hidden": [16, 12]},
    {"hidden": [16], "activation": "sigmoid", "dropout": 0.3, "label_smoothing": 0.1},
    {"network": "cnn", "channels": [4, 6], "hidden": [], "padding": "same"},
    {"network": "cnn", "channels": [4, 6, 6], "hidden": [8], "padding": "same", "dropout": 0.2},
    {"network": "cnn", "channels": [4], "pools": 1, "hidden": []},
    {"network": "lstm", "hidden": [12, 8]},
]


def recipe(name, data):
    values = dict(catalog.read().recipes[name].tables["model"])
    values.pop("name")
    return build(Classifier, data, **values)


MNIST = images(1, 28)
CIFAR = images(3, 32)


@pytest.mark.parametrize(
    ("name", "data", "count"),
    [
        ("perceptron", MNIST, 7_850),
        ("mlp-classifier", MNIST, 266_610),
        ("mlp-cifar10", CIFAR, 614_600 + 30_150 + 1_510),
        ("cnn-classifier", MNIST, 34_826),
        ("cnn-classifier-deep", MNIST, 93_322),
        ("cnn-classifier-deep", CIFAR, 122_570),
        ("lstm-classifier", MNIST, 80_384 + 131_584 + 1_290),
    ],
)
def test_the_textbook_networks_have_the_textbooks_parameter_counts(name, data, count):
    assert recipe(name, data).parameter_count() == count


def test_the_first_layer_for_cifar_has_614600_parameters():
    first = recipe("mlp-cifar10", CIFAR).net.linears.layers[0]
    assert sum(p.numel() for p in first.parameters()) == 614_600


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (9, 3), (28, 1), (33, 3)])
@pytest.mark.parametrize("values", NETWORKS, ids=str)
def test_every_network_trains_and_classifies_at_every_image_size(values, size, channels):
    model = build(Classifier, images(channels, size), **values)
    found = train(model, 3, batch_for(model, 4))
    assert set(found) == {"classifier/loss", "classifier/accuracy"}
    assert all(math.isfinite(value) for value in found.values()), found
    model.eval()
    with torch.no_grad():
        p = model.probabilities(batch_for(model, 5).x)
    assert p.shape == (5, 10) and torch.allclose(p.sum(1), torch.ones(5))


# -- loss


def test_the_loss_is_the_cross_entropy_and_smoothing_is_for_training_only():
    model = build(Classifier, images(), hidden=[16], label_smoothing=0.2)
    batch = batch_for(model, 8)
    logs = model(batch.x).log_softmax(1)
    plain = -logs[torch.arange(8), batch.labels].mean()
    smooth = -(0.8 * logs[torch.arange(8), batch.labels] + 0.2 * logs.mean(1)).mean()
    assert model.loss(batch)[0].item() == pytest.approx(smooth.item(), rel=1e-5)
    model.eval()
    assert model.loss(batch)[0].item() == pytest.approx(plain.item(), rel=1e-5)


def test_dropout_is_for_training_only_and_can_be_changed_live():
    model = build(Classifier, images(), hidden=[64], dropout=0.5)
    batch = batch_for(model)
    assert model.loss(batch)[0].item() != model.loss(batch)[0].item()
    model.config.dropout = 0.0
    trained = model.loss(batch)[0].item()
    model.config.dropout = 0.9
    model.eval()
    assert model.loss(batch)[0].item() == pytest.approx(trained, rel=1e-6)


# -- scores


def test_scores_are_those_of_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (300,), generator=generator)
    p = (torch.randn(300, 5, generator=generator) + 1.5 * F.one_hot(labels, 5)).softmax(1)
    p = (p * 50).round() / 50  # ties
    named = p.argmax(1)
    classes = ("a", "b", "c", "a rather long name", "none")
    lines = report(labels, named, p, classes, 80).splitlines()
    areas = [metrics.roc_auc_score(labels == place, p[:, place]) for place in range(4)]
    f1 = metrics.f1_score(labels, named, average="macro", labels=range(4))
    assert f"macro F1 {f1:.4f}, macro AUC {np.mean(areas):.4f}" in lines[0]
    assert f"{(labels == named).sum()} of 300 right" in lines[0] and max(map(len, lines)) <= 80
    rows = [line.replace("·", "0").split()[-5:] for line in lines[4:9]]
    assert np.array_equal(np.array(rows, int), metrics.confusion_matrix(labels, named, labels=range(5)))
    expected = metrics.precision_recall_fscore_support(labels, named, labels=range(5), zero_division=0)
    rows = [line.split()[-5:] for line in lines[-5:]]
    assert np.allclose([[float(cell) for cell in row[:3]] for row in rows], np.array(expected[:3]).T, atol=6e-4)
    assert [row[3] for row in rows] == [*(f"{area:.4f}" for area in areas), "-"]  # no example of the fifth class
    assert [int(row[4]) for row in rows] == expected[3].tolist()


def test_where_all_are_of_one_class_there_is_no_area_under_the_curve():
    ones = torch.ones(3, dtype=torch.long)
    assert "macro F1 1.0000, macro AUC -" in report(ones, ones, torch.eye(2)[ones], ("a", "b"), 80)


def test_the_matrix_is_left_out_where_it_does_not_fit():
    labels = torch.arange(40)
    words = report(labels, labels, torch.eye(40), tuple(str(n) for n in labels.tolist()), 80)
    assert "predicted" not in words and len(words.splitlines()) > 40


# -- panels


def panels_of(values, size=8, count=30):
    model = build(Classifier, images(1, size), **values).eval()
    batch = batch_for(model, count)
    with torch.no_grad():
        return model, batch, {one.kind: one for one in model.panels(Given(batch.x, batch.labels, None, None))}


@pytest.mark.parametrize("values", NETWORKS, ids=str)
def test_panels_fit_their_kinds(values):
    model, _, found = panels_of(values)
    assert list(found) == ["predictions", "answers", "scores", "saliency", "features"]
    for one in found.values():
        if isinstance(one, Picture):
            assert one.images.dim() == 4 and one.images.min() >= 0 and one.images.max() <= 1
        else:
            assert isinstance(one, Text) and max(len(line) for line in one.text.splitlines()) <= 80
    assert found["saliency"].images.shape == (18, *model.data.shape) and found["saliency"].columns == 6


def test_errors_come_first_the_surest_at_the_top():
    model, batch, found = panels_of({"hidden": [16]})
    p = model.probabilities(batch.x)
    wrong = p.argmax(1) != batch.labels
    assert wrong.any() and not wrong.all()
    surest = torch.where(wrong, p.amax(1), torch.zeros(30)).argmax()
    assert torch.equal(found["predictions"].images[0], batch.x[surest])
    words = found["answers"].text.splitlines()[2]
    assert words.startswith(f"{batch.labels[surest]}→{p[surest].argmax()} ")


def test_saliency_is_the_derivative_of_the_predicted_logit():
    model = build(Classifier, images(3), hidden=[16], activation="tanh").double().eval()
    x = batch_for(model, 2).x.double()
    with torch.no_grad():
        found = model.saliency(x)
        named = model.net(x).argmax(1)
        moved = torch.zeros(2, 3, 8, 8, dtype=torch.float64)
        for place in range(3 * 64):
            step = torch.zeros(3 * 64, dtype=torch.float64)
            step[place] = 1e-6
            rise = model.net(x + step.view(3, 8, 8)) - model.net(x - step.view(3, 8, 8))
            moved.view(2, -1)[:, place] = rise.gather(1, named[:, None])[:, 0] / 2e-6
    assert torch.allclose(found.double(), moved.abs().amax(1, keepdim=True), atol=1e-5)


def test_occlusion_finds_the_pixels_that_matter():
    model = build(Classifier, images(1, 16), network="perceptron").eval()
    weight = model.net.linears.layers[0].weight
    with torch.no_grad():
        weight.zero_()
        weight.view(10, 16, 16)[3, 4:6, 10:12] = 1.0
        fall = model.occlusion(torch.ones(1, 1, 16, 16))[0, 0]
    assert fall.max() > 0.1 and bool((fall[4:6, 10:12] == fall.max()).all())
    assert fall[12:].abs().max() < 1e-6 and fall[:, :6].abs().max() < 1e-6


def test_features_are_those_of_the_first_layer():
    _, _, found = panels_of({"network": "cnn", "channels": [5], "pools": 0, "hidden": []}, size=9)
    assert found["features"].images.shape == (5, 1, 7, 7)
    model, _, found = panels_of({"network": "perceptron"})
    template = model.net.linears.layers[0].weight[4].view(8, 8).detach()
    assert found["features"].images.shape == (10, 1, 8, 8)
    shown = found["features"].images[4, 0]
    assert torch.corrcoef(torch.stack([shown.flatten(), template.flatten()]))[0, 1] > 0.999


def test_panels_survive_a_model_that_diverged():
    model = build(Classifier, images(), hidden=[8]).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(math.nan)
        batch = batch_for(model, 10)
        assert len(model.panels(Given(batch.x, batch.labels, None, None))) == 5


def test_previews_of_a_run_draw_them_and_leave_the_training_as_it_was():
    trainer = small_runs.trainer("classifier", train__ema=0.9)
    before = torch.get_rng_state()
    grids = Previewer(trainer.model, trainer.data, torch.device("cpu"), 16, 0).draw(trainer.eval_model)
    assert [one.kind for one in grids] == ["predictions", "answers", "scores", "saliency", "features"]
    assert torch.equal(torch.get_rng_state(), before) and trainer.model.training
    trainer.train_step()


# -- what is refused


@pytest.mark.parametrize(
    ("values", "data", "key", "advice"),
    [
        ({}, images(classes=()), "dataset.name", "labelled data"),
        ({}, DataSpec("mine", "image", (3, 8, 8), labelling="make sub-folders"), "dataset.name", "make sub-folders"),
        ({}, images(classes=("only",)), "dataset.name", "labelled data"),
        ({}, POINTS, "dataset.name", ""),
        ({}, DataSpec("python-help", "text", (101,), ("a", "b")), "dataset.name", ""),
        ({"network": "lstm", "hidden": []}, images(), "model.hidden", "128"),
        ({"network": "cnn", "pools": 3}, images(1, 28), "model.pools", "2 or less"),
        ({"network": "cnn"}, images(1, 8), "model.channels", "padding"),
    ],
)
def test_what_cannot_work_is_refused_with_key_and_advice(values, data, key, advice):
    problems = list(Classifier.refuse(Classifier.Config(**values), data))
    assert [problem.key for problem in problems] == [key]
    assert advice in problems[0].hint


def test_better_than_guessing_after_seconds_and_better_with_more_layers():
    found = {}
    for network in ("perceptron", "mlp"):
        trainer = small_runs.trainer(
            "classifier", model__network=network, model__hidden=[64], dataset__limit=0, dataset__shift=0
        )
        before = trainer.validate()["val/classifier/accuracy"]
        for _ in range(300):
            trainer.train_step()
        found[network] = trainer.validate()["val/classifier/accuracy"]
        assert before < 0.3
    assert 0.6 < found["perceptron"] < found["mlp"] and found["mlp"] > 0.85


def test_every_example_counts_in_the_loss_of_a_batch():
    model = build(Classifier, images(), hidden=[16]).eval()
    batch = batch_for(model, 10)
    one = [model.loss(Batch(batch.x[n : n + 1], batch.labels[n : n + 1]))[0].item() for n in range(10)]
    assert model.loss(batch)[0].item() == pytest.approx(np.mean(one), rel=1e-5)
