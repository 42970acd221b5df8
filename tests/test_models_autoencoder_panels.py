"""What autoencoders show of themselves, how codes are drawn, and their recipes."""

import re

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from tests.test_models import build, images, train
from tests.test_models_autoencoder import LINEAR, SIGMOID, digits, recipes
from tui_gen.model import Batch, Given, Text
from tui_gen.models.autoencoder import Autoencoder
from tui_gen.models.looks.code_plots import flattened, histogram, neighbours, principal, scatter

NAMES = (
    *("autoencoder", "stacked-autoencoder", "tied-autoencoder", "greedy-autoencoder", "conv-autoencoder"),
    *("recurrent-autoencoder", "denoising-autoencoder", "dropout-autoencoder", "sparse-l1-autoencoder"),
    *("sparse-kl-autoencoder", "contractive-autoencoder", "linear-autoencoder", "hashing-autoencoder"),
)

# -- panels


def given(count=40, size=8):
    x, _ = digits()
    return Given(x[:count], torch.from_numpy(load_digits().target[:count]), None, None)


def shown(model, what=None):
    model.eval()
    with torch.no_grad():
        return {panel.kind: panel for panel in model.panels(what or given())}


def test_every_autoencoder_shows_codes_anomalies_and_its_numbers():
    found = shown(build(Autoencoder, images(), latent=5))
    assert list(found) == ["codes", "anomalies", "code"]
    assert found["codes"].images.shape == (1, 3, 160, 160)
    assert found["anomalies"].images.shape == (16, 1, 8, 8) and found["anomalies"].columns == 8
    assert isinstance(found["code"], Text)
    assert "64 numbers in an image, 5 in its code: 12.8 to 1" in found["code"].text
    assert all(len(line) <= 78 for line in found["code"].text.splitlines())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("projection", ["pca", "t-sne"])
def test_a_run_that_diverged_still_has_its_panels(value, projection):
    model = build(
        Autoencoder, images(), latent=4, code_activation="relu", output="linear", loss="mse", projection=projection
    )
    with torch.no_grad():
        model.net.encoder[0].weight.fill_(value)
    assert list(shown(model)) == ["codes", "anomalies", "code"]


def test_the_odd_one_out_is_the_first_anomaly():
    x, _ = digits()
    model = build(Autoencoder, images(), latent=8)
    train(model, 200, Batch(x), lr=5e-3)
    odd = 1 - x[7:8]
    what = Given(torch.cat([x[:30], odd, x[30:50]]), None, None, None)
    worst = shown(model, what)["anomalies"].images
    assert torch.equal(worst[:1], odd)
    assert torch.allclose(worst[8:9], model.reconstruct(odd), atol=1e-6)
    scores = model.anomaly_score(what.x)
    assert scores.shape == (51,) and scores.argmax() == 30


def test_a_denoiser_shows_input_noisy_input_and_what_it_makes_of_it():
    model = build(Autoencoder, images(), latent=5, noise="mask", noise_level=0.5)
    panel = shown(model)["denoising"]
    assert panel.columns == 8 and panel.images.shape == (24, 1, 8, 8)
    clean, noisy, rebuilt = panel.images.split(8)
    assert torch.equal(clean, given().x[:8])
    assert torch.equal(noisy[noisy > 0], clean[noisy > 0]) and not torch.equal(noisy, clean)
    with torch.no_grad():
        assert torch.equal(rebuilt, model.reconstruct(noisy))


def test_hashes_look_up_equal_images_first():
    model = build(Autoencoder, images(), latent=16, code_noise=2.0, **SIGMOID)
    x = given().x
    x = torch.cat([x[:20], x[:20]])
    panel = shown(model, Given(x, None, None, None))["neighbours"]
    assert panel.columns == 8
    rows = panel.images.unflatten(0, (8, 8))
    for row, image in zip(rows, x):
        assert torch.equal(row[0], image)
        assert any(torch.equal(other, image) for other in row[1:])
    assert re.search(r"\d+ different hashes of 16 bits among 40 images", shown(model)["code"].text)


def test_neighbours_are_those_of_least_hamming_distance():
    bits = torch.tensor([[0, 0, 0], [1, 1, 1], [0, 0, 1], [0, 0, 0], [0, 1, 1]]).float()
    assert neighbours(bits, 3).tolist() == [[0, 3, 2], [1, 4, 2], [2, 0, 3]]


def test_a_linear_autoencoder_is_compared_with_pca_in_its_panel():
    what = given(80)
    found = re.search(
        r"PCA of these images to 5 numbers: ([0-9.]+)",
        shown(build(Autoencoder, images(), latent=5, **LINEAR), what)["code"].text,
    )
    flat = what.x.flatten(1).numpy()
    pca = PCA(5).fit(flat)
    expected = np.square(pca.inverse_transform(pca.transform(flat)) - flat).mean()
    assert float(found[1]) == pytest.approx(expected, abs=1e-4)


def test_principal_coordinates_are_those_of_pca_and_keep_their_signs():
    points = torch.randn(50, 6) * torch.tensor([5.0, 3.0, 1.0, 1.0, 0.5, 0.1])
    mine, theirs = principal(points, 2).numpy(), PCA(2).fit_transform(points.numpy())
    assert np.allclose(np.abs(mine), np.abs(theirs), atol=1e-3)
    assert torch.equal(principal(points, 2), principal(points.clone(), 2))
    assert principal(torch.rand(9, 1), 2)[:, 1].abs().max() == 0


def test_the_scatter_has_a_colour_per_label_and_bears_anything():
    points = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    picture = scatter(points, torch.tensor([0, 1]))
    assert picture.min() >= 0 and picture.max() <= 1
    colours = {tuple(colour) for colour in (picture[0] * 255).round().int().flatten(1).T.tolist()}
    assert colours == {(16, 16, 16), (228, 26, 28), (55, 126, 184)}
    lower_left, upper_right = picture[0, :, 80:, :80], picture[0, :, :80, 80:]
    assert lower_left[0].max() > 0.8 and upper_right[2].max() > 0.7
    assert scatter(torch.zeros(3, 2), None).shape == (1, 3, 160, 160)


def test_t_sne_lays_out_codes_when_asked_to():
    model = build(Autoencoder, images(), latent=5)
    codes = model.encode(given(60).x).detach()
    model.config.projection = "t-sne"
    layout = flattened(codes, model.config.projection)
    assert layout.shape == (60, 2) and torch.isfinite(layout).all()
    assert torch.equal(layout, flattened(codes, model.config.projection))
    assert not torch.allclose(layout, principal(codes, 2))


def test_the_histogram_counts_every_unit():
    lines = histogram(torch.tensor([0.05, 0.05, 0.95, 0.31]))
    assert [int(line.split()[-1]) for line in lines] == [2, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    assert lines[0].strip().startswith("0 to 0.1") and lines[0].count("█") == 40 and lines[3].count("█") == 20
    assert sum(int(line.split()[-1]) for line in histogram(torch.tensor([-2.0, 3.0, 3.0]))) == 3
    assert sum(int(line.split()[-1]) for line in histogram(torch.zeros(7))) == 7


# -- recipes


def test_every_autoencoder_of_the_table_is_a_recipe():
    assert set(NAMES) <= set(recipes())
