"""Diffusion: the schedules' identities, the loss by hand, and the samplers on problems with known answers."""

import math
from itertools import pairwise

import pytest
import torch

from tests import small_runs
from tests.test_models import POINTS, batch_for, build, images
from tui_gen.model import Batch
from tui_gen.models.diffusion import DDPM
from tui_gen.models.nets.diffusing import DDIMSampler, DDPMSampler, alpha_bars, loss_weights
from tui_gen.models.nets.guidance import QUARTERS, drop_labels, guided
from tui_gen.train.engine.building import weights_of
from tui_gen.train.run import checkpoints
from tui_gen.train.run.checkpoints import Meta

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
    schedule = model.diffusion.schedule
    torch.testing.assert_close(schedule.signal**2 + schedule.noise**2, torch.ones(1000))


class Oracle(torch.nn.Module):
    """The true noise for data that is one point: ε = (x_t − √ᾱ·c) / √(1 − ᾱ). Notes what it was asked."""

    def __init__(self, model, target):
        super().__init__()
        self.model, self.target, self.asked = [model], target, []

    def forward(self, x, time, labels=None):
        schedule = self.model[0].diffusion.schedule
        self.asked.append((x, time, labels))
        shape = (len(x), *[1] * (x.dim() - 1))
        return (x - schedule.signal[time].view(shape) * self.target) / schedule.noise[time].view(shape)


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
        self.signal, self.noise, self.spread = model.diffusion.schedule.signal, model.diffusion.schedule.noise, spread

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


def test_the_step_of_ddpm_is_the_posterior_that_its_paper_prints():
    bars = alpha_bars("linear", 50)
    x, clean, fresh = torch.randn(3, 4, 2, dtype=torch.float64)
    for now, then in zip(bars[1:], bars):
        alpha, beta = now / then, 1 - now / then
        mean = math.sqrt(then) * beta / (1 - now) * clean + math.sqrt(alpha) * (1 - then) / (1 - now) * x
        expected = mean + math.sqrt((1 - then) / (1 - now) * beta) * fresh
        for sampler in (DDPMSampler(50), DDIMSampler(50, steps=50, eta=1.0)):
            torch.testing.assert_close(sampler.step(x, clean, now, then, fresh), expected)


@pytest.mark.parametrize("prediction", ["epsilon", "v", "x0"])
@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", 0.3), ("ddim", 0.0), ("ddim", 0.3), ("ddim", 1.0)])
def test_samples_are_to_the_bit_those_of_a_loop_of_python_s_numbers(sampler, eta, prediction):
    """Written apart, with every operation in the order in which runs have made it: previews of a resumed run go on."""
    values = {"timesteps": 37, "sample_steps": 9, "sampler": sampler, "eta": eta, "prediction": prediction}
    model = build(DDPM, POINTS, **TINY, **values).eval()
    torch.nn.init.normal_(model.network.out.weight)
    noise = torch.randn(5, 2)
    bars, eta = alpha_bars("cosine", 37), 1.0 if sampler == "ddpm" else eta
    times = list(range(36, -1, -1)) if sampler == "ddpm" else [36, 32, 27, 22, 18, 14, 9, 4, 0]
    torch.manual_seed(5)
    x = noise
    for time, later in pairwise([*times, None]):
        now, then = bars[time], 1.0 if later is None else bars[later]
        out = model.network(x, torch.full((5,), time), None)
        by = {"x0": out, "v": math.sqrt(now) * x - math.sqrt(1 - now) * out}
        clean = by.get(prediction, (x - math.sqrt(1 - now) * out) / math.sqrt(now)).clamp(-4, 4)
        epsilon = (x - math.sqrt(now) * clean) / math.sqrt(1 - now)
        sigma = eta * math.sqrt((1 - then) / (1 - now) * (1 - now / then))
        x = math.sqrt(then) * clean + math.sqrt(1 - then - sigma**2) * epsilon
        x = x + sigma * torch.randn(5, 2) if sigma else x
    after = torch.get_rng_state()
    torch.manual_seed(5)
    assert torch.equal(model.sample(noise), x)
    assert torch.equal(torch.get_rng_state(), after)


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
    assert model.diffusion.sampler.times() == [99, 74, 50, 25, 0]
    model.config.sample_steps = 1
    assert model.diffusion.sampler.times() == [99]
    model.config.sample_steps = 200
    assert model.diffusion.sampler.times() == list(range(99, -1, -1))
    model.config.sample_steps, model.config.sampler = 5, "ddpm"
    assert model.diffusion.sampler.times() == list(range(99, -1, -1))


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


