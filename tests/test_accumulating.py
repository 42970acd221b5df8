"""A batch in parts: the same step as of the whole, for every family; what acts once a step; the same bits resumed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from tests import small_runs
from tests.test_trainer import advance, assert_equal, digest
from tui_gen import config as configs
from tui_gen.model import Batch, DataSpec, Model, Phase
from tui_gen.train.engine import accumulating, compile_choice, compiling
from tui_gen.train.engine.building import weights_of
from tui_gen.train.run import checkpoints
from tui_gen.train.run.checkpoints import Meta

WITHOUT_CHANCE = {
    "autoencoder": {"dataset__shift": 0},
    "classifier": {"dataset__shift": 0, "model__dropout": 0.0},
    "char-rnn": {"model__dropout": 0.0},
    "vq-vae": {"dataset__shift": 0, "model__prior_dropout": 0.0, "model__restart_after": 0, "model__loss": "bce"},
}
"""Models whose losses draw nothing and use no statistics of the batch, so that a step of a batch and of its parts must
be the same but for rounding."""


def columns(trainer):
    return {name: list(column) for event in trainer.meter.flush() for name, column in event.values.items()}


@pytest.mark.parametrize("parts", [2, 5, 16])
@pytest.mark.parametrize("family", WITHOUT_CHANCE)
def test_a_step_of_parts_is_the_step_of_the_whole(family, parts):
    """16 examples in 5 parts are 4 and four times 3: means must be weighted."""
    overrides = WITHOUT_CHANCE[family] | {"train__health_every": 0}
    for phase in small_runs.trainer(family).phases:
        overrides |= {f"train__phases__{phase.name}__optimizer": "sgd", f"train__phases__{phase.name}__lr": 0.05}
        overrides[f"train__phases__{phase.name}__clip_norm"] = 0.5
    whole, split = (small_runs.trainer(family, **overrides, train__accumulate=n) for n in (1, parts))
    for _ in range(3):
        whole.train_step()
        split.train_step()
    for name, tensor in weights_of(whole.model).items():
        assert torch.allclose(tensor.float(), weights_of(split.model)[name].float(), rtol=1e-4, atol=2e-6), name
    expected, found = columns(whole), columns(split)
    assert expected.keys() == found.keys()
    for name in expected:
        if not name.endswith(("perplexity", "active_codes", "bits_saved")):  # of a batch, not of its examples
            assert found[name] == pytest.approx(expected[name], rel=2e-3, abs=1e-5), name


@pytest.mark.parametrize("family", ["gan", "vae", "ddpm"])
def test_each_phase_gets_the_weighted_gradients_of_its_parts(family):
    """Against each micro-batch's gradients, computed one by one with the same random state, as autograd gives them: of
    runs that were begun before parts drew what the whole batch draws."""
    given = {}
    trainer = small_runs.trainer(family, train__accumulate=3, train__health_every=0, dataset__shift=0)
    trainer.draws_whole = False
    for phase in trainer.phases:
        optimizer = trainer.optimizers[phase.name]

        def step(optimizer=optimizer, name=phase.name):
            given[name] = [p.grad.clone() for p in optimizer.param_groups[0]["params"]]  # and no update

        optimizer.step = step
    position = trainer.stream.state_dict()
    torch.manual_seed(5)
    trainer.train_step()
    trainer.stream.load_state_dict(position)
    x, labels = trainer.stream.next()
    torch.manual_seed(5)
    pieces = [Batch(x[a:b], None if labels is None else labels[a:b]) for a, b in ((0, 6), (6, 11), (11, 16))]
    for phase in trainer.phases:
        expected = [torch.zeros_like(p) for p in trainer.parameters[phase.name]]
        for piece in pieces:
            gradients = torch.autograd.grad(phase.loss(piece)[0], trainer.parameters[phase.name], allow_unused=True)
            for total, gradient in zip(expected, gradients):
                if gradient is not None:
                    total += gradient * len(piece.x) / 16
        for one, other in zip(given[phase.name], expected, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["vae", "ddpm", "classifier", "augmented-classifier"])
def test_parts_draw_what_the_whole_batch_draws(family):
    """Noise, times, dropout; a run that was begun before this was so stays as it was."""
    overrides = {f"train__phases__{phase.name}__optimizer": "sgd" for phase in small_runs.trainer(family).phases}
    trainers, random = [], []
    for parts in (1, 3):
        trainers.append(small_runs.trainer(family, **overrides, train__accumulate=parts))
        advance(trainers[-1], 3)
        random.append(torch.get_rng_state())
    whole, split = trainers
    assert torch.equal(*random)
    for name, tensor in weights_of(whole.model).items():
        assert torch.allclose(tensor.float(), weights_of(split.model)[name].float(), rtol=1e-4, atol=2e-6), name
    expected, found = columns(whole), columns(split)
    for name in expected:
        assert found[name] == pytest.approx(expected[name], rel=2e-3, abs=1e-5), name
    taken = copy.deepcopy((split.state(), weights_of(split.model), split.average and weights_of(split.average)))
    advance(split, 1)
    after = copy.deepcopy(weights_of(split.model))
    del taken[0]["draws_whole"]
    split.restore(*taken)
    advance(split, 1)
    assert not split.state()["draws_whole"]
    assert any(not torch.equal(tensor, weights_of(split.model)[name]) for name, tensor in after.items())


@pytest.mark.parametrize("family", [*small_runs.SMALL])
def test_every_family_trains_in_parts_and_resumes_bit_for_bit(family, tmp_path):
    overrides = {"train__accumulate": 3, "train__health_every": 3}
    whole = small_runs.trainer(family, **overrides)
    advance(whole, 7)
    half = small_runs.trainer(family, **overrides)
    advance(half, 3)
    path = checkpoints.save(tmp_path, half.snapshot(), Meta(3, 1.0, "test"))
    torch.manual_seed(999)
    again = small_runs.trainer(family, **overrides)
    loaded = checkpoints.load(path)
    again.restore(loaded.state, loaded.weights, loaded.average)
    advance(again, 4)
    assert_equal(digest(again), digest(whole))
    assert all(torch.isfinite(p).all() for p in again.model.parameters())


class Counting(Model):
    """Knows what is asked of it: its loss is the mean of what it is given, times its number."""

    name, value_range = "counting", "unit"

    def __init__(self) -> None:
        super().__init__(Model.Config(), DataSpec("toy", "points", (2,)))
        self.number = nn.Parameter(torch.ones(()))
        self.calls: list[tuple] = []

    def phases(self) -> list[Phase]:
        return [Phase("a", self.loss, [self.number], before=self.before, after=self.after, finish=self.finish)]

    def before(self, batch):
        self.calls.append(("before", batch.place, len(batch.x), batch.total))
        batch.shared["drawn"] = batch.x + 1

    def loss(self, batch):
        self.calls.append(("loss", batch.place, len(batch.x), batch.total))
        batch.shared |= {"rows": batch.x * 10, "word": batch.place, "seen": batch.shared["drawn"]}
        return self.number * batch.x.mean(), {}

    def after(self):
        self.calls.append(("after",))

    def finish(self, batch):
        self.calls.append(("finish", batch.shared))


def test_the_order_of_calls_and_what_finish_finds():
    model, trainer = Counting(), small_runs.trainer("vae", train__accumulate=3, train__batch_size=5)
    phase = model.phases()[0]
    trainer.phases, trainer.parameters = [phase], {"a": [model.number]}
    trainer.optims = {"a": configs.Optim(optimizer="sgd", beta1=0.0, lr=1.0)}
    trainer.optimizers = {"a": torch.optim.SGD([model.number], 1.0)}
    trainer.compute = {"a": trainer._computing(phase)}
    trainer.config.train.health_every = 0
    x = torch.arange(10.0).view(5, 2)
    trainer.train_step(0.0, (x, None))
    *calls, last = model.calls
    sizes = [(0, 2, 5), (2, 2, 5), (4, 1, 5)]
    assert calls == [*(("before", *size) for size in sizes), *(("loss", *size) for size in sizes), ("after",)]
    assert torch.equal(last[1]["rows"], x * 10) and torch.equal(last[1]["seen"], x + 1) and last[1]["word"] == 4
    assert float(model.number.detach()) == pytest.approx(1 - 4.5)  # the mean of all, not of the three means


def test_a_metric_that_some_parts_lack_is_the_mean_of_the_others():
    def compute(batch):
        names = ("a/loss", "a/late") if batch.place else ("a/loss",)
        values: list[Tensor] = [batch.x.mean()] * len(names)
        return names, torch.stack(values), (None, batch.x.sum(0), batch.x[0] if batch.place else None)

    parts = accumulating.split(Batch(torch.tensor([[1.0], [2.0], [6.0]])), 2)
    names, row, gradients = accumulating.summed(compute, parts)
    assert dict(zip(names, row.tolist())) == pytest.approx({"a/loss": 3.0, "a/late": 6.0})
    assert gradients[0] is None and float(gradients[1]) == pytest.approx(3 * 2 / 3 + 6 / 3)
    assert float(gradients[2]) == pytest.approx(2.0)


def test_the_scaler_and_the_average_act_once_a_step():
    trainer = small_runs.trainer("gan", train__accumulate=4)
    scaler = trainer.scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=2)
    trainer.compute = {phase.name: trainer._computing(phase) for phase in trainer.phases}
    for steps in range(1, 5):
        before = {k: v.clone() for k, v in weights_of(trainer.average).items()}
        trainer.train_step()
        assert scaler.get_scale() == 64.0 * 2 ** (steps // 2)
        decay = min(0.9, steps / (9 + steps))
        for name, parameter in trainer.model.named_parameters():
            expected = torch.lerp(before[name], parameter.detach(), 1 - decay)
            assert torch.allclose(weights_of(trainer.average)[name], expected, atol=1e-6)


def test_an_overflow_in_one_part_skips_the_step():
    trainer = small_runs.trainer("autoencoder", train__accumulate=4, train__health_every=0)
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    (phase,) = trainer.phases
    plain = phase.loss

    def loss(batch):
        value, metrics = plain(batch)
        return value * (float("inf") if batch.place == 8 else 1.0), metrics

    phase.loss = loss
    trainer.compute = {phase.name: trainer._computing(phase)}
    before = [p.clone() for p in trainer.model.parameters()]
    trainer.train_step()
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters()))
    assert trainer.scaler.get_scale() == 32.0


def test_compiled_parts_are_compiled_parts(monkeypatch):
    """The compiler is given micro-batches, when it is tried and when it is used."""
    sizes = []

    def fake(trainer, plain, tensors=True, by=None):
        def compute(batch):
            sizes.append(len(batch.x))
            return plain(batch)

        return compute

    monkeypatch.setattr(compiling, "compiled", fake)
    trainer = small_runs.trainer("vae", train__accumulate=4)
    compile_choice._measure(trainer)
    assert set(sizes) == {4}
    sizes.clear()
    compiling.apply(trainer, lambda words: None)
    trainer.train_step()
    assert sizes == [4, 4, 4, 4]
    plain = small_runs.trainer("vae", train__accumulate=4)
    assert plain.draws_whole and not trainer.draws_whole
    plain.draws_whole = False
    plain.train_step()
    assert_equal(digest(plain), digest(trainer))
    assert compile_choice.key_of(plain) != compile_choice.key_of(small_runs.trainer("vae"))


def test_validation_takes_no_more_than_a_part_or_256():
    sizes = []
    trainer = small_runs.trainer("autoencoder", train__batch_size=300, train__accumulate=1, dataset__limit=0)
    plain = trainer.model.validation
    trainer.model.validation = lambda batch: sizes.append(len(batch.x)) or plain(batch)
    trainer.validate()
    trainer.config.train.accumulate = 2
    trainer.validate()
    count = trainer.data.validation.count
    assert sizes == [*_parts(count, 300), *_parts(count, 256)]


def _parts(count, size):
    return [min(size, count - start) for start in range(0, count, size)]


@pytest.mark.parametrize("accumulate, fine", [(16, True), (17, False)])
def test_there_are_no_more_parts_than_examples(accumulate, fine):
    if fine:
        assert small_runs.config("vae", train__accumulate=accumulate).train.accumulate == 16
    else:
        with pytest.raises(configs.ConfigError, match=r"train.accumulate = 17: is more than the 16 examples"):
            small_runs.config("vae", train__accumulate=accumulate)
