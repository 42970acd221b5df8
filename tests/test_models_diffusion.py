"""Diffusion: the schedules' identities, the loss by hand, and the samplers on problems with known answers."""

import math
from itertools import pairwise

import pytest
import torch

from tests.test_models import POINTS, batch_for, build, images
from tui_gen.model import Batch
from tui_gen.models.diffusion import DDPM, QUARTERS, alpha_bars

TINY = {"network": "mlp", "hidden": [16, 16]}


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("timesteps", [2, 10, 100, 1000, 4000])
def test_alpha_bars_fall_from_clean_to_noise(schedule, timesteps):
    table = alpha_bars(schedule, timesteps)
    assert len(table) == timesteps
    assert all(1 > before > after > 0 for before, after in pairwise(table))
    if timesteps >= 100:
        assert table[0] > 0.99 and table[-1] < 1e-3


def test_the_linear_schedule_is_ddpms():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    expected = torch.cumprod(1 - betas, 0)
    torch.testing.assert_close(torch.tensor(alpha_bars("linear", 1000), dtype=torch.float64), expected)


def test_the_cosine_schedule_is_nichol_and_dhariwals():
    def curve(t):
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    table = alpha_bars("cosine", 1000)
    for step in (1, 250, 500, 900):
        assert table[step - 1] == pytest.approx(curve(step) / curve(0), rel=1e-9)


def test_signal_and_noise_keep_the_variance():
    model = build(DDPM, images(), **TINY)
    torch.testing.assert_close(model.signal**2 + model.noise**2, torch.ones(1000))


class Oracle(torch.nn.Module):
    """The true noise for data that is one point: ε = (x_t − √ᾱ·c) / √(1 − ᾱ). Notes what it was asked."""

    def __init__(self, model, target):
        super().__init__()
        self.model, self.target, self.asked = [model], target, []

    def forward(self, x, time, labels=None):
        model = self.model[0]
        self.asked.append((x, time, labels))
        shape = (len(x), *[1] * (x.dim() - 1))
        return (x - model.signal[time].view(shape) * self.target) / model.noise[time].view(shape)


@pytest.mark.parametrize("data", [images(), POINTS], ids=["images", "points"])
def test_the_loss_is_zero_for_the_true_noise(data):
    model = build(DDPM, data, **TINY)
    batch = batch_for(model, 32)
    model.network = Oracle(model, batch.x)
    loss, metrics = model.loss(batch)
    assert loss.item() < 1e-6
    assert list(metrics) == list(QUARTERS)


@pytest.mark.parametrize("count", [4, 7, 64])
def test_the_loss_is_the_mean_of_its_quarters_of_the_times(count):
    model = build(DDPM, images(), **TINY, timesteps=400)
    model.network = Oracle(model, 0.0)
    _, metrics = model.loss(batch_for(model, count))
    time = model.network.asked[0][1]
    assert time.min() >= 0 and time.max() <= 399
    assert torch.equal(time, time.sort().values)
    strata = torch.arange(count) * 400 / count
    assert ((time >= strata.floor()) & (time <= (strata + 400 / count).ceil())).all()
    assert all(math.isfinite(value) for value in metrics.values())
    torch.manual_seed(0)
    loss, metrics = model.loss(batch_for(model, 64))
    assert loss.item() == pytest.approx(sum(value.item() for value in metrics.values()) / 4, rel=1e-5)


def test_times_are_uniform_over_many_batches():
    model = build(DDPM, POINTS, **TINY, timesteps=10)
    model.network = Oracle(model, 0.0)
    for _ in range(200):
        model.loss(Batch(torch.randn(7, 2)))
    times = torch.cat([time for _, time, _ in model.network.asked])
    shares = torch.bincount(times, minlength=10) / len(times)
    assert (shares - 0.1).abs().max() < 0.02


def test_the_zero_output_layer_starts_the_loss_at_one():
    model = build(DDPM, images(1, 16), channels=[8, 8])
    loss, _ = model.loss(batch_for(model, 64))
    assert loss.item() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("sampler", [("ddpm", 0.0), ("ddim", 0.0), ("ddim", 0.7), ("ddim", 1.0)], ids=str)