# -- what is predicted, and what each time weighs


class Ideal(torch.nn.Module):
    """The best prediction of each kind when the data is N(0, s²), from E[x₀ | x_t] = √ᾱ s² x / (ᾱ s² + 1 − ᾱ)."""

    def __init__(self, model, spread):
        super().__init__()
        self.signal, self.noise = model.diffusion.schedule.signal, model.diffusion.schedule.noise
        self.spread, self.kind = spread, model.config.prediction

    def forward(self, x, time, labels=None):
        signal, noise = self.signal[time][:, None], self.noise[time][:, None]
        clean = signal * self.spread**2 * x / ((signal * self.spread) ** 2 + noise**2)
        epsilon = (x - signal * clean) / noise
        return {"x0": clean, "epsilon": epsilon, "v": signal * epsilon - noise * clean}[self.kind]


PREDICTIONS = ("epsilon", "v", "x0")


@pytest.mark.parametrize(("sampler", "eta"), [("ddim", 0.0), ("ddim", 0.6), ("ddpm", 0.0)])
def test_all_predictions_of_the_ideal_denoiser_draw_the_same_samples(sampler, eta):
    noise = torch.randn(2000, 2)
    found = []
    for prediction in PREDICTIONS:
        model = build(
            DDPM, POINTS, **TINY, timesteps=100, sample_steps=20, prediction=prediction, sampler=sampler, eta=eta
        )
        model.network = Ideal(model, 0.6)
        torch.manual_seed(2)
        found.append(model.sample(noise))
    torch.testing.assert_close(found[1], found[0], atol=2e-3, rtol=0)
    torch.testing.assert_close(found[2], found[0], atol=2e-3, rtol=0)
    assert found[2].std().item() == pytest.approx(0.6, rel=0.15)


@pytest.mark.parametrize("weighting", ["simple", "min-snr"])
def test_losses_of_the_ideal_denoiser_are_those_of_its_posterior(weighting):
    """E‖x₀ − E[x₀ | x_t]‖² = s² (1 − ᾱ) / (ᾱ s² + 1 − ᾱ), times what the prediction and the weight make of it."""
    spread, gamma = 0.6, 5.0
    bars = torch.tensor(alpha_bars("cosine", 100), dtype=torch.float64)
    snr = bars / (1 - bars)
    posterior = spread**2 * (1 - bars) / (bars * spread**2 + 1 - bars)
    for prediction in PREDICTIONS:
        model = build(DDPM, POINTS, **TINY, timesteps=100, prediction=prediction, weighting=weighting)
        model.network = Ideal(model, spread)
        loss, metrics = model.loss(Batch(spread * torch.randn(100_000, 2)))
        if weighting == "simple":
            expected = posterior * {"x0": 1, "epsilon": snr, "v": snr + 1}[prediction]
        else:
            expected = posterior * snr.clamp(max=gamma)  # alike for all three: that is the point of it
        assert loss.item() == pytest.approx(expected.mean().item(), rel=0.02)
        quarters = [quarter.mean().item() for quarter in expected.tensor_split(4)]
        assert [value.item() for value in metrics.values()] == pytest.approx(quarters, rel=0.05)


def test_min_snr_weights_by_hand():
    bars = torch.tensor([0.9, 0.5, 0.1])  # SNR 9, 1 and 1/9
    torch.testing.assert_close(loss_weights(bars, "x0", 5.0), torch.tensor([5.0, 1.0, 1 / 9]))
    torch.testing.assert_close(loss_weights(bars, "epsilon", 5.0), torch.tensor([5 / 9, 1.0, 1.0]))
    torch.testing.assert_close(loss_weights(bars, "v", 5.0), torch.tensor([5 / 10, 1 / 2, 1 / 10]))


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_weights_are_finite_to_the_last_step(schedule, prediction):
    for timesteps in (2, 1000, 10_000):
        bars = torch.tensor(alpha_bars(schedule, timesteps), dtype=torch.float64)
        weights = loss_weights(bars, prediction, 5.0)
        assert torch.isfinite(weights).all() and (weights >= 0).all() and weights.max() <= 5


