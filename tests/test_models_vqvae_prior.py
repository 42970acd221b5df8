"""The prior of the VQ-VAE: it looks back only, draws as it says, and trains on codes without touching them."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests import small_runs
from tests.test_models import batch_for, build, images
from tests.test_models_vqvae import CONV, MLP, spread_out
from tui_gen.model import Batch
from tui_gen.models.nets.transformer import CausalTransformer
from tui_gen.models.vqvae import VQVAE
from tui_gen.train.engine.building import weights_of


def test_the_prior_looks_back_only():
    torch.manual_seed(0)
    prior = CausalTransformer(symbols=7, length=6, width=8, layers=2, starts=3)
    nn.init.normal_(prior.guess.weight)
    codes, labels = torch.randint(0, 7, (2, 6)), torch.tensor([0, 2])
    logits = prior(codes, labels)
    for place in range(6):
        changed = codes.clone()
        changed[:, place] = (changed[:, place] + 1) % 7
        same = [torch.allclose(a, b, atol=1e-6) for a, b in zip(logits[0], prior(changed, labels)[0], strict=True)]
        assert same == [True] * (place + 1) + [False] * (5 - place)
    assert not torch.allclose(prior(codes, torch.tensor([1, 2]))[0], logits[0])


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_drawing_code_by_code_follows_the_probabilities_of_whole_sequences(temperature):
    torch.manual_seed(0)
    prior = CausalTransformer(symbols=5, length=6, width=8, layers=2, starts=2)
    nn.init.normal_(prior.guess.weight)
    draws, labels = torch.rand(20, 6), torch.arange(20) % 2
    with torch.no_grad():
        codes = prior.draw(draws, labels, temperature)
        logits = prior(codes, labels)
    if temperature == 0:
        assert torch.equal(codes, logits.argmax(2))
        return
    below = F.pad((logits / temperature).softmax(2).cumsum(2), (1, 0))
    low, high = below.gather(2, codes[..., None])[..., 0], below.gather(2, codes[..., None] + 1)[..., 0]
    assert ((low - 1e-5 <= draws) & (draws <= high + 1e-5)).all()


def test_drawn_codes_have_the_priors_frequencies():
    torch.manual_seed(0)
    prior = CausalTransformer(symbols=3, length=2, width=8, layers=1)
    nn.init.normal_(prior.guess.weight)
    pairs = torch.tensor(list(itertools.product(range(3), repeat=2)))
    with torch.no_grad():
        logs = prior(pairs).log_softmax(2).gather(2, pairs[..., None]).sum((1, 2))
        drawn = prior.draw(torch.rand(20_000, 2))
    assert logs.exp().sum().item() == pytest.approx(1, abs=1e-5)
    found = torch.bincount(drawn[:, 0] * 3 + drawn[:, 1], minlength=9) / 20_000
    assert torch.allclose(found, logs.exp(), atol=4 * 0.5 / math.sqrt(20_000))


@pytest.mark.parametrize("values", [CONV, MLP], ids=["conv", "mlp"])
def test_samples_depend_on_the_noise_alone_and_labels_change_them(values):
    model = spread_out(build(VQVAE, images(), conditional=True, **values))
    with torch.no_grad():
        model.prior.guess.weight.normal_()
        model.prior.start.weight.normal_()
        list(model.decoder.modules())[-1].bias.fill_(0.5)  # mid-grey: nothing clamped
        noise, labels = torch.randn(12, *model.noise_shape), torch.arange(12) % 10
        one = model.sample(noise, labels)
        torch.randn(5)
        assert torch.equal(one, model.sample(noise, labels))
        assert torch.allclose(one[3:5], model.sample(noise[3:5], labels[3:5]), atol=1e-5)
        assert not torch.allclose(one, model.sample(noise, (labels + 1) % 10))
        model.config.temperature = 0.0
        assert len(model.sample(noise, labels.clamp(max=0)).unique(dim=0)) == 1


def test_only_the_prior_hears_of_labels():
    model = spread_out(build(VQVAE, images(), conditional=True, **CONV))
    batch = batch_for(model, 10)
    other = Batch(batch.x, (batch.labels + 1) % 10)
    assert torch.equal(model.loss(batch)[0], model.loss(other)[0])
    with torch.no_grad():
        model.prior.start.weight.normal_()
        model.prior.guess.weight.normal_()
    assert not torch.equal(model.prior_loss(batch)[0], model.prior_loss(other)[0])


def test_the_prior_trains_on_codes_without_touching_them():
    model = spread_out(build(VQVAE, images(), codebook="gradient", **CONV))
    loss, metrics = model.prior_loss(batch_for(model))
    outside = [*model.encoder.parameters(), *model.decoder.parameters(), model.vectors]
    assert torch.autograd.grad(loss, outside, allow_unused=True) == (None,) * len(outside)
    assert metrics["bits_per_code"].item() == pytest.approx(loss.item() / math.log(2), rel=1e-6)
    assert metrics["bits_per_example"].item() == pytest.approx(4 * loss.item() / math.log(2), rel=1e-6)
    assert loss.item() == pytest.approx(math.log(8), rel=0.05)  # at first it guesses
    perplexity = model.loss(batch_for(model))[1]["perplexity"].item()
    assert metrics["bits_saved"].item() == pytest.approx(math.log2(perplexity) - loss.item() / math.log(2), abs=1e-5)


def test_dropout_is_for_training_only_and_can_be_changed_live():
    model = spread_out(build(VQVAE, images(), prior_dropout=0.5, **CONV))
    batch = batch_for(model)
    assert model.prior_loss(batch)[0] != model.prior_loss(batch)[0]
    model.config.prior_dropout = 0.0
    plain = model.prior_loss(batch)[0]
    assert plain == model.prior_loss(batch)[0]
    model.config.prior_dropout = 0.5
    assert model.eval().prior_loss(batch)[0] == plain


def test_the_prior_may_wait_until_the_codes_are_done():
    trainer = small_runs.trainer("vq-vae", model__prior_start=0.5, train__steps=8, train__ema=0.0)
    own = {name for name, _ in trainer.model.named_parameters() if name.startswith("prior.")}
    for step in range(8):
        before = {name: tensor.clone() for name, tensor in weights_of(trainer.model).items()}
        trainer.train_step()
        moved = {name for name, tensor in weights_of(trainer.model).items() if not torch.equal(tensor, before[name])}
        assert moved and (moved <= own if step >= 4 else not moved & own)
    values = {name for event in trainer.meter.flush() for name in event.values}
    assert {"vq-vae/perplexity", "prior/bits_per_code"} <= values
    assert all(phase.when(5, None) for phase in trainer.phases), "a run of so many minutes trains both all along"
