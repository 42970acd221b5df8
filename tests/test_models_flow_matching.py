"""Flow matching: the loss and the solvers on problems with known answers, reflow, guidance, samples of a short run."""

import copy
import math

import pytest
import torch

from tests import small_runs
from tests.test_models import POINTS, batch_for, build, images, train
from tui_gen.model import Batch
from tui_gen.models.flow_matching import TIME_SCALE, FlowMatching, solve
from tui_gen.models.nets.guidance import QUARTERS
from tui_gen.train.engine.building import weights_of
from tui_gen.train.run import checkpoints
from tui_gen.train.run.checkpoints import Meta

TINY = {"network": "mlp", "hidden": [16, 16]}


class Oracle(torch.nn.Module):
    """The velocity towards one point, (target − x) / (1 − t): all there is where the data is one point."""

    def __init__(self, target):
        super().__init__()
        self.target, self.asked = target, []

    def forward(self, x, time, labels=None):
        self.asked.append((x, time, labels))
        left = (1 - time / TIME_SCALE).clamp(min=1e-6).view(len(x), *[1] * (x.dim() - 1))
        return (self.target - x) / left


@pytest.mark.parametrize("data", [images(), POINTS], ids=["images", "points"])
def test_the_loss_is_zero_for_the_true_velocity(data):
    model = build(FlowMatching, data, **TINY)
    batch = batch_for(model, 32)
    model.network = Oracle(batch.x)
    loss, metrics = model.loss(batch)
    assert loss.item() < 1e-6
    assert list(metrics) == list(QUARTERS)


@pytest.mark.parametrize("sigma", [0.0, 0.1])
def test_the_loss_is_that_of_the_paper(sigma):
    """By hand, from the random draws that the loss makes: x_t and the target of Lipman's equations 22 and 23."""
    model = build(FlowMatching, POINTS, **TINY, sigma_min=sigma)
    model.network = Oracle(0.0)
    x = torch.randn(8, 2)
    torch.manual_seed(5)
    loss, _ = model.loss(Batch(x))
    torch.manual_seed(5)
    noise = torch.randn(8, 2)
    time = ((torch.arange(8) + torch.rand(8)) / 8)[:, None]
    between = (1 - (1 - sigma) * time) * noise + time * x
    seen, told, _ = model.network.asked[0]
    torch.testing.assert_close(seen, between)
    torch.testing.assert_close(told, TIME_SCALE * time[:, 0])
    expected = (Oracle(0.0)(between, told) - (x - (1 - sigma) * noise)).square().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_logit_normal_times_are_logit_normal():
    model = build(FlowMatching, POINTS, **TINY, times="logit-normal")
    model.network = Oracle(0.0)
    _, metrics = model.loss(Batch(torch.randn(4000, 2)))
    logits = torch.logit(model.network.asked[0][1].double() / TIME_SCALE)
    assert logits.mean().abs() < 0.02 and logits.std().item() == pytest.approx(1, abs=0.02)
    assert metrics == {}


def test_uniform_times_are_uniform_and_stratified():
    model = build(FlowMatching, POINTS, **TINY)
    model.network = Oracle(0.0)
    model.loss(Batch(torch.randn(100, 2)))
    time = model.network.asked[0][1] / TIME_SCALE
    strata = torch.arange(100) / 100
    assert ((time >= strata - 1e-6) & (time <= strata + 0.01 + 1e-6)).all()


def gaussian_field(spread):
    """The exact field for data N(0, spread²): it carries x to spread · x."""

    def field(x, time):
        return (time * spread**2 - (1 - time)) * x / ((1 - time) ** 2 + (time * spread) ** 2)

    return field


@pytest.mark.parametrize("spread", [0.3, 0.6, 2.0])
def test_solvers_carry_noise_to_a_gaussian_of_known_spread(spread):
    noise = torch.randn(100, 2, dtype=torch.float64)
    for method in ("euler", "heun"):
        end = solve(gaussian_field(spread), noise, 400, method)[-1]
        torch.testing.assert_close(end, spread * noise, atol=0.02, rtol=0.01)


def test_heun_is_of_second_order_and_euler_of_first():
    noise = torch.randn(50, 2, dtype=torch.float64)

    def error(method, steps):
        return (solve(gaussian_field(0.5), noise, steps, method)[-1] - 0.5 * noise).norm().item()

    assert error("euler", 20) / error("euler", 40) == pytest.approx(2, rel=0.15)
    assert error("heun", 20) / error("heun", 40) == pytest.approx(4, rel=0.15)
    assert error("heun", 20) < 0.2 * error("euler", 40)  # at the same number of predictions


