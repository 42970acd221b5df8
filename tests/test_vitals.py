"""What is measured beside a training: it is right, it is seldom, and the training does not notice it."""

import pytest
import torch
from torch import nn

from tests import small_runs
from tests.test_trainer import advance, assert_equal, digest
from tui_gen.model import Batch, Phase
from tui_gen.models.looks.score_histograms import histograms, ranked
from tui_gen.train.engine import vitals
from tui_gen.train.engine.meter import Meter
from tui_gen.train.engine.vitals import DEAD, Vitals
from tui_gen.train.run import checkpoints
from tui_gen.train.run.checkpoints import Meta
from tui_gen.train.shown.previews import Previewer


def logged(trainer) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for event in trainer.meter.flush():
        for name, column in event.values.items():
            at = range(event.start, event.start + len(column) * event.stride, event.stride)
            found.setdefault(name, {}).update(zip(at, column, strict=True))
    return found


@pytest.mark.parametrize("family", ["vae", "vq-vae", "gan", "ddpm", "char-rnn"])
def test_a_training_has_the_same_bits_with_and_without(family, tmp_path):
    plain = small_runs.trainer(family, train__health_every=0)
    advance(plain, 7)
    watched = small_runs.trainer(family, train__health_every=2)
    advance(watched, 3)
    saved = checkpoints.load(checkpoints.save(tmp_path, watched.snapshot(), Meta(3, 1.0, "test")))
    advance(watched, 4)
    assert_equal(digest(watched), digest(plain))
    again = small_runs.trainer(family, train__health_every=1)
    again.restore(saved.state, saved.weights, saved.average)
    assert again.current("train.health_every") == 2
    again.edit("train.health_every", 3)
    advance(again, 4)
    assert_equal(digest(again), digest(plain))
    without, found = logged(plain), logged(watched)
    health = {name: values for name, values in found.items() if name.startswith("health/")}
    assert health and not any(name.startswith("health/") for name in without)
    assert without == {name: values for name, values in found.items() if name not in health}
    assert {step for values in health.values() for step in values} <= {2, 4, 6}
    assert all(torch.isfinite(torch.tensor(list(values.values()))).all() for values in health.values())


@pytest.mark.parametrize("family,cut", [("classifier", 6), ("classifier", 7), ("gan", 6), ("gan", 7)])
def test_a_run_that_was_resumed_measures_at_the_same_steps_and_the_same(family, cut, tmp_path):
    """Dead units are counted over several measurements; one may be due at the checkpoint's own step; phases rest."""
    overrides = {"train__health_every": 2} | ({"model__n_critic": 3} if family == "gan" else {})
    whole = small_runs.trainer(family, **overrides)
    advance(whole, 16)
    half = small_runs.trainer(family, **overrides)
    advance(half, cut)
    saved = checkpoints.load(checkpoints.save(tmp_path, half.snapshot(), Meta(cut, 1.0, "test")))
    again = small_runs.trainer(family, **overrides)
    again.restore(saved.state, saved.weights, saved.average)
    advance(again, 16 - cut)
    expected = {
        name: {step: value for step, value in values.items() if step >= cut}
        for name, values in logged(whole).items() if name.startswith("health/")
    }  # fmt: skip
    assert expected == {name: values for name, values in logged(again).items() if name.startswith("health/")}
    assert any(expected.values())


def test_networks_have_the_models_own_names():
    def names(family, **overrides):
        trainer = small_runs.trainer(family, **overrides)
        return {phase: [network.name for network in some] for phase, some in trainer.vitals.networks.items()}

    assert names("vae") == {"vae": ["encoder", "decoder"]}
    assert names("gan") == {"generator": ["generator"], "discriminator": ["discriminator"]}
    assert names("vq-vae") == {"vq-vae": ["encoder", "decoder"], "prior": ["prior"]}
    both = names("autoencoder", model__pretrain_steps=5)
    assert both == {"autoencoder": ["autoencoder net"], "pretrain": ["pretrain net"]}