@pytest.mark.parametrize("data", [images(), POINTS], ids=["images", "points"])
def test_every_sampler_finds_the_only_example_there_is(data, sampler):
    model = build(DDPM, data, **TINY, timesteps=50, sampler=sampler[0], eta=sampler[1], sample_steps=10)
    model.network = Oracle(model, torch.full(data.shape, 0.4))
    out = model.sample(torch.randn(3, *data.shape))
    torch.testing.assert_close(out, torch.full_like(out, 0.4), atol=1e-3, rtol=0)


class Gaussian(torch.nn.Module):
    """The best prediction of the noise when the data is N(0, s²): ε = √(1 − ᾱ) x / (ᾱ s² + 1 − ᾱ)."""

    def __init__(self, model, spread):
        super().__init__()
        self.signal, self.noise, self.spread = model.signal, model.noise, spread

    def forward(self, x, time, labels=None):
        signal, noise = self.signal[time][:, None], self.noise[time][:, None]
        return noise * x / ((signal * self.spread) ** 2 + noise**2)


@pytest.mark.parametrize("sampler", [("ddpm", 0.0), ("ddim", 0.0), ("ddim", 1.0)], ids=str)
def test_samplers_give_a_gaussian_its_spread(sampler):
    model = build(DDPM, POINTS, **TINY, timesteps=400, sampler=sampler[0], eta=sampler[1], sample_steps=200)
    model.network = Gaussian(model, 0.6)
    out = model.sample(torch.randn(4000, 2))
    assert out.std().item() == pytest.approx(0.6, rel=0.05)
    assert out.mean().abs().item() < 0.05


def test_ddim_without_eta_is_deterministic_and_ddpm_is_not():
    model = build(DDPM, POINTS, **TINY, timesteps=30, sample_steps=6).eval()
    torch.nn.init.normal_(model.network.out.weight)
    noise = torch.randn(4, 2)
    before = torch.get_rng_state()
    assert torch.equal(model.sample(noise), model.sample(noise))
    assert torch.equal(torch.get_rng_state(), before)
    for sampler, eta in (("ddpm", 0.0), ("ddim", 0.5)):
        model.config.sampler, model.config.eta = sampler, eta
        assert not torch.equal(model.sample(noise), model.sample(noise))


def test_samplers_visit_the_times_they_promise():
    model = build(DDPM, POINTS, **TINY, timesteps=100, sample_steps=5)
    assert model.times() == [99, 74, 50, 25, 0]
    model.config.sample_steps = 1
    assert model.times() == [99]
    model.config.sample_steps = 200
    assert model.times() == list(range(99, -1, -1))
    model.config.sample_steps, model.config.sampler = 5, "ddpm"
    assert model.times() == list(range(99, -1, -1))


@pytest.mark.parametrize("frames", [1, 2, 5, 20])
def test_a_trajectory_leads_from_the_noise_to_the_sample(frames):
    model = build(DDPM, images(), **TINY, timesteps=20, sample_steps=4).eval()
    noise = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        found = model.trajectory(noise, None, frames)
        assert found.shape == (frames, *noise.shape)
        assert torch.equal(found[-1], model.sample(noise))
    if frames > 1:
        assert torch.equal(found[0], noise)


def test_labels_reach_the_network():
    for data, values in ((images(), {"channels": [8, 8]}), (POINTS, TINY)):
        model = build(DDPM, data, **values, conditional=True).eval()
        for out in (model.network.out.weight,):
            torch.nn.init.normal_(out)
        noise = torch.randn(1, *data.shape).expand(2, *[-1] * len(data.shape))
        with torch.no_grad():
            for block in model.modules():
                if hasattr(block, "conv2"):
                    torch.nn.init.normal_(block.conv2.weight)
            out = model.network(noise, torch.tensor([3, 3]), torch.tensor([0, 1]))
        assert not torch.equal(out[0], out[1])


def test_validation_leaves_no_example_to_one_time():
    """Sorted examples would meet sorted times; validation shuffles them."""
    model = build(DDPM, POINTS, **TINY)
    model.network = Oracle(model, 0.0)
    x = torch.arange(64.0)[:, None].expand(-1, 2)
    model.validation(Batch(x, torch.arange(64)))
    seen, _, labels = model.network.asked[0]
    assert not torch.equal(labels, torch.arange(64))
    assert torch.equal(labels.sort().values, torch.arange(64))
    assert seen.shape == x.shape