@pytest.mark.parametrize("sampler", ["euler", "heun"])
@pytest.mark.parametrize("data", [images(), POINTS], ids=["images", "points"])
def test_samplers_find_the_only_example_there_is(data, sampler):
    model = build(FlowMatching, data, **TINY, sampler=sampler, sample_steps=5)
    model.network = Oracle(torch.full(data.shape, 0.4))
    if sampler == "euler":
        noise = torch.randn(3, *data.shape)
        out = model.sample(noise)
        torch.testing.assert_close(out, torch.full_like(out, 0.4), atol=1e-4, rtol=0)
        assert len(model.network.asked) == 5
    else:  # its last prediction is at t = 1, where this field has no value: look at what was asked instead
        model.sample(torch.randn(3, *data.shape))
        times = [round(time[0].item()) for _, time, _ in model.network.asked]
        assert times == [0, 200, 200, 400, 400, 600, 600, 800, 800, 1000]


def test_sampling_draws_nothing_and_stays_in_range():
    model = build(FlowMatching, images(), **TINY, sample_steps=4).eval()
    torch.nn.init.normal_(model.network.out.weight)
    noise = torch.randn(4, 1, 8, 8)
    before = torch.get_rng_state()
    out = model.sample(noise)
    assert torch.equal(out, model.sample(noise)) and torch.equal(torch.get_rng_state(), before)
    assert out.abs().max() == 1  # this wild network leaves the range; what is shown does not


@pytest.mark.parametrize("frames", [1, 2, 5, 20])
def test_a_trajectory_leads_from_the_noise_to_the_sample(frames):
    model = build(FlowMatching, images(), **TINY, sample_steps=4).eval()
    noise = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        found = model.trajectory(noise, None, frames)
        assert found.shape == (frames, *noise.shape)
        assert torch.equal(found[-1], model.sample(noise))
    if frames > 1:
        assert torch.equal(found[0], noise)


def test_straightness_is_zero_for_straight_paths_and_by_hand_for_bent_ones():
    model = build(FlowMatching, POINTS, **TINY).eval()
    model.network = Oracle(0.5)  # all paths lead straight to one point
    assert model.validation(Batch(torch.randn(64, 2)))["flow-matching/straightness"].item() < 1e-6

    class Bent(torch.nn.Module):
        def forward(self, x, time, labels=None):
            return (time / TIME_SCALE)[:, None].expand_as(x)

    model.network = Bent()
    speeds = torch.arange(8) / 8
    found = model.validation(Batch(torch.randn(64, 2)))["flow-matching/straightness"]
    assert found.item() == pytest.approx((speeds - speeds.mean()).square().mean().item(), rel=1e-4)


def test_validation_leaves_no_example_to_one_time():
    model = build(FlowMatching, POINTS, **TINY)
    model.network = Oracle(0.0)
    model.validation(Batch(torch.randn(64, 2), torch.arange(64)))
    labels = model.network.asked[0][2]
    assert not torch.equal(labels, torch.arange(64))
    assert torch.equal(labels.sort().values, torch.arange(64))


# -- guidance


def test_guidance_one_is_the_conditional_prediction_and_zero_the_unconditional():
    model = build(FlowMatching, POINTS, **TINY, conditional=True, label_dropout=0.5, sample_steps=3).eval()
    torch.nn.init.normal_(model.network.out.weight)
    noise, labels = torch.randn(5, 2), torch.tensor([0, 1, 0, 1, 1])

    def plainly(labels):
        field = model.velocity(model.network, labels)
        return solve(field, noise, 3, "heun")[-1]

    with torch.no_grad():
        torch.testing.assert_close(model.sample(noise, labels), plainly(labels))
        model.config.guidance = 0.0
        torch.testing.assert_close(model.sample(noise, labels), plainly(torch.full((5,), 2)))
        model.config.guidance = 3.0
        assert not torch.allclose(model.sample(noise, labels), plainly(labels))


# -- reflow


def reflowing(**values):
    return build(FlowMatching, POINTS, hidden=[32, 32], reflow_after=5, reflow_steps=4, **values)


