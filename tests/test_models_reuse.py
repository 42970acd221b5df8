"""Classifiers built on other runs: few labels on a pretrained encoder, and the classification accuracy score."""

import math

import pytest
import torch
from torch.nn import functional as F

from tests.test_models import batch_for, build, images, train
from tui_gen import params
from tui_gen.model import Batch, Given
from tui_gen.models.augmented_classifier import AugmentedClassifier
from tui_gen.models.autoencoder import Autoencoder
from tui_gen.models.diffusion import DDPM
from tui_gen.models.gan import GAN
from tui_gen.models.pretrained_classifier import PretrainedClassifier, parameters_of_codes
from tui_gen.models.vae import VAE
from tui_gen.train.engine.building import Origin, Part, refusals


def frozen(kind, data, **values):
    return build(kind, data, **values).requires_grad_(False).eval()


def pretrained(stage, batch=None, **values):
    torch.manual_seed(1)
    config = PretrainedClassifier.Config(**{"labels": 20, "frozen_steps": 2} | values)
    assert not list(PretrainedClassifier.refuse(config, stage.data, encoder=stage))
    model = PretrainedClassifier(config, stage.data, encoder=stage)
    model.prepare(batch or batch_for(model, model.examples))
    return model.train()


def augmented(generator, **values):
    torch.manual_seed(1)
    config = AugmentedClassifier.Config(**{"hidden": [12], "samples": 40} | values)
    assert not list(AugmentedClassifier.refuse(config, generator.data, generator=generator))
    return AugmentedClassifier(config, generator.data, generator=generator).train()


ENCODERS = [
    (Autoencoder, images(), {"latent": 6, "hidden": [12]}),
    (Autoencoder, images(3, 16), {"network": "conv", "channels": [4, 4], "latent": 6}),
    (Autoencoder, images(), {"network": "recurrent", "hidden": [8], "latent": 6}),
    (VAE, images(), {"hidden": [12], "latent": 3}),
    (VAE, images(3, 16), {"network": "conv", "channels": [4, 8], "latent": 3}),
]


@pytest.mark.parametrize(("kind", "data", "values"), ENCODERS)
def test_the_encoder_is_frozen_for_a_while_and_then_learns(kind, data, values):
    model = pretrained(frozen(kind, data, **values), hidden=[8])
    before = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    found = train(model, 2)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.encoder.state_dict().items())
    assert {"head/loss", "head/accuracy", "scratch/loss"} <= found.keys() and "tune/loss" not in found
    batch = batch_for(model)
    for step in (2, 3):
        for phase in model.phases():
            if phase.when is None or phase.when(step, None):
                parameters = list(phase.parameters)
                loss, _ = phase.loss(Batch(batch.x, batch.labels, step))
                gradients = torch.autograd.grad(loss, parameters)
                with torch.no_grad():
                    for parameter, gradient in zip(parameters, gradients):
                        parameter -= 0.1 * gradient
    moved = {name for name, tensor in model.encoder.state_dict().items() if not torch.equal(before[name], tensor)}
    assert moved and len(parameters_of_codes(model.encoder, data.shape)) >= len(moved)
    assert not any("decoder" in name for name in moved)
    model.eval()
    with torch.no_grad():
        kinds = [panel.kind for panel in model.panels(Given(batch.x, batch.labels, None, None))]
        values = model.validation(batch)
    assert kinds == ["labelled", "codes", "scores"]
    torch.testing.assert_close(values["gain"], values["pretrained/accuracy"] - values["scratch/accuracy"])


