"""The GAN's losses and penalties against definitions written out with autograd."""

import pytest
import torch
from torch.nn import functional as F

from tests.test_models import POINTS, batch_for, build, images, train
from tui_gen.model import Batch
from tui_gen.models.gan import GAN, gradient_norms

SMALL = {"generator_hidden": [12], "discriminator_hidden": [12, 8], "latent": 3, "generator_norm": "none"}
CONV = {"network": "dcgan", "generator_channels": [8, 4], "discriminator_channels": [4, 8], "latent": 3}


def reference_norms(discriminator, x, labels):
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(x, labels).sum(), x, create_graph=True)
    return gradient.flatten(1).norm(dim=1)


@pytest.mark.parametrize(
    "values",
    [SMALL, CONV, CONV | {"discriminator_norm": "group"}, SMALL | {"discriminator_norm": "spectral"}],
    ids=["mlp", "dcgan", "group", "spectral"],
)
@pytest.mark.parametrize("conditional", [False, True])
def test_gradient_norms_and_their_gradients_equal_autograd(values, conditional):
    model = build(GAN, images(), **values, conditional=conditional).eval()  # eval holds spectral norm's vectors still
    batch = batch_for(model)
    labels = batch.labels if conditional else None
    ours, reference = (norms(model.discriminator, batch.x, labels) for norms in (gradient_norms, reference_norms))
    assert ours.shape == (len(batch.x),)
    torch.testing.assert_close(ours, reference)
    parameters = list(model.discriminator.parameters())
    gradients = [torch.autograd.grad(one.square().sum(), parameters, allow_unused=True) for one in (ours, reference)]
    for one, other in zip(*gradients):
        if other is None:  # a bias does not change the slope
            assert one is None or one.abs().max() == 0
        else:
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()) + 1e-9)


def test_the_penalty_of_a_sample_does_not_depend_on_the_others():
    model = build(GAN, images(), **CONV, discriminator_norm="group")
    x = batch_for(model, 6).x
    alone = gradient_norms(model.discriminator, x[:2], None)
    torch.testing.assert_close(gradient_norms(model.discriminator, x, None)[:2], alone)


def test_gradient_norms_are_float32_under_autocast_and_work_without_grad_mode():
    model = build(GAN, images(), **SMALL)
    x = batch_for(model).x
    expected = gradient_norms(model.discriminator, x, None).detach()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gradient_norms(model.discriminator, x, None).detach(), expected)
    with torch.no_grad():
        assert torch.equal(gradient_norms(model.discriminator, x, None), expected)


def test_wasserstein_loss_is_scores_plus_penalty():
    model = build(GAN, images(), **SMALL, loss="wasserstein-gp", gp_weight=7.0)
    batch = batch_for(model)
    batch.shared["fakes"] = fakes = torch.rand_like(batch.x)
    torch.manual_seed(5)
    loss, metrics = model.discriminator_loss(batch)
    torch.manual_seed(5)
    between = batch.x + torch.rand(len(fakes), 1, 1, 1) * (fakes - batch.x)
    score = model.discriminator
    distance = score(batch.x, None).mean() - score(fakes, None).mean()
    penalty = (reference_norms(score, between, None) - 1).square().mean()
    torch.testing.assert_close(metrics["wasserstein"], distance.detach())
    torch.testing.assert_close(metrics["gradient_penalty"], penalty.detach())
    torch.testing.assert_close(loss, -distance + 7 * penalty)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_non_saturating_loss_is_cross_entropy(smoothing):
    model = build(GAN, images(), **SMALL, label_smoothing=smoothing)
    batch = batch_for(model)
    batch.shared["fakes"] = fakes = torch.rand_like(batch.x)
    real, fake = model.discriminator(batch.x, None), model.discriminator(fakes, None)
    entropy = F.binary_cross_entropy_with_logits
    expected = entropy(real, torch.full_like(real, 1 - smoothing)) + entropy(fake, torch.zeros_like(fake))
    loss, metrics = model.discriminator_loss(batch)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(metrics["D_real"], real.sigmoid().mean().detach())
    torch.testing.assert_close(metrics["D_fake"], fake.sigmoid().mean().detach())