def test_reflow_freezes_a_copy_when_it_begins_and_learns_its_pairs():
    model = reflowing()
    train(model, 5)
    before = copy.deepcopy(model.network)
    batch = batch_for(model, 16)
    strangers = model.pairs(Batch(batch.x, None, 4))[1]
    assert torch.equal(strangers, batch.x)
    with torch.no_grad():
        model.eval().validation(Batch(batch.x, None, 5))
    noise, ends = model.train().pairs(Batch(batch.x, None, 5))  # as validation has them, before the copy is made
    assert not torch.equal(model.teacher.out.weight, before.out.weight)
    with torch.no_grad():
        torch.testing.assert_close(ends, solve(model.velocity(before, None), noise, 4, "heun")[-1])
        model.phases()[0].before(Batch(batch.x, None, 5))
    noise, ends = model.pairs(Batch(batch.x, None, 5))
    with torch.no_grad():
        expected = solve(model.velocity(before, None), noise, 4, "heun")[-1]
    torch.testing.assert_close(ends, expected)
    train(model, 3, batch)  # steps 0 to 2 again: the network moves on, the copy does not
    for kept, old in zip(model.teacher.parameters(), before.parameters(), strict=True):
        assert torch.equal(kept, old) and not kept.requires_grad
    assert not torch.equal(model.network.out.weight, before.out.weight)
    noise, ends = model.pairs(Batch(batch.x, None, 6))
    with torch.no_grad():
        torch.testing.assert_close(ends, solve(model.velocity(before, None), noise, 4, "heun")[-1])


def test_only_reflow_keeps_a_copy_and_the_copy_is_not_trained():
    plain, rectified = build(FlowMatching, POINTS, **TINY), build(FlowMatching, POINTS, **TINY, reflow_after=9)
    assert plain.teacher is None
    assert plain.parameter_count() == rectified.parameter_count()


def test_reflow_straightens_the_paths():
    """On two clusters, where strangers' lines cross; both models train equally long."""
    found = {}
    for after in (0, 200):
        model = build(FlowMatching, POINTS, hidden=[64, 64], reflow_after=after, reflow_steps=5)
        optimizer = torch.optim.Adam(model.network.parameters(), 3e-3)
        for step in range(400):
            side = torch.randint(0, 2, (128, 1)) * 2.0 - 1
            x = torch.cat([side, torch.zeros_like(side)], 1) + 0.1 * torch.randn(128, 2)
            loss, _ = model.loss(Batch(x, None, step))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch.manual_seed(1)
        with torch.no_grad():
            found[after] = model.eval().validation(Batch(x, None, 400))["flow-matching/straightness"].item()
    assert found[200] < 0.35 * found[0]


# -- whole runs


def digest(trainer):
    found = {f"w.{name}": one.clone() for name, one in weights_of(trainer.model).items()}
    for index, one in trainer.optimizers["flow-matching"].state_dict()["state"].items():
        found |= {f"o.{index}.{name}": torch.as_tensor(value).clone() for name, value in one.items()}
    return found | {"rng": torch.get_rng_state()}


@pytest.mark.parametrize("reflow_after", [0, 4, 6])
def test_resume_is_bit_exact_before_and_after_reflow_begins(reflow_after, tmp_path):
    values = {"model__reflow_after": reflow_after, "model__reflow_steps": 2}
    values |= {"model__conditional": True, "model__label_dropout": 0.3}
    whole = small_runs.trainer("flow-matching", **values)
    for _ in range(10):
        whole.train_step()
    expected = digest(whole)
    half = small_runs.trainer("flow-matching", **values)
    for _ in range(6):
        half.train_step()
    half.validate(40)  # measuring where reflow begins must not matter
    path = checkpoints.save(tmp_path, half.snapshot(), Meta(6, 1.0, "test"))
    torch.manual_seed(999)
    again = small_runs.trainer("flow-matching", **values)
    loaded = checkpoints.load(path)
    again.restore(loaded.state, loaded.weights, loaded.average)
    for _ in range(4):
        again.train_step()
    found = digest(again)
    assert found.keys() == expected.keys()
    assert not [name for name in expected if not torch.equal(found[name], expected[name])]


def sliced_wasserstein(one, two, directions=64):
    """Mean over directions of the 1-D Wasserstein-1 distance between two clouds (N, 2) of equal size."""
    angles = torch.arange(directions) * math.pi / directions
    across = torch.stack([angles.cos(), angles.sin()])
    return ((one @ across).sort(0).values - (two @ across).sort(0).values).abs().mean().item()


def test_a_short_run_s_samples_beat_an_untrained_model_s_on_the_ring():
    """The untrained network has velocity 0 everywhere: its samples are the noise itself."""
    trainer = small_runs.trainer("flow-matching", dataset={"name": "ring"}, model__hidden=[64, 64], train__ema=0.0)
    trainer.optims["flow-matching"].lr = 3e-3
    real = torch.cat([trainer.stream.next()[0] for _ in range(64)])
    noise = torch.randn(len(real), 2, generator=torch.Generator().manual_seed(1))

    def distance():
        with torch.no_grad():
            return sliced_wasserstein(trainer.eval_model.sample(noise), real)

    before = distance()
    for step in range(600):
        trainer.train_step()
        if step % 100 == 0:
            trainer.meter.flush()
    assert distance() < 0.6 * before