def test_both_networks_have_the_same_shape_and_the_scratch_one_fresh_weights():
    model = pretrained(frozen(VAE, images(), hidden=[12], latent=3))
    one, two = model.encoder.state_dict(), model.fresh.state_dict()
    assert {name: tensor.shape for name, tensor in one.items()} == {name: tensor.shape for name, tensor in two.items()}
    assert not torch.equal(one["encoder.0.weight"], two["encoder.0.weight"])
    shared = {p.data_ptr() for p in model.encoder.parameters()} & {p.data_ptr() for p in model.fresh.parameters()}
    assert not shared
    gradients = {id(p) for phase in model.phases() for p in phase.parameters}
    assert gradients == {id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize("kind", [Autoencoder, GAN])
def test_labelled_images_are_as_many_of_each_class_and_kept_to_the_last_bit(kind):
    stage = frozen(VAE, images(), hidden=[12], latent=3)
    if kind is GAN:
        stage.value_range = "signed"
    generator = torch.Generator().manual_seed(0)
    raw = torch.randint(0, 256, (300, 1, 8, 8), generator=generator)
    x = raw.float() / 127.5 - 1 if kind is GAN else raw.float() / 255
    labels = torch.randint(0, 10, (300,), generator=generator)
    model = pretrained(stage, Batch(x, labels), labels=25)
    counts = torch.bincount(model.truths, minlength=10)
    assert counts.sum() == 25 and counts.min() == 2 and counts.max() == 3
    where = [int((raw == one).flatten(1).all(1).nonzero()) for one in model.images]
    assert torch.equal(model.from_bytes(model.images), x[where]) and torch.equal(model.truths, labels[where])


def test_only_the_labelled_images_are_learnt_from():
    model = pretrained(frozen(VAE, images(), hidden=[12], latent=3))
    found = []
    for seed in (1, 2):
        torch.manual_seed(7)
        found.append([float(phase.loss(batch_for(model, 6, seed))[0].detach()) for phase in model.phases()])
    assert found[0] == found[1]


def test_few_of_a_class_are_made_up_for_by_others():
    model = pretrained(frozen(VAE, images(), hidden=[12], latent=3), labels=20, batch=Batch(
        torch.rand(60, 1, 8, 8), torch.tensor([0] * 3 + [1] * 57)
    ))  # fmt: skip
    assert torch.bincount(model.truths, minlength=2)[:2].tolist() == [3, 17]


GENERATORS = [
    (VAE, images(), {"hidden": [12], "latent": 3, "conditional": True}),
    (GAN, images(3, 16), {"generator_hidden": [12], "discriminator_hidden": [12], "latent": 3, "conditional": True}),
    (DDPM, images(), {"network": "mlp", "hidden": [12], "timesteps": 20, "sample_steps": 2, "conditional": True}),
]


@pytest.mark.parametrize("network", ["mlp", "cnn"])
@pytest.mark.parametrize(("kind", "data", "values"), GENERATORS)
def test_images_are_drawn_in_the_first_steps_of_every_class_and_kept(kind, data, values, network):
    model = augmented(frozen(kind, data, **values), network=network, padding="same")
    batch = batch_for(model, 16)
    for step in range(4):
        model.draw_more(Batch(batch.x, batch.labels, step))
        filled = min(40, 16 * (step + 1))
        empty = model.images.flatten(1).sum(1) == 0
        assert not empty[:filled].any() and empty[filled:].all()
    assert torch.bincount(model.asked).tolist() == [4] * 10
    kept = model.images.clone()
    found = train(model, 0) | train(model, 1, Batch(batch.x, batch.labels))
    model.draw_more(Batch(batch.x, batch.labels, 9))
    assert not torch.equal(kept[:16], model.images[:16]) and torch.equal(kept[16:], model.images[16:])
    assert {"generated/loss", "generated/accuracy", "real/loss", "real/accuracy"} == set(found)
    model.eval()
    with torch.no_grad():
        values = model.validation(batch)
        panels = model.panels(Given(batch.x, batch.labels, None, None))
    assert panels[0].kind == "generated" and "scores" in [panel.kind for panel in panels]
    torch.testing.assert_close(values["gap"], values["real/accuracy"] - values["generated/accuracy"])
    assert all(math.isfinite(value) for value in values.values())


class OneLit(torch.nn.Module):
    """Draws images of one bright pixel: the label tells which."""

    conditional, value_range, noise_shape = True, "signed", (1,)

    def sample(self, noise, labels):
        return 2 * lit(labels) - 1


def lit(labels):
    return F.one_hot(labels, 64).float().view(-1, 1, 8, 8)


def test_it_learns_what_the_generator_draws_and_is_judged_on_real_images():
    torch.manual_seed(0)
    config = AugmentedClassifier.Config(hidden=[32], samples=100)
    model = AugmentedClassifier(config, images(), generator=OneLit()).train()
    labels = torch.arange(100) % 10
    shuffled = (labels + 3) % 10  # real images say otherwise
    real = Batch(lit(labels), shuffled)
    train(model, 60, real, lr=1e-2)
    model.eval()
    with torch.no_grad():
        values = model.validation(real)
        own = model.validation(Batch(real.x, labels))
    assert own["generated/accuracy"] > 0.9 and values["generated/accuracy"] < 0.2 < 0.9 < values["real/accuracy"]
    assert torch.equal(model.images[:10], (255 * lit(labels[:10])).to(torch.uint8))


def test_some_real_images_may_be_mixed_in():
    model = augmented(frozen(VAE, images(), hidden=[12], latent=3, conditional=True), real_share=0.25)
    batch = batch_for(model, 16)
    model.draw_more(batch)
    x, labels = model.mixed(batch)
    assert torch.equal(x[:4], batch.x[:4]) and torch.equal(labels[:4], batch.labels[:4])
    assert not torch.equal(x[4:], batch.x[4:]) and x.shape == batch.x.shape


def test_networks_train_on_their_own_images_only():
    model = augmented(frozen(VAE, images(), hidden=[12], latent=3, conditional=True))
    generated, real = model.phases()
    assert not {id(p) for p in generated.parameters} & {id(p) for p in real.parameters}
    assert model.net.linears.layers[0].weight.shape == model.real.linears.layers[0].weight.shape
    batch = batch_for(model)
    loss, _ = real.loss(batch)
    torch.testing.assert_close(loss, F.cross_entropy(model.real(batch.x), batch.labels))


def refused(kind, config, data, **parts):
    problems = list(kind.refuse(config, data, **parts))
    assert all(problem.hint for problem in problems)
    return [(problem.key, str(problem)) for problem in problems]


def test_a_generator_without_labels_is_refused():
    stage = frozen(VAE, images(), hidden=[12], latent=3)
    ((key, words),) = refused(AugmentedClassifier, AugmentedClassifier.Config(), images(), generator=stage)
    assert key == "model.generator" and "without a label" in words and "cvae" in words


@pytest.mark.parametrize(
    ("values", "data", "key", "words"),
    [
        ({"labels": 5}, images(), "model.labels", "each of the 10 classes"),
        ({"labels": 101}, images(), "model.labels", "more than the 100 training images"),
        ({}, images(classes=()), "dataset.name", "no labels"),
    ],
)
def test_labels_that_there_are_not_are_refused(values, data, key, words):
    ((where, text),) = refused(PretrainedClassifier, PretrainedClassifier.Config(**values), data)
    assert where == key and words in text


def test_encoders_that_know_the_label_or_are_borrowed_are_refused():
    told = frozen(VAE, images(), hidden=[12], conditional=True)
    ((key, words),) = refused(PretrainedClassifier, PretrainedClassifier.Config(), images(), encoder=told)
    assert key == "model.encoder" and "with the label" in words
    from tui_gen.models.latent_diffusion import LatentDiffusion

    borrowed = LatentDiffusion(LatentDiffusion.Config(), images(), frozen(VAE, images()))
    ((_, words),) = refused(PretrainedClassifier, PretrainedClassifier.Config(), images(), encoder=borrowed)
    assert "yet another run" in words


def test_a_model_of_ones_own_is_told_the_others_and_a_fault_of_its_own_is_told_as_what_it_is():
    """By name, or any number of them. One that takes none is refused in words, and none is asked twice."""
    asked = []

    class Deaf(AugmentedClassifier):
        @classmethod
        def refuse(cls, config, data):
            return []

    class Open(AugmentedClassifier):
        @classmethod
        def refuse(cls, config, data, **parts):
            yield from super().refuse(config, data, **parts)

    class Faulty(AugmentedClassifier):
        @classmethod
        def refuse(cls, config, data, generator=None):
            asked.append(generator)
            return super().refuse(config, data, generators=len(data))

    class FaultyLater(AugmentedClassifier):
        @classmethod
        def refuse(cls, config, data, generator=None):
            asked.append(generator)
            yield from super().refuse(config, generator=generator)

    stage = frozen(VAE, images(), hidden=[12], latent=3)
    parts = {"generator": Part(Origin("", 0, "vae", {}, stage.data), stage)}

    def problems(kind):
        return refusals(kind, kind.Config(), images(), parts)

    assert [one.key for one in problems(AugmentedClassifier) + problems(Open)] == ["model.generator"] * 2
    (deaf,) = problems(Deaf)
    assert deaf.key == "model.name" and "told of generator" in str(deaf) and "**parts" in deaf.hint
    with pytest.raises(TypeError, match="no len"):  # not one of the call, but its own
        problems(Faulty)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'data'"):
        problems(FaultyLater)
    assert asked == [stage, stage]


def bounds():
    for kind in (PretrainedClassifier, AugmentedClassifier):
        for param in params.describe(kind.Config):
            if param.name not in ("labels", "frozen_steps", "hidden", "samples", "real_share"):
                continue  # the classifier's own are tested there
            for value in (param.ge, param.le):
                assert value is not None
                value = value if param.kind == "float" else int(value)
                yield pytest.param(kind, param.name, [value] if param.kind == "list" else value)


@pytest.mark.parametrize(("kind", "name", "value"), list(bounds()))
def test_at_its_bounds_every_hyperparameter_trains_or_is_refused(kind, name, value):
    data = images()
    stage = frozen(VAE, data, hidden=[12], latent=3, conditional=kind is AugmentedClassifier)
    part = {"generator" if kind is AugmentedClassifier else "encoder": stage}
    config = kind.Config(**{name: value})
    if list(kind.refuse(config, data, **part)):
        assert name == "labels"
        return
    torch.manual_seed(0)
    model = kind(config, data, **part)
    if model.examples:
        model.prepare(batch_for(model, model.examples))
    assert all(math.isfinite(number) for number in train(model.train(), 2).values())