def test_gradients_and_updates_are_those_of_the_step():
    trainer = small_runs.trainer("vae", train__health_every=1)
    advance(trainer, 1)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    compute, seen = trainer.compute["vae"], []

    def kept(batch):
        names, row, gradients = compute(batch)
        seen.append([gradient.clone() for gradient in gradients])
        return names, row, gradients

    trainer.compute["vae"] = kept
    advance(trainer, 1)
    found, names = logged(trainer), [name for name, _ in trainer.model.named_parameters()]
    for network in ("encoder", "decoder"):
        own = [name for name in names if name.startswith(network)]
        norm = torch.cat([g.flatten() for name, g in zip(names, seen[0], strict=True) if name in own]).norm()
        assert found[f"health/grad_norm/{network}"][1] == pytest.approx(norm.item(), rel=1e-5)
        after = dict(trainer.model.named_parameters())
        change = torch.cat([(after[name] - before[name]).flatten() for name in own]).norm()
        size = torch.cat([before[name].flatten() for name in own]).norm()
        assert found[f"health/update_ratio/{network}"][1] == pytest.approx((change / size).item(), rel=1e-4)


def test_gradients_are_measured_without_the_scale_of_the_loss_however_they_lie_in_memory():
    """With float16, losses are scaled; gradients that lie otherwise than parameters are brought into order first."""
    found = []
    for scaled in (False, True):
        trainer = small_runs.trainer("classifier", train__health_every=1)
        if scaled:
            trainer.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
            compute = trainer._computing(trainer.phases[0])

            def turned(batch, compute=compute):
                names, row, gradients = compute(batch)
                return names, row, [grad.t().contiguous().t() if grad.dim() == 2 else grad for grad in gradients]

            trainer.compute["classifier"] = turned
        advance(trainer, 2)
        found.append(logged(trainer)["health/grad_norm/net"][1])
    assert found[1] == pytest.approx(found[0], rel=1e-4)


def test_gradients_are_measured_before_they_are_clipped():
    trainer = small_runs.trainer("vae", train__health_every=1, train__phases__vae__clip_norm=1e-3)
    advance(trainer, 3)
    found = logged(trainer)
    both = [found[f"health/grad_norm/{network}"][2] for network in ("encoder", "decoder")]
    assert torch.tensor(both).norm().item() == pytest.approx(found["vae/grad_norm"][2], rel=1e-5) and max(both) > 1e-2


class Net(nn.Module):
    """One layer of ten rectified units, some of which nothing turns on."""

    vitals = vitals.Model.vitals

    def __init__(self, off):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 1))
        with torch.no_grad():
            self.net[0].weight.abs_()
            self.net[0].bias[:off] = -100.0
            self.net[0].bias[off:] = 1.0


@pytest.mark.parametrize("off", [0, 4, 10])
def test_dead_units_are_those_without_a_gradient_for_some_time(off):
    model, meter = Net(off), Meter()
    parameters = {"x": list(model.parameters())}
    watch = Vitals(model, [Phase("x", lambda batch: None, ())], parameters, meter, lambda: 1)
    for step in range(DEAD):
        gradients = torch.autograd.grad(model.net(torch.rand(16, 4)).sum(), parameters["x"])
        watch.before("x", step, gradients)
    columns = {name: list(column) for event in meter.flush() for name, column in event.values.items()}
    share = pytest.approx(off / 10 if off < 10 else 0.0)  # a layer that no gradient reaches tells nothing of its units
    assert columns["health/dead_units/net"] == [0.0] * (DEAD - 1) + [share]


def test_averaged_weights_lag_by_their_distance():
    trainer = small_runs.trainer("ddpm", train__health_every=1)
    advance(trainer, 3)
    kept, raw = (torch.cat([p.detach().flatten() for p in m.parameters()]) for m in (trainer.average, trainer.model))
    assert logged(trainer)["health/ema_lag"][2] == pytest.approx(((kept - raw).norm() / raw.norm()).item(), rel=1e-3)


