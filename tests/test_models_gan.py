"""The GAN's losses and penalties against definitions written out with autograd."""

import copy
import math

import pytest
import torch
from torch.nn import functional as F

from tests import small_runs
from tests.test_models import POINTS, batch_for, build, images, train
from tests.test_models_autoencoder import recipes
from tui_gen import catalog
from tui_gen.model import Batch, DataSpec
from tui_gen.models.gan import GAN
from tui_gen.models.looks.sample_distance import standardised_sliced_wasserstein
from tui_gen.models.nets.adversaries import gradient_norms
from tui_gen.models.nets.diffaugment import augmented
from tui_gen.models.nets.layers import MinibatchDiscrimination
from tui_gen.train.engine.building import weights_of

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


def test_the_textbook_gan_has_the_textbooks_parameters():
    mnist = DataSpec("mnist", "image", (1, 28, 28), (), 60_000)
    sizes = {"generator_hidden": [100, 150], "discriminator_hidden": [150, 100], "generator_norm": "none"}
    model = build(GAN, mnist, latent=30, **sizes)
    assert sum(p.numel() for p in model.generator.parameters()) == 136_634
    assert sum(p.numel() for p in model.discriminator.parameters()) == 132_951


def test_weight_clipping_holds_the_critic_and_only_it():
    model = build(GAN, POINTS, **SMALL, loss="wasserstein", weight_clip=0.05)
    batch = batch_for(model)
    batch.shared["fakes"] = fakes = torch.rand_like(batch.x)
    loss, metrics = model.discriminator_loss(batch)
    expected = model.discriminator(fakes, None).mean() - model.discriminator(batch.x, None).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(metrics["wasserstein"], -expected.detach())
    train(model, 3)
    assert max(p.abs().max().item() for p in model.discriminator.parameters()) == pytest.approx(0.05)
    assert max(p.abs().max() for p in model.generator.parameters()) > 0.1


def test_other_losses_clip_nothing():
    model = build(GAN, POINTS, **SMALL, weight_clip=1e-4)
    train(model, 3)
    assert max(p.abs().max() for p in model.discriminator.parameters()) > 0.1


def test_least_squares_aims_at_the_smoothed_label():
    model = build(GAN, POINTS, **SMALL, loss="least-squares", label_smoothing=0.2)
    batch = batch_for(model)
    batch.shared["fakes"] = fakes = torch.rand_like(batch.x)
    real, fake = model.discriminator(batch.x, None), model.discriminator(fakes, None)
    loss, _ = model.discriminator_loss(batch)
    torch.testing.assert_close(loss, 0.5 * ((real - 0.8).square() + fake.square()).mean())


@pytest.mark.parametrize("values", [SMALL, CONV], ids=["mlp", "dcgan"])
def test_minibatch_deviation_is_one_more_feature_and_real_and_fake_do_not_meet_in_it(values):
    model = build(GAN, images(), **values, minibatch_std=True, loss="hinge")
    x = batch_for(model).x
    features = model.discriminator.features(x)
    deviation = features.std(0, correction=0).mean().expand(len(x), 1)
    expected = model.discriminator.score(torch.cat([features, deviation], 1)).squeeze(1)
    torch.testing.assert_close(model.discriminator(x, None), expected, atol=1e-4, rtol=1e-3)
    fakes = torch.rand_like(x) - 3
    loss, _ = model.discriminator_loss(Batch(x, shared={"fakes": fakes}))
    real, fake = model.discriminator(x, None), model.discriminator(fakes, None)
    torch.testing.assert_close(loss, (F.relu(1 - real) + F.relu(1 + fake)).mean())