def test_lazy_r1_comes_at_its_steps_with_its_weight():
    model = build(GAN, images(), **CONV, r1_weight=2.0, r1_every=4)
    batch = batch_for(model)
    batch.shared["fakes"] = torch.rand_like(batch.x)
    losses = {}
    for step in (3, 4):
        loss, metrics = model.discriminator_loss(Batch(batch.x, None, step, batch.shared))
        losses[step] = loss
        assert ("r1" in metrics) == (step == 4)
    penalty = 0.5 * reference_norms(model.discriminator, batch.x, None).square().mean()
    torch.testing.assert_close(metrics["r1"], penalty.detach())
    torch.testing.assert_close(losses[4] - losses[3], 2.0 * 4 * penalty)


@pytest.mark.parametrize("norm", ["none", "group", "batch"])
def test_real_and_generated_images_do_not_meet_in_one_normalisation(norm):
    """The scores of a discriminator step are those of separate forwards, however it runs them."""
    model = build(GAN, images(), **CONV, discriminator_norm=norm, loss="hinge")
    batch = batch_for(model)
    batch.shared["fakes"] = fakes = torch.rand_like(batch.x) - 3
    real, fake = model.discriminator(batch.x, None), model.discriminator(fakes, None)
    loss, metrics = model.discriminator_loss(batch)
    torch.testing.assert_close(loss, (F.relu(1 - real) + F.relu(1 + fake)).mean())
    torch.testing.assert_close(metrics["D_real"], real.mean().detach())


def test_the_discriminator_learns_from_the_generators_fakes_without_reaching_it():
    model = build(GAN, POINTS, **SMALL)
    batch = batch_for(model)
    generator, discriminator = model.phases()
    generator.loss(batch)
    fakes = batch.shared["fakes"]
    assert not fakes.requires_grad
    seen = []
    model.discriminator.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    loss, _ = discriminator.loss(batch)
    assert torch.equal(seen[0], torch.cat([batch.x, fakes]))
    gradients = torch.autograd.grad(loss, list(model.generator.parameters()), allow_unused=True)
    assert all(gradient is None for gradient in gradients)


def test_n_critic_sets_how_often_the_generator_moves():
    model = build(GAN, POINTS, **SMALL, n_critic=3)
    generator, discriminator = model.phases()
    assert (generator.every(), discriminator.every()) == (3, 1)
    train(model, 1)
    before = [parameter.detach().clone() for parameter in model.generator.parameters()]
    batch = batch_for(model)
    for step in (1, 2):
        loss, metrics = discriminator.loss(Batch(batch.x, None, step))  # makes its own fakes
        assert loss.requires_grad and metrics
    assert all(torch.equal(a, b) for a, b in zip(before, model.generator.parameters()))
    model.config.n_critic = 5
    assert generator.every() == 5


def test_diversity_is_the_ratio_of_spreads():
    model = build(GAN, POINTS, **SMALL)
    x = torch.randn(500, 2)
    for factor in (0.0, 0.5, 1.0):
        _, metrics = model.discriminator_loss(Batch(x, shared={"fakes": factor * x}))
        assert metrics["diversity"].item() == pytest.approx(factor, abs=1e-6)


def test_spectral_norm_bounds_every_layer():
    model = build(GAN, images(), **SMALL, discriminator_norm="spectral", loss="hinge")
    train(model, 60, lr=1e-2)
    model.eval()
    layers = [module for module in model.discriminator.modules() if isinstance(module, torch.nn.Linear)]
    assert len(layers) == 3
    assert all(torch.linalg.matrix_norm(layer.weight, 2) < 1.1 for layer in layers)


def test_labels_change_samples_and_scores():
    model = build(GAN, images(), **CONV, conditional=True).eval()
    labels = torch.tensor([0, 1])
    noise = torch.randn(1, 3).expand(2, -1)
    samples = model.sample(noise, labels)
    assert not torch.equal(samples[0], samples[1])
    assert torch.equal(samples, model.decode(noise, labels))
    scores = model.discriminator(samples[:1].expand(2, -1, -1, -1), labels)
    assert scores[0] != scores[1]
