"""Autoencoders against closed forms, PyTorch's Jacobians, scikit-learn's PCA and textbook sizes."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch.nn import functional as F

from tests.test_models import POINTS, batch_for, build, check_abilities, images, train
from tui_gen import catalog
from tui_gen.model import Batch, DataSpec
from tui_gen.models.autoencoder import Autoencoder
from tui_gen.models.looks.code_plots import pca_error

SIGMOID = {"code_activation": "sigmoid"}
LINEAR = {"code_activation": "linear", "output": "linear", "loss": "mse"}
NETWORKS = [
    {"latent": 5},
    {"hidden": [16, 12], "latent": 5, "output": "linear", "loss": "mse"},
    {"hidden": [16], "latent": 5, "tied": True},
    {"hidden": [16], "latent": 5, "pretrain_steps": 2},
    {"network": "conv", "channels": [4, 6, 8], "latent": 5, "code_activation": "linear"},
    {"network": "recurrent", "hidden": [12], "latent": 5, "code_activation": "linear"},
    {"hidden": [16], "latent": 5, "noise": "gaussian"},
    {"hidden": [16], "latent": 5, "noise": "dropout", "noise_level": 0.5},
    {"latent": 12, "sparsity": "l1", **SIGMOID},
    {"latent": 12, "sparsity": "kl", **SIGMOID},
    {"latent": 5, "contractive": 0.1, **SIGMOID},
    {"hidden": [8], "latent": 5, "contractive": 0.1, "activation": "tanh"},
    {"latent": 5, **LINEAR},
    {"hidden": [16], "latent": 5, "code_noise": 3.0, **SIGMOID},
]


def mnist():
    return DataSpec("mnist", "image", (1, 28, 28), tuple("0123456789"), 60_000)


def digits():
    x = torch.from_numpy(load_digits().images).float()[:, None] / 16
    return x[:1600], x[1600:]


def recipe(name, data=None):
    """The recipe's network on data of the textbook's shape."""
    values = dict(recipes()[name].tables["model"])
    values.pop("name")
    return build(Autoencoder, data or mnist(), **values)


def recipes():
    return catalog.read().recipes


# -- sizes


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("autoencoder", 784 * 32 + 32 + 32 * 784 + 784),
        ("stacked-autoencoder", 163_814),
        ("tied-autoencoder", 78_500 + 3_030 + 100 + 784),
        ("greedy-autoencoder", 163_814),
        ("conv-autoencoder", 40_606 + 13_873),
        ("recurrent-autoencoder", 51_600 + 15_720 + 52_400 + 2_828),
        ("dropout-autoencoder", 163_814),
        ("sparse-l1-autoencoder", 78_500 + 30_300 + 30_100 + 79_184),
        ("sparse-kl-autoencoder", 78_500 + 30_300 + 30_100 + 79_184),
        ("hashing-autoencoder", 78_500 + 1_616 + 1_700 + 79_184),
        ("linear-autoencoder", 50_992),
        ("contractive-autoencoder", 784 * 100 + 100 + 100 * 784 + 784),
    ],
)
def test_the_textbook_networks_have_the_textbooks_parameter_counts(name, count):
    assert recipe(name).parameter_count() == count


def test_the_textbook_lstm_has_one_bias_that_forgets_nothing_at_first():
    """As in Keras; PyTorch's second bias is fixed and holds the forget gate's 1."""
    layer = recipe("recurrent-autoencoder").net.encoder[0]
    assert not layer.bias_hh_l0.requires_grad
    assert layer.bias_hh_l0.view(4, 100).tolist() == [[0.0] * 100, [1.0] * 100, [0.0] * 100, [0.0] * 100]


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (9, 3), (28, 1), (33, 3)])
@pytest.mark.parametrize("values", NETWORKS, ids=str)
def test_every_network_trains_and_rebuilds_at_every_image_size(values, size, channels):
    model = build(Autoencoder, images(channels, size), **values)
    found = train(model, 5, batch_for(model, 4))
    assert all(math.isfinite(value) for value in found.values()), found
    assert model.abilities() == ["reconstruct", "encode", "decode"]
    check_abilities(model)


# -- what each kind of autoencoder promises


def test_a_tied_decoder_is_the_transpose_of_the_encoder():
    model = build(Autoencoder, images(), hidden=[16], latent=5, tied=True, output="linear", loss="mse")
    train(model, 5)
    first, second = (layer.weight for layer in model.net.encoder)
    z = torch.rand(3, 5)
    expected = F.relu(z @ second + model.net.biases[1]) @ first + model.net.biases[0]
    assert torch.allclose(model.net.decode(z), expected, atol=1e-6)


def test_greedy_training_moves_one_layer_each_way_at_a_time_and_then_all():
    model = build(Autoencoder, images(), hidden=[16, 12], latent=5, pretrain_steps=2)
    tune, pretrain = model.phases()
    optimizer = torch.optim.Adam(pretrain.parameters, 1e-2)
    for step in range(8):
        ran = [phase.name for phase in (tune, pretrain) if phase.when(step, None)]
        assert ran == (["pretrain"] if step < 6 else ["autoencoder"])
        before = {name: p.detach().clone() for name, p in model.net.named_parameters()}
        loss, _ = (pretrain if step < 6 else tune).loss(Batch(batch_for(model, 20).x, None, step))
        parameters = list(pretrain.parameters)
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True)):
            parameter.grad = gradient
        optimizer.step()
        moved = {name.rsplit(".", 1)[0] for name, p in model.net.named_parameters() if not torch.equal(p, before[name])}
        layers = [step // 2] if step < 6 else [0, 1, 2]
        assert moved == {f"{side}.{layer}" for side in ("encoder", "decoder") for layer in layers}


def test_a_later_layer_learns_to_rebuild_the_codes_of_the_one_before():
    model = build(Autoencoder, images(), hidden=[16], latent=5, pretrain_steps=3)
    x = batch_for(model, 7).x
    encoder, decoder = model.net.encoder, model.net.decoder
    hidden = F.relu(encoder[0](x.flatten(1)))
    expected = F.mse_loss(F.relu(decoder[1](F.relu(encoder[1](hidden)))), hidden)
    assert model.layer_loss(Batch(x, None, 3))[0].item() == pytest.approx(expected.item(), rel=1e-5)
    expected = F.binary_cross_entropy_with_logits(decoder[0](hidden), x.flatten(1))
    assert model.layer_loss(Batch(x, None, 2))[0].item() == pytest.approx(expected.item(), rel=1e-5)


def test_each_noise_spoils_what_it_says():
    x = torch.full((40, 1, 28, 28), 0.5)
    spoilt = {}
    for noise in ("none", "gaussian", "salt-pepper", "mask", "dropout"):
        model = build(Autoencoder, mnist(), noise=noise, noise_level=0.2)
        spoilt[noise] = model.corrupt(x)
    assert torch.equal(spoilt["none"], x)
    assert (spoilt["gaussian"] - x).std().item() == pytest.approx(0.2, rel=0.05)
    assert spoilt["gaussian"].min() >= 0 and spoilt["gaussian"].max() <= 1
    for value, share in ((0.0, 0.1), (1.0, 0.1), (0.5, 0.8)):
        assert (spoilt["salt-pepper"] == value).float().mean().item() == pytest.approx(share, abs=0.01)
    for value, share in ((0.0, 0.2), (0.5, 0.8)):
        assert (spoilt["mask"] == value).float().mean().item() == pytest.approx(share, abs=0.01)
    assert spoilt["dropout"].mean().item() == pytest.approx(0.5, abs=0.01)
    assert spoilt["dropout"].max().item() == pytest.approx(0.5 / 0.8)


@pytest.mark.parametrize("values", [{"noise": "mask"}, {"code_noise": 5.0, **SIGMOID}], ids=str)
def test_noise_is_for_training_only(values):
    model = build(Autoencoder, images(), latent=5, hidden=[16], **values)
    batch = batch_for(model)
    trained = [model.loss(batch)[0].item() for _ in range(2)]
    model.eval()
    shown = [model.loss(batch)[0].item() for _ in range(2)]
    assert trained[0] != trained[1] and shown[0] == shown[1]


def test_a_denoiser_takes_noise_away():
    x, held_out = digits()
    model = build(Autoencoder, images(), hidden=[96], latent=32, noise="gaussian", noise_level=0.3)
    train(model, 400, Batch(x), lr=3e-3)
    model.eval()
    with torch.no_grad():
        found = model.validation(Batch(held_out))
        noise = F.mse_loss(model.corrupt(held_out), held_out)
    assert found["autoencoder/mse"] < found["autoencoder/denoising_mse"] < 0.8 * noise


@pytest.mark.parametrize("kind", ["l1", "kl"])
def test_sparsity_penalties_equal_their_definitions(kind):
    model = build(Autoencoder, images(), latent=12, sparsity=kind, sparsity_weight=0.5, sparsity_target=0.2, **SIGMOID)
    batch = batch_for(model, 7)
    code = model.encode(batch.x)
    if kind == "l1":
        expected = code.abs().sum(1).mean()
    else:
        wanted = torch.distributions.Bernoulli(torch.full((12,), 0.2))
        expected = torch.distributions.kl_divergence(wanted, torch.distributions.Bernoulli(code.mean(0))).sum()
    loss, metrics = model.loss(batch)
    assert metrics["sparsity"].item() == pytest.approx(expected.item(), rel=1e-4)
    plain = F.binary_cross_entropy(model.reconstruct(batch.x), batch.x)
    assert loss.item() == pytest.approx((plain + 0.5 * expected).item(), rel=1e-4)


@pytest.mark.parametrize(("kind", "weight"), [("l1", 1e-2), ("kl", 1e-1)])
def test_sparse_codes_are_sparser(kind, weight):
    x, held_out = digits()
    means = {}
    for sparsity in ("none", kind):
        model = build(Autoencoder, images(), latent=60, sparsity=sparsity, sparsity_weight=weight, **SIGMOID)
        train(model, 150, Batch(x), lr=3e-3)
        means[sparsity] = model.encode(held_out).mean().item()
    assert means[kind] < 0.5 * means["none"]
    if kind == "kl":
        assert means["kl"] == pytest.approx(0.1, abs=0.03)


CONTRACTIVE = [
    *({"latent": 5, "code_activation": kind} for kind in ("linear", "relu", "tanh", "sigmoid")),
    {"hidden": [9], "latent": 5, "activation": "selu"},
    {"hidden": [9, 8], "latent": 5, "tied": True, **SIGMOID},
    {"network": "conv", "channels": [4, 6], "latent": 3},
]


@pytest.mark.parametrize("values", CONTRACTIVE, ids=str)
def test_the_contractive_penalty_is_the_squared_jacobian(values):
    model = build(Autoencoder, images(), contractive=0.7, **values)
    batch = batch_for(model, 4)
    jacobian = torch.stack([torch.autograd.functional.jacobian(lambda x: model.encode(x)[0], x[None]) for x in batch.x])
    expected = jacobian.square().sum() / 4
    loss, metrics = model.loss(batch)
    assert metrics["jacobian"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert metrics["jacobian"] > 0
    model.config.contractive = 0.0
    plain = model.loss(batch)[0]
    assert loss.item() == pytest.approx((plain + 0.7 * expected).item(), rel=1e-4)
    model.config.contractive = 0.7
    model.eval()
    with torch.no_grad():
        assert model.validation(batch)["autoencoder/jacobian"].item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize("values", [CONTRACTIVE[3], CONTRACTIVE[4]], ids=str)
def test_gradients_of_the_contractive_penalty_are_those_of_finite_differences(values):
    model = build(Autoencoder, images(), contractive=1.0, **values).double()
    x = batch_for(model, 3).x.double()
    weight = model.net.encoder[0].weight

    def penalty():
        return model.contraction(x, model.net.encode(x))

    (gradient,) = torch.autograd.grad(penalty(), weight)
    with torch.no_grad():
        weight[2, 3] += 1e-5
        above = penalty()
        weight[2, 3] -= 2e-5
        below = penalty()
    assert gradient[2, 3].item() == pytest.approx(((above - below) / 2e-5).item(), rel=1e-3)


@pytest.mark.parametrize("last", ["sigmoid", "tanh", "relu", "linear"])
def test_the_closed_form_of_the_contractive_penalty_and_the_general_one_agree(last):
    """A layer that changes nothing sends the same encoder the general way."""
    one = build(Autoencoder, images(), contractive=1.0, latent=5, code_activation=last)
    other = build(
        Autoencoder, images(), contractive=1.0, hidden=[64], activation="linear", latent=5, code_activation=last
    )
    other.net.encoder[0].weight.data.copy_(torch.eye(64))
    other.net.encoder[1].load_state_dict(one.net.encoder[0].state_dict())
    x = batch_for(one, 6).x
    closed, general = (model.contraction(x, model.net.encode(x)) for model in (one, other))
    torch.testing.assert_close(closed, general)
    gradients = [
        torch.autograd.grad(penalty, layer.weight)[0]
        for penalty, layer in ((closed, one.net.encoder[0]), (general, other.net.encoder[1]))
    ]
    torch.testing.assert_close(*gradients)


def test_a_linear_autoencoder_finds_the_subspace_of_pca():
    """Baldi & Hornik 1989: every minimum of the squared error spans the leading principal components."""
    x, held_out = digits()
    size = 6
    model = build(Autoencoder, images(), latent=size, **LINEAR)
    pca = PCA(size).fit(x.flatten(1).numpy())
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=700, history_size=30, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss, _ = model.loss(Batch(x))
        loss.backward()
        return loss

    optimizer.step(closure)
    angles = np.degrees(subspace_angles(model.net.decoder[0].weight.detach().numpy(), pca.components_.T))
    assert angles.max() < 3.0
    for part in (x, held_out):
        flat = part.flatten(1).numpy()
        theirs = np.square(pca.inverse_transform(pca.transform(flat)) - flat).mean()
        assert model.loss(Batch(part))[1]["mse"].item() == pytest.approx(theirs, rel=0.01)
    assert pca_error(x.flatten(1), size) == pytest.approx(model.loss(Batch(x))[0].item(), rel=0.01)


def test_noise_into_the_code_layer_makes_bits():
    x, held_out = digits()
    shares, errors = [], []
    for noise in (0.0, 10.0):
        model = build(
            Autoencoder, images(), hidden=[64], latent=16, code_noise=noise, output="linear", loss="mse", **SIGMOID
        )
        train(model, 300, Batch(x), lr=5e-3)
        model.eval()
        codes = model.encode(held_out)
        shares.append(((codes < 0.1) | (codes > 0.9)).float().mean().item())
        with torch.no_grad():
            errors.append(F.mse_loss(model.decode(codes.round()), held_out).item())
    assert shares[1] > shares[0] and shares[1] > 0.8
    assert errors[1] < errors[0]
    with torch.no_grad():
        assert model.validation(Batch(held_out))["autoencoder/binary_mse"].item() == pytest.approx(errors[1], rel=1e-4)


# -- what is refused


@pytest.mark.parametrize(
    ("values", "data", "key", "advice"),
    [
        ({"network": "conv", "tied": True}, images(), "model.tied", "false"),
        ({"network": "conv", "pretrain_steps": 10}, images(), "model.pretrain_steps", "0"),
        ({"network": "recurrent", "hidden": [4], "code_noise": 1.0}, images(), "model.code_noise", "mlp"),
        ({"output": "linear"}, images(), "model.loss", "mse"),
        ({"sparsity": "kl"}, images(), "model.sparsity", "sigmoid"),
        ({"network": "recurrent"}, images(), "model.hidden", "100"),
        ({"network": "recurrent", "hidden": [4], "contractive": 1.0}, images(), "model.contractive", "0"),
        ({"network": "conv", "channels": [4] * 4}, images(1, 9), "model.channels", "at most 3"),
        ({}, POINTS, "dataset.name", ""),
    ],
)
def test_what_cannot_work_is_refused_with_key_and_advice(values, data, key, advice):
    problems = list(Autoencoder.refuse(Autoencoder.Config(**values), data))
    assert [problem.key for problem in problems] == [key]
    assert advice in problems[0].hint