@pytest.mark.parametrize("values", [SMALL, CONV], ids=["mlp", "dcgan"])
def test_minibatch_discrimination_is_that_of_the_paper_and_real_and_fake_do_not_meet_in_it(values):
    """o(xᵢ)_b = Σ_{j≠i} exp(−‖M_ib − M_jb‖₁) with M = f(x) T, by plain loops."""
    model = build(GAN, images(), **values, minibatch_kernels=3, minibatch_width=4, loss="hinge")
    x = batch_for(model, 5).x
    features = model.discriminator.features(x)
    projected = (features @ model.discriminator.closeness.project.weight.T).view(5, 3, 4)
    near = torch.zeros(5, 3)
    for i in range(5):
        for j in set(range(5)) - {i}:
            for b in range(3):
                near[i, b] += torch.exp(-torch.linalg.vector_norm(projected[i, b] - projected[j, b], 1))
    torch.testing.assert_close(model.discriminator.closeness(features), near)
    expected = model.discriminator.score(torch.cat([features, near], 1)).squeeze(1)
    torch.testing.assert_close(model.discriminator(x, None), expected)
    fakes = torch.rand_like(x) - 3
    loss, _ = model.discriminator_loss(Batch(x, shared={"fakes": fakes}))
    real, fake = model.discriminator(x, None), model.discriminator(fakes, None)
    torch.testing.assert_close(loss, (F.relu(1 - real) + F.relu(1 + fake)).mean())


def test_minibatch_discrimination_gives_a_collapsed_generator_away_and_bears_any_batch():
    closeness = MinibatchDiscrimination(6, 2, 3)
    one, many = torch.randn(1, 6), 9 * torch.randn(8, 6)
    torch.testing.assert_close(closeness(one.expand(8, -1)), torch.full((8, 2), 7.0))  # all alike: N − 1
    assert closeness(many).max() < 3.5 and torch.equal(closeness(one), torch.zeros(1, 2))
    alike = one.expand(8, -1).clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(closeness(alike).sum(), alike)
    assert torch.isfinite(gradient).all()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(closeness(many.bfloat16()), closeness(many.bfloat16().float()))


def test_two_time_scales_move_each_network_at_its_own_rate():
    """Plain gradient descent, so a step is rate · gradient: a hundred times the rate, a hundred times the step."""
    moved = {}
    for rate in (1e-4, 1e-2):
        trainer = small_runs.trainer("gan", model__r1_weight=0.0, train__ema=0.0, train__phases={
            "generator": {"optimizer": "sgd", "lr": 1e-3, "beta1": 0.0},
            "discriminator": {"optimizer": "sgd", "lr": rate, "beta1": 0.0},
        })  # fmt: skip
        networks = (trainer.model.generator, trainer.model.discriminator)
        before = [[p.detach().clone() for p in network.parameters()] for network in networks]
        trainer.train_step()
        moved[rate] = [
            torch.cat([(p - old).flatten() for p, old in zip(network.parameters(), olds, strict=True)]).norm().item()
            for network, olds in zip(networks, before, strict=True)
        ]
    assert moved[1e-2][0] == moved[1e-4][0] > 0
    assert moved[1e-2][1] == pytest.approx(100 * moved[1e-4][1], rel=1e-2)


@pytest.mark.parametrize("loss", ["non-saturating", "hinge", "least-squares", "wasserstein", "wasserstein-gp"])
@pytest.mark.parametrize("values", [SMALL, CONV], ids=["mlp", "dcgan"])
def test_every_trick_at_once_trains_with_every_loss_or_is_refused(values, loss):
    tricks = {
        "minibatch_std": True, "minibatch_kernels": 2, "replay": 4, "label_smoothing": 0.1, "instance_noise": 0.1,
        "augment": "all", "r1_weight": 0.1, "r1_every": 2, "n_critic": 2, "conditional": True,
        "discriminator_norm": "spectral",
    }  # fmt: skip
    refused = {problem.key for problem in GAN.refuse(GAN.Config(**values, **tricks, loss=loss), images())}
    expected = {"model.minibatch_kernels"} if loss == "wasserstein-gp" else set()
    assert refused == expected | (set() if loss in ("non-saturating", "least-squares") else {"model.label_smoothing"})
    off = {"model.minibatch_kernels": {"minibatch_kernels": 0}, "model.label_smoothing": {"label_smoothing": 0.0}}
    for key in refused:
        tricks |= off[key]
    model = build(GAN, images(), **values, **tricks, loss=loss)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    found = train(model, 4)
    assert all(math.isfinite(value) for value in found.values()) and "discriminator/r1" in found
    still = {name for name, p in model.named_parameters() if torch.equal(p, before[name])}
    assert still <= {"discriminator.score.bias"}  # which a difference of scores leaves alone