def test_the_huber_loss_is_half_the_square_of_small_errors_and_linear_in_large_ones():
    for shift, expected in ((0.5, 0.125), (3.0, 2.5)):
        model = build(DDPM, POINTS, **TINY, distance="huber")
        batch = batch_for(model, 32)
        oracle = Oracle(model, batch.x)
        model.network = oracle
        oracle.forward = lambda x, time, labels=None, old=oracle.forward, shift=shift: old(x, time, labels) + shift
        assert model.loss(batch)[0].item() == pytest.approx(expected, abs=1e-3)


# -- classifier-free guidance


def test_guidance_mixes_what_the_network_says_with_and_without_the_label():
    class Told(torch.nn.Module):
        def forward(self, x, time, labels):
            return x * time[:, None] + labels[:, None]

    x, time, labels = torch.randn(4, 2), torch.arange(4), torch.tensor([0, 1, 2, 1])
    conditional, unconditional = Told()(x, time, labels), Told()(x, time, torch.full((4,), 3))
    for scale in (0.0, 0.5, 1.0, 4.0):
        expected = unconditional + scale * (conditional - unconditional)
        torch.testing.assert_close(guided(Told(), x, time, labels, scale, 3), expected)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_guidance_one_samples_as_without_guidance(prediction):
    values = {"conditional": True, "timesteps": 20, "sample_steps": 4, "prediction": prediction}
    model = build(DDPM, POINTS, **TINY, **values, label_dropout=0.1).eval()
    torch.nn.init.normal_(model.network.out.weight)
    plain = build(DDPM, POINTS, **TINY, **values).eval()
    weights = model.state_dict()
    assert len(weights["network.condition.label.weight"]) == 3  # two classes, and none
    weights["network.condition.label.weight"] = weights["network.condition.label.weight"][:2]
    plain.load_state_dict(weights)
    noise, labels = torch.randn(6, 2), torch.arange(6) % 2
    with torch.no_grad():
        torch.testing.assert_close(model.sample(noise, labels), plain.sample(noise, labels))
        model.config.guidance = 3.0  # live: no need to build it again
        assert not torch.allclose(model.sample(noise, labels), plain.sample(noise, labels))


def test_labels_are_dropped_by_the_seeded_generator_at_the_rate_asked_for():
    labels = torch.arange(20_000) % 10
    torch.manual_seed(4)
    one = drop_labels(labels, 0.1, 10)
    torch.manual_seed(4)
    assert torch.equal(one, drop_labels(labels, 0.1, 10))
    assert not torch.equal(one, drop_labels(labels, 0.1, 10))
    assert (one == 10).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(one[one != 10], labels[one != 10])
    before = torch.get_rng_state()
    assert drop_labels(labels, 0.0, 10) is labels and drop_labels(None, 0.5, 10) is None
    assert torch.equal(torch.get_rng_state(), before)


def test_labels_are_dropped_in_training_alone():
    model = build(DDPM, POINTS, **TINY, conditional=True, label_dropout=0.5)
    model.network = Oracle(model, 0.0)
    batch = batch_for(model, 200)
    model.loss(batch)
    model.eval().loss(batch)
    told = [labels for _, _, labels in model.network.asked]
    assert (told[0] == 2).any() and torch.equal(told[1], batch.labels)


@pytest.mark.parametrize("after", [0, 3])
def test_resume_is_bit_exact_with_everything_on(after, tmp_path):
    values = {"model__conditional": True, "model__label_dropout": 0.3, "model__guidance": 2.0}
    values |= {"model__prediction": "v", "model__weighting": "min-snr"}
    whole = small_runs.trainer("ddpm", **values)
    half_state = None
    for step in range(6):
        if step == after:
            half_state = checkpoints.save(tmp_path, whole.snapshot(), Meta(step, 1.0, "test"))
        whole.train_step()
    expected = {name: one.clone() for name, one in weights_of(whole.model).items()}
    again = small_runs.trainer("ddpm", **values)
    torch.manual_seed(999)
    loaded = checkpoints.load(half_state)
    again.restore(loaded.state, loaded.weights, loaded.average)
    for _ in range(6 - after):
        again.train_step()
    found = weights_of(again.model)
    assert not [name for name in expected if not torch.equal(found[name], expected[name])]
