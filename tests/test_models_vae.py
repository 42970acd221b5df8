"""The VAE's terms against closed forms and PyTorch's own distributions."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from tests.test_models import POINTS, batch_for, build, images, train
from tui_gen.model import DataSpec
from tui_gen.models.vae import VAE


def test_the_textbook_network_has_652_824_parameters():
    mnist = DataSpec("mnist", "image", (1, 28, 28), tuple("0123456789"), 60_000)
    assert build(VAE, mnist, hidden=[400], latent=20).parameter_count() == 652_824


def test_kl_and_active_units_equal_their_definitions():
    model = build(VAE, images(), hidden=[16], latent=5)
    train(model, 20)
    batch = batch_for(model, 7)
    mean, log_variance = model.posterior(batch.x, batch.labels)
    posterior = Independent(Normal(mean, log_variance.exp().sqrt()), 1)
    prior = Independent(Normal(torch.zeros(7, 5), torch.ones(7, 5)), 1)
    _, metrics = model.loss(batch)
    assert metrics["kl"].item() == pytest.approx(kl_divergence(posterior, prior).mean().item(), rel=1e-4)
    assert metrics["kl"] > 0
    assert metrics["active_units"] == sum(bool(column.var(correction=0) > 0.01) for column in mean.T)


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_bernoulli_reconstruction_is_the_log_probability_of_binary_images(network):
    model = build(VAE, images(3, 8), network=network, latent=4)
    x = batch_for(model).x.round()
    logits = model.logits(torch.randn(len(x), 4), None)
    expected = -Bernoulli(logits=logits).log_prob(x).sum() / len(x)
    assert model.negative_log_likelihood(logits, x).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("sigma", [0.0, 0.25])
@pytest.mark.parametrize("data", [images(), POINTS], ids=["images", "points"])
def test_gaussian_reconstruction_is_the_log_density(data, sigma):
    model = build(VAE, data, hidden=[8], latent=2, likelihood="gaussian", sigma=sigma)
    x = batch_for(model).x
    if sigma == 0:
        with torch.no_grad():
            model.log_sigma.fill_(math.log(0.5))
    logits = model.logits(torch.randn(len(x), 2), None)
    mean = torch.sigmoid(logits) if data.kind == "image" else logits
    expected = -Normal(mean, sigma or 0.5).log_prob(x).sum() / len(x)
    assert model.negative_log_likelihood(logits, x).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_learned_sigma_finds_the_spread_of_the_errors():
    model = build(VAE, POINTS, hidden=[8], latent=1, likelihood="gaussian", beta=0.0)
    batch = batch_for(model, 64)
    batch.x.mul_(0.3)
    found = train(model, 600, batch, lr=1e-2)
    with torch.no_grad():
        error = (model.reconstruct(batch.x) - batch.x).square().mean().sqrt()
    assert found["vae/sigma"] == pytest.approx(error.item(), rel=0.3)
    assert found["vae/sigma"] < 0.3


def test_beta_weighs_the_kl_and_may_change_between_steps():
    model = build(VAE, images(), hidden=[16], latent=5)
    train(model, 5)
    batch = batch_for(model)
    for beta in (0.0, 1.0, 7.5):
        model.config.beta = beta
        torch.manual_seed(0)
        loss, metrics = model.loss(batch)
        assert loss.item() == pytest.approx((metrics["reconstruction"] + beta * metrics["kl"]).item(), rel=1e-6)
        assert metrics["elbo"].item() == pytest.approx(-(metrics["reconstruction"] + metrics["kl"]).item(), rel=1e-6)


def test_the_sampled_kl_agrees_with_the_closed_form():
    """E_q[ln q(z|x) − ln p(z)] over many codes is the KL term of the loss."""
    model = build(VAE, images(), hidden=[16], latent=3)
    train(model, 20)
    batch = batch_for(model, 4)
    with torch.no_grad():
        mean, log_variance = model.posterior(batch.x, None)
        posterior = Normal(mean, (0.5 * log_variance).exp())
        z = posterior.sample((20_000,))
        sampled = (posterior.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1).mean()
        _, metrics = model.loss(batch)
    assert metrics["kl"].item() == pytest.approx(sampled.item(), abs=0.02)


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_labels_change_what_a_conditional_vae_encodes_and_decodes(network):
    model = build(VAE, images(), network=network, latent=3, conditional=True)
    x = batch_for(model, 2).x[:1].expand(2, -1, -1, -1)
    labels = torch.tensor([0, 1])
    codes = model.encode(x, labels)
    assert not torch.equal(codes[0], codes[1])
    out = model.decode(codes[:1].expand(2, -1), labels)
    assert not torch.equal(out[0], out[1])
    assert torch.equal(model.reconstruct(x, labels), model.decode(codes, labels))


def test_mlp_hidden_layers_may_be_none_at_all():
    model = build(VAE, images(), hidden=[], latent=3)
    assert model.parameter_count() == (64 * 6 + 6) + (3 * 64 + 64)
    assert model.encode(batch_for(model).x).shape == (6, 3)