@pytest.mark.parametrize("size", [28, 32, 64])
def test_the_dcgan_recipe_trains_at_the_sizes_that_it_names(size):
    known = small_runs.built()[0]
    known.recipes = recipes()
    wide = {28: "128,64", 32: "256,128,64", 64: "512,256,128,64"}[size]
    narrow = ",".join(reversed(wide.split(",")))
    comments = known.recipes["dcgan"].text.split("name =")[0]
    assert all(one in comments for one in ((wide, narrow) if size == 32 else (wide,) if size == 64 else ()))
    config = catalog.resolve("dcgan", known, [
        f"dataset.size={size}", f"model.generator_channels={wide}", f"model.discriminator_channels={narrow}",
    ])  # fmt: skip
    model = build(GAN, images(1, size), **config.model.values)
    batch = batch_for(model, 2)
    batch.labels = None
    assert all(math.isfinite(value) for value in train(model, 1, batch).values())
    assert model.sample(torch.randn(2, 100)).shape == (2, 1, size, size)
    layers = [one for one in model.generator.modules() if isinstance(one, torch.nn.ConvTranspose2d)]
    smallest = size // 2 ** len(layers)
    assert smallest == {28: 7, 32: 4, 64: 4}[size]  # the paper's nets start from 4×4


def test_instance_noise_fades_and_falls_on_real_and_generated_alike():
    model = build(GAN, POINTS, **SMALL, instance_noise=0.5, instance_noise_steps=100)
    x = torch.zeros(5000, 2)
    for step, spread in ((0, 0.495), (49, 0.25), (99, 0.0), (1000, 0.0)):
        assert model.discriminator_input(x, Batch(x, step=step)).std().item() == pytest.approx(spread, rel=0.05)
    model.config.instance_noise_steps = 0
    assert model.discriminator_input(x, Batch(x, step=10**6)).std().item() == pytest.approx(0.5, rel=0.05)
    given = []
    model.discriminator.register_forward_hook(lambda module, inputs, out: given.append(inputs[0]))
    model.discriminator_loss(Batch(x, step=0, shared={"fakes": x}))
    real, fake = given[0].chunk(2)
    assert real.std() > 0.4 and fake.std() > 0.4 and not torch.equal(real, fake)


@pytest.mark.parametrize("channels", [1, 3])
def test_augmentations_do_what_they_say(channels):
    torch.manual_seed(0)
    x = torch.rand(200, channels, 8, 8) + 1
    moved = augmented(x, "brightness") - x
    torch.testing.assert_close(moved, moved[:, :1, :1, :1].expand_as(moved))
    assert moved.min() < -0.4 and moved.max() > 0.4 and moved.abs().max() <= 0.5 + 1e-5
    cut = augmented(x, "cutout")
    gone = cut == 0
    assert torch.equal(cut[~gone], x[~gone])
    assert gone.flatten(1).sum(1).max() == 16 * channels and gone.any(1).flatten(1).any(1).all()
    assert gone.all(1).all(0).sum() == 0 and gone.all(1).any(0).all()
    assert (augmented(x, "cutout", cuts_half=False) == 0).flatten(1).sum(1).max() == 9 * channels
    seen = set()
    for image, out in zip(x, augmented(x, "shift"), strict=True):
        padded = F.pad(image, (1, 1, 1, 1))
        places = [(i, j) for i in range(3) for j in range(3) if torch.equal(padded[:, i : i + 8, j : j + 8], out)]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) == 9


def test_runs_begun_before_an_even_half_was_cut_out_go_on_as_they_were():
    trainer = small_runs.trainer("gan", model__augment="cutout")
    trainer.train_step()
    taken = copy.deepcopy((trainer.state(), weights_of(trainer.model), weights_of(trainer.average)))
    trainer.restore(*taken)
    assert trainer.model.cuts_half
    trainer.train_step()
    after = copy.deepcopy(weights_of(trainer.model))
    del taken[0]["cuts_half"]
    trainer.restore(*taken)
    trainer.train_step()
    assert not trainer.model.cuts_half and trainer.state()["cuts_half"] is False
    assert any(not torch.equal(tensor, weights_of(trainer.model)[name]) for name, tensor in after.items())


