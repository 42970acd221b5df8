"""The VAE's terms against closed forms and PyTorch's own distributions."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence
from torch.nn import functional as F

from tests.test_models import POINTS, batch_for, build, images, train
from tui_gen.model import Batch, DataSpec, Given
from tui_gen.models.looks import tables
from tui_gen.models.looks.importance_weights import log_likelihood
from tui_gen.models.vae import VAE, kl


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


@pytest.mark.parametrize(
    ("hidden", "latent", "count"), [([400], 20, 652_824), ([150, 100], 10, 269_504), ([256], 10, 410_404)]
)
def test_textbook_networks_have_the_textbooks_parameters(hidden, latent, count):
    mnist = DataSpec("mnist", "image", (1, 28, 28), tuple("0123456789"), 60_000)
    assert build(VAE, mnist, hidden=hidden, latent=latent).parameter_count() == count


def test_mse_plus_kl_over_784_is_the_gaussian_vae_with_variance_one_half():
    """The textbook's loss times 784, plus a constant."""
    mnist = DataSpec("mnist", "image", (1, 28, 28), (), 60_000)
    model = build(VAE, mnist, hidden=[16], latent=3, likelihood="gaussian", sigma=math.sqrt(0.5))
    found = []
    for seed in (1, 2):
        batch = batch_for(model, 4, seed)
        torch.manual_seed(seed)
        loss, metrics = model.loss(batch)
        torch.manual_seed(seed)
        mean, log_variance = model.posterior(batch.x, None)
        x = model.decode(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))
        textbook = (x - batch.x).square().mean() + metrics["kl"] / 784
        found.append((loss - 784 * textbook).item())
    assert found[0] == pytest.approx(784 * 0.5 * math.log(math.pi), rel=1e-5)
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_beta_grows_from_nothing_over_the_warm_up():
    model = build(VAE, images(), hidden=[16], latent=5, beta=3.0, kl_warmup=10)
    train(model, 5)
    batch = batch_for(model)
    for step, weight in ((0, 0.3), (4, 1.5), (9, 3.0), (500, 3.0)):
        loss, metrics = model.loss(Batch(batch.x, None, step))
        expected = metrics["reconstruction"] + weight * metrics["kl"]
        assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
        assert metrics["elbo"].item() == pytest.approx(-(metrics["reconstruction"] + metrics["kl"]).item(), rel=1e-6)


def test_free_bits_cost_nothing_and_get_no_gradient_from_the_kl():
    model = build(VAE, images(), hidden=[16], latent=5, free_bits=0.2)
    with torch.no_grad():
        model.encoder[-1].weight.mul_(0.01)
        model.encoder[-1].bias.copy_(torch.tensor([3.0, 2.0, 0.1, 0.0, 0.0] + [0.0] * 5))  # KL 4.5, 2, nearly 0 …
    loss, metrics = model.loss(batch_for(model))
    assert (loss - metrics["reconstruction"]).item() == pytest.approx(4.5 + 2 + 3 * 0.2, abs=0.1)
    assert metrics["kl"].item() == pytest.approx(4.5 + 2, abs=0.1)
    (gradient,) = torch.autograd.grad(loss - metrics["reconstruction"], [model.encoder[-1].bias])
    assert gradient[:2].abs().min() > 1 and gradient[2:5].abs().max() == 0


@pytest.mark.parametrize(
    ("values", "data"),
    [({}, images()), ({"network": "conv", "channels": [4], "conditional": True}, images()),
     ({"likelihood": "gaussian", "sigma": 0.5}, POINTS), ({"likelihood": "gaussian"}, images())],
)  # fmt: skip
def test_the_importance_weighted_bound_with_one_code_is_the_elbo_and_rises_with_more(values, data):
    model = build(VAE, data, **{"hidden": [8], "latent": 2} | values)
    train(model, 30, lr=1e-2)
    model.eval()
    batch = batch_for(model, 3)
    labels = batch.labels if model.conditional else None
    with torch.no_grad():
        elbo = torch.stack([model.loss(batch)[1]["elbo"] for _ in range(400)])
        one = torch.stack([log_likelihood(model, batch.x, labels, 1).mean() for _ in range(400)])
        many = torch.stack([log_likelihood(model, batch.x, labels, 500).mean() for _ in range(5)])
    error = (elbo.var() / 400 + one.var() / 400).sqrt().item()
    assert one.mean().item() == pytest.approx(elbo.mean().item(), abs=5 * error + 1e-4)
    assert many.mean() > one.mean()
    assert many.std() < one.std()


def test_the_importance_weighted_bound_is_the_likelihood_where_that_is_known():
    """With a constant linear decoder, p(x) is a Gaussian: 1-D code, x = w z + b + σ ε."""
    model = build(VAE, POINTS, hidden=[], latent=1, likelihood="gaussian", sigma=0.5).eval()
    weight, bias = model.decoder[0].weight.detach(), model.decoder[0].bias.detach()
    x = torch.randn(4, 2)
    exact = torch.distributions.MultivariateNormal(bias, weight @ weight.T + 0.25 * torch.eye(2)).log_prob(x)
    with torch.no_grad():
        found = log_likelihood(model, x, None, 5000)
    torch.testing.assert_close(found, exact, atol=0.1, rtol=0)


def test_validation_measures_the_log_likelihood_of_a_few_where_asked():
    model = build(VAE, images(), hidden=[8], latent=2, iw_samples=7, iw_examples=2).eval()
    with torch.no_grad():
        found = model.validation(batch_for(model))
        model.config.iw_samples = 0
        assert set(found) - set(model.validation(batch_for(model))) == {"vae/iw_log_likelihood"}
    x = batch_for(model).x
    with torch.no_grad():
        assert found["vae/mse"].item() == pytest.approx(F.mse_loss(model.reconstruct(x), x).item(), rel=1e-5)
    assert found["vae/iw_log_likelihood"].dim() == 0 and found["vae/iw_log_likelihood"] < 0


def test_the_code_panel_has_the_kl_of_every_dimension_greatest_first():
    model = build(VAE, images(), hidden=[16], latent=4)
    with torch.no_grad():
        model.encoder[-1].weight.zero_()
        model.encoder[-1].bias.copy_(torch.tensor([0.0, 2.0, 0.0, 1.0] + [0.0] * 4))
        batch = batch_for(model, 30)
        codes, text = model.panels(Given(batch.x, batch.labels, None, None))
    assert codes.kind == "codes" and codes.images.shape == (1, 3, 160, 160)
    lines = text.text.splitlines()
    assert lines[:2] == ["0 of 4 dimensions active", "KL 2.50 nats, by dimension:"]
    assert [(int(line.split()[0]), float(line.split()[-1])) for line in lines[3:]] == [
        (2, 2.0), (4, 0.5), (1, 0.0), (3, 0.0)
    ]  # fmt: skip
    assert [line.count("█") for line in lines[3:]] == [40, 10, 0, 0]


def test_the_code_panel_stays_short_and_bears_a_run_that_diverged():
    model = build(VAE, images(), hidden=[16], latent=100)
    text = tables.of_divergences(kl(torch.randn(9, 100), torch.zeros(9, 100)).mean(0), torch.ones(100) > 0)
    assert len(text.splitlines()) == 24 and all(len(line) <= 78 for line in text.splitlines())
    with torch.no_grad():
        model.encoder[0].weight.fill_(float("nan"))
        _, panel = model.panels(Given(batch_for(model).x, None, None, None))
    assert panel.text.startswith("0 of 100 dimensions active")