def test_large_tensors_are_sampled_by_their_first_rows():
    large = torch.rand(1000, 300)
    part = vitals.sampled(large)
    assert vitals.SAMPLE <= part.numel() < vitals.SAMPLE + 300 and torch.equal(part, large[: len(part)])
    assert part.data_ptr() == large.data_ptr() and vitals.sampled(torch.tensor(3.0)) == 3


def test_it_is_time_the_first_time_that_a_number_of_steps_is_full():
    every = 5
    watch = Vitals(Net(0), [], {}, Meter(), lambda: every)
    assert [step for step in range(3, 22, 3) if watch.due("x", step)] == [6, 12, 15, 21]  # a phase of every third step
    every = 0
    assert not watch.due("x", 100)


def test_balance_is_how_often_a_real_example_is_above():
    assert ranked(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 0.0, -1.0])) == 1
    assert ranked(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 1.0])) == pytest.approx((0.5 + 1 + 1) / 4)
    trainer = small_runs.trainer("gan", train__health_every=1)
    advance(trainer, 2)
    assert 0 <= logged(trainer)["health/balance"][1] <= 1


def test_balance_goes_by_the_batch_as_training_does_and_remembers_nothing_of_it():
    trainer = small_runs.trainer("gan", train__health_every=0)
    advance(trainer, 3)
    model, before = trainer.model, digest(trainer)
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    batch = Batch(torch.rand(16, 1, 8, 8))
    torch.manual_seed(1)
    with torch.no_grad():
        scores = torch.stack(model.eval().scores(batch))
        assert norms and not any(part.training for part in norms) and all(part.track_running_stats for part in norms)
        model.train()
        after = digest(trainer)
        assert_equal({k: v for k, v in after.items() if k != "rng"}, {k: v for k, v in before.items() if k != "rng"})
        torch.manual_seed(1)
        in_training = torch.stack(model.discriminator.scores(batch.x, None, model.fakes(batch), None))
        assert torch.allclose(in_training, scores, atol=1e-5)
        for part in norms:
            part.running_mean.add_(9.0)
        torch.manual_seed(1)
        assert torch.equal(torch.stack(model.eval().scores(batch)), scores)


def test_scores_of_real_and_generated_examples_stand_side_by_side():
    lines = histograms(torch.tensor([3.0, 3.0, 3.0, -1.0]), torch.tensor([-1.0, -1.0, 0.9])).splitlines()
    assert lines[0] == "D scores a real example higher than a generated one in 83% of pairs"  # 9 and two ties of 12
    head, *rows = lines[2:]
    assert len(rows) == 16 and head.index("real") == 11 and head.index("generated") == 37
    bars = [(row[11:35].count("█"), row[37:].count("█")) for row in rows]
    assert bars[0] == (24, 0) and bars[-1] == (8, 21) and sum(b for _, b in bars[1:-1]) == 10  # of ¾, ¼, ⅔ and ⅓
    assert [row[37:].lstrip("█") for row in rows if row[37:].strip()] == ["▋", "▍"], "and eighths of a cell"
    trainer = small_runs.trainer("gan")
    (panel,) = [grid for grid in Previewer(trainer.model, trainer.data, trainer.device, 9, 0).draw(trainer.model)
                if grid.kind == "scores"]  # fmt: skip
    assert panel.text.startswith("D scores a real example")
    odd = histograms(torch.tensor([float("nan"), float("inf")]), torch.zeros(1))
    assert odd.count("\n") == 19


def test_codes_of_the_prior_spread_by_one():
    model = small_runs.trainer("vae").model
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.zero_()  # μ = 0 and σ = 1 for all
        spread = model.vitals(Batch(torch.rand(8, 1, 8, 8)))["code_spread"]
    assert spread.item() == pytest.approx(1.0)