def test_gradients_pass_through_augmentation_to_the_generator():
    model = build(GAN, images(), **SMALL, augment="all", instance_noise=0.1)
    loss, _ = model.generator_loss(batch_for(model))
    gradients = torch.autograd.grad(loss, list(model.generator.parameters()))
    assert all(torch.isfinite(one).all() and one.abs().sum() > 0 for one in gradients)


def test_replay_shows_older_fakes_with_their_labels_and_keeps_the_newest():
    model = build(GAN, POINTS, **SMALL, replay=6, conditional=True)

    def batch(value):
        return torch.full((4, 2), float(value)), torch.full((4,), value % 2)

    def learn(value):
        fakes, labels = batch(value)
        shown = model.memory.with_older(fakes, labels, 1.0)
        model.remember(Batch(fakes, labels, 0, {"to_remember": fakes}))
        return shown

    shown, labels = learn(1)
    assert torch.equal(shown, batch(1)[0])  # nothing older yet
    shown, labels = learn(2)
    assert torch.equal(shown, batch(1)[0]) and torch.equal(labels, batch(1)[1])
    learn(3)
    assert sorted(model.replayed[:, 0].tolist()) == [2, 2, 3, 3, 3, 3]
    assert torch.equal(model.replayed_labels, model.replayed[:, 0].long() % 2)
    shown, labels = model.memory.with_older(*batch(4), 1.0)
    assert torch.equal(labels, shown[:, 0].long() % 2) and (shown < 4).all()
    assert torch.equal(model.memory.with_older(*batch(9), 0.0)[0], batch(9)[0])
    model.eval()
    fakes, labels = batch(9)
    losses = []
    for model.config.replay in (6, 0):
        losses.append(model.discriminator_loss(Batch(torch.zeros(4, 2), labels, 0, {"fakes": fakes}))[0])
    assert losses[0] == losses[1], "a validation asks of new ones only"


def test_replay_takes_batches_larger_than_itself():
    model = build(GAN, images(), **SMALL, replay=1)
    train(model, 3)
    assert model.replay_seen == 3 and model.replayed.abs().sum() > 0


def test_a_run_with_every_trick_resumes_bit_for_bit():
    tricks = {
        "model__replay": 20, "model__minibatch_std": True, "model__minibatch_kernels": 2, "model__augment": "all",
        "model__instance_noise": 0.3, "model__instance_noise_steps": 10, "model__conditional": True,
        "model__label_smoothing": 0.1,
    }  # fmt: skip
    straight = small_runs.trainer("gan", **tricks)
    for _ in range(8):
        straight.train_step()
    first = small_runs.trainer("gan", **tricks)
    for _ in range(4):
        first.train_step()
    copies = [{k: v.clone() for k, v in weights_of(m).items()} for m in (first.model, first.average)]
    state = first.state()
    resumed = small_runs.trainer("gan", **tricks)
    resumed.restore(state, *copies)
    for _ in range(4):
        resumed.train_step()
    assert {"replayed", "replayed_labels", "replay_seen"} <= set(copies[0])
    for one, other in ((straight.model, resumed.model), (straight.average, resumed.average)):
        theirs = weights_of(other)
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in weights_of(one).items())


def test_sliced_wasserstein_is_zero_for_equal_sets_and_grows_with_what_is_lost():
    torch.manual_seed(0)
    x, other = torch.randn(2000, 2), torch.randn(2000, 2)
    assert standardised_sliced_wasserstein(x[torch.randperm(2000)], x).item() == pytest.approx(0, abs=1e-6)
    near = standardised_sliced_wasserstein(other, x)
    assert near < 0.1
    shifted = standardised_sliced_wasserstein(x + torch.tensor([3.0, 0.0]), x).item()
    assert shifted == pytest.approx(3 * 2 / math.pi, rel=0.15)  # the mean of |cos| over directions
    assert standardised_sliced_wasserstein(x[:1].expand(2000, 2), x) > 0.5
    assert torch.isfinite(standardised_sliced_wasserstein(x[:1], x[:1]))


def test_points_are_not_augmented():
    (problem,) = GAN.refuse(GAN.Config(augment="shift"), POINTS)
    assert problem.key == "model.augment" and problem.hint == "set it to none"
