"""Many processes train as one does: every family's steps and validation, draws, and what looks at the whole batch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests import many, small_runs
from tui_gen import sharing
from tui_gen.config import Optim
from tui_gen.model import Batch, DataSpec, Model, Phase, batch_mean, batch_rows, drawn, own_rows, pooled
from tui_gen.train.engine import drawing
from tui_gen.train.engine.building import TrainingError, weights_of
from tui_gen.train.engine.exchange import Exchange
from tui_gen.train.engine.ranks import ALONE, Ranks

STEPS = 2
DATA = {"dataset__limit": 150, "train__health_every": 1}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{family: (family, {}) for family in small_runs.SMALL},
    "spread": ("gan", {"model__network": "mlp", "model__generator_hidden": [16], "model__discriminator_hidden": [16],
                       "model__minibatch_std": True, "model__minibatch_kernels": 3,
                       "model__replay": 20, "model__augment": "all", "model__instance_noise": 0.1}),
    "critic": ("gan", {"model__loss": "wasserstein-gp", "model__r1_weight": 0.0, "model__conditional": True}),
    "batch norm": ("gan", {"model__discriminator_norm": "batch", "model__r1_weight": 0.0}),
    "free bits": ("vae", {"model__free_bits": 0.3, "model__iw_samples": 2, "model__conditional": True}),
    "sparse": ("autoencoder", {"model__network": "mlp", "model__sparsity": "kl", "model__code_activation": "sigmoid",
                               "model__noise": "dropout", "model__code_noise": 0.1}),
    "reflow": ("flow-matching", {"model__network": "mlp", "model__reflow_after": 1, "model__reflow_steps": 2,
                                 "model__conditional": True, "model__label_dropout": 0.3}),
    "mixed": ("augmented-classifier", {"model__real_share": 0.4}),
    "clipped": ("vae", {"train__phases__vae__clip_norm": 0.5, "dataset__name": "ring"}),
}  # fmt: skip
"""Every family, and what of some is a matter of the whole batch."""


def made(name: str, ranks: Ranks = ALONE, **more: Any) -> Any:
    """A trainer, by plain descent: Adam makes as much of the sign of what should be zero as of any gradient."""
    family, overrides = VARIANTS[name]
    overrides = {**DATA, **overrides, **more}
    if family == "char-rnn" or overrides.get("dataset__name") == "ring":
        overrides.pop("dataset__limit")
    for phase in _phases(family):
        overrides = {f"train__phases__{phase}__optimizer": "sgd", f"train__phases__{phase}__lr": 0.05} | overrides
    if overrides.get("dataset__name") == "ring":
        overrides |= {"model__likelihood": "gaussian"}
        config = small_runs.tables(family, **overrides)
        config["dataset"] = {"name": "ring"}
        return small_runs.trainer(family, config, ranks=ranks)
    return small_runs.trainer(family, ranks=ranks, **overrides)


def _phases(family: str) -> list[str]:
    return list(small_runs.config(family).train.phases)


def outcome(trainer: Any, steps: int = STEPS) -> dict[str, Any]:
    """All that a training has made, as arrays and numbers."""
    for _ in range(steps):
        trainer.train_step()
    validation = trainer.validate()
    logged = {name: list(column) for event in trainer.meter.flush() for name, column in event.values.items()}
    average = {} if trainer.average is None else weights_of(trainer.average)
    tensors = {**weights_of(trainer.model), **{f"average {name}": tensor for name, tensor in average.items()}}
    return {
        "weights": {name: tensor.detach().clone().numpy() for name, tensor in tensors.items()},
        "validation": validation,
        "logged": logged,
        "random": torch.get_rng_state().numpy(),
    }


def assert_alike(one: dict[str, Any], other: dict[str, Any], name: str) -> None:
    """The same but for the order of sums."""
    for key, expected in one["weights"].items():
        assert np.allclose(expected, other["weights"][key], rtol=1e-4, atol=2e-6), (name, key)
    for part in ("validation", "logged"):
        assert one[part].keys() == other[part].keys(), name
        for key, expected in one[part].items():
            assert np.allclose(expected, other[part][key], rtol=2e-3, atol=2e-5), (name, key)
    assert np.array_equal(one["random"], other["random"]), name


def assert_same_bits(one: dict[str, Any], other: dict[str, Any], name: str) -> None:
    """Weights, generators and validation, to the bit."""
    assert np.array_equal(one["random"], other["random"]), name
    assert one["validation"] == other["validation"], name
    for key, expected in one["weights"].items():
        assert np.array_equal(expected, other["weights"][key]), (name, key)


def everything(ranks: Ranks) -> dict[str, dict[str, Any]]:
    return {name: outcome(made(name, ranks)) for name in VARIANTS}


def resumed(name: str, ranks: Ranks, taken: Any) -> Any:
    """A trainer that goes on with what others have begun."""
    trainer = made(name, ranks)
    trainer.restore(*copy.deepcopy(taken))
    return trainer


def test_one_two_and_four_processes_train_every_family_alike_and_go_on_with_each_other_s_runs(tmp_path):
    """Two also with the batch normalised, compared, replayed and drawn from as a whole; all hold the same bits. What
    four began two go on with, and one with that, on the same data."""
    small_runs.built()
    alone = everything(ALONE)
    begun: dict[str, Any] = {}

    def act(ranks: Ranks) -> Any:
        whole, taken = {}, {}
        for name in small_runs.SMALL if ranks.count == 4 else VARIANTS:
            trainer = made(name, ranks)
            whole[name] = outcome(trainer)
            if name in begun:
                trainer = resumed(name, ranks, begun[name])
                trainer.train_step()
            taken[name] = snapshot(trainer) if ranks.first else None
        return whole, taken

    for count in (4, 2):
        answers = many.run(count, tmp_path, act)
        for name in answers[0][0]:
            first, *others = (whole[name] for whole, _ in answers)
            assert_alike(alone[name], first, f"{name}, {count} processes")
            for other in others:
                assert_same_bits(first, other, f"{name}, {count} processes")
                assert first["logged"] and not other["logged"]
        begun = answers[0][1]
    for name in small_runs.SMALL:
        on = outcome(resumed(name, ALONE, begun[name]), 1)
        assert_alike(outcome(made(name), STEPS + 2) | {"logged": {}}, on | {"logged": {}}, f"{name}, gone on with")
    for family in small_runs.SMALL:  # while all of them are at hand
        judged = set(small_runs.built()[1].models[family].judged)
        logged = {key.rpartition("/")[2] for name, (its, _) in VARIANTS.items() if its == family
                  for key in alone[name]["validation"]}  # fmt: skip
        assert judged <= logged, f"{family} is judged by what it never logs: {judged - logged}"


@pytest.mark.parametrize("name", VARIANTS)
def test_draws_that_are_watched_by_name_are_those_that_pytorch_watches(name):
    """The second half of a batch, its draws, and what the generators go on with: for every model that comes with it."""
    small_runs.built()
    computed = []
    for draws in (drawing.NamedDraws(), drawing.WholeDraws()):
        trainer = made(name)
        assert isinstance(drawing.of_model(trainer.model), drawing.NamedDraws)
        x, labels = trainer.stream.next()
        half = Batch(x[8:], None if labels is None else labels[8:], 1, place=8, whole=16)
        with sharing.computing(sharing.BatchPart(8, 8, 16, 8, 16, lambda tensor: 2 * tensor)), draws:
            for phase in trainer.phases:
                if phase.before is not None:
                    phase.before(half)
                computed.append(float(phase.loss(half)[0].detach()))
        computed.append(torch.get_rng_state().tolist())
    assert computed[: len(computed) // 2] == computed[len(computed) // 2 :]


def test_names_that_stay_exchanged_do_what_they_always_did_and_give_way_to_others():
    plain = torch.randn
    part = sharing.BatchPart(2, 2, 4, 2, 4, lambda tensor: 2 * tensor)
    torch.manual_seed(1)
    whole = torch.randn(4, 3)
    stays = drawing.NamedDraws(stays=True)
    try:
        for draws in (stays, drawing.NamedDraws(), stays, drawing.NamedDraws()):
            torch.manual_seed(1)
            with sharing.computing(part), draws:
                assert torch.equal(torch.randn(2, 3), whole[2:])
            torch.manual_seed(1)
            assert torch.equal(torch.randn(2, 3), whole[:2])
            with sharing.computing(part):
                assert torch.randn(2, 3).shape == (2, 3)
            assert (torch.randn is plain) == (draws is not stays)
    finally:
        with drawing.NamedDraws():
            pass
    assert torch.randn is plain


def test_a_code_tells_what_was_drawn():
    of = Exchange(made("vae"), ALONE, 16)
    codes = []
    for draw, count in ((torch.rand, 0), (torch.randn, 1), (torch.randn, 2), (torch.rand, 624), (torch.rand, 1248)):
        torch.manual_seed(3)
        torch.rand(7)
        draw(count)
        codes.append(of._code("vae", ["loss"], 1, [True]))
    assert len(set(codes)) == len(codes) and min(codes) >= 0
    assert of._code("vae", ["loss", "kl"], 1, [True]) != codes[-1]


def snapshot(trainer: Any) -> tuple[Any, Any, Any]:
    average = None if trainer.average is None else weights_of(trainer.average)
    return copy.deepcopy((trainer.state(), weights_of(trainer.model), average))


def test_a_resume_is_exact_and_another_number_of_processes_goes_on_with_the_same_data(tmp_path):
    """Three ranks have five or six examples of 16 each."""
    names = ["gan", "vq-vae"]

    def act(ranks):
        found = {}
        for name in names:
            whole = outcome(made(name, ranks), 5)
            half = made(name, ranks)
            outcome(half, 2)
            taken = snapshot(half)
            again = made(name, ranks)
            again.restore(*copy.deepcopy(taken))
            found[name] = whole, outcome(again, 3), taken if ranks.first else None
        return found

    answers = many.run(3, tmp_path, act)
    for name in names:
        whole, again, taken = answers[0][name]
        assert_same_bits(whole, again, name)
        for other in answers[1:]:
            assert_same_bits(whole, other[name][1], name)
        alone = made(name)
        alone.restore(*taken)
        assert_alike(outcome(alone, 3) | {"logged": {}}, again | {"logged": {}}, name)


class Own(Model):
    """Somebody's own model: knows nothing of processes, and draws in every way there is. What each example was given
    shows in a metric, and in gradients."""

    name, value_range = "own", "unit"

    def __init__(self) -> None:
        super().__init__(Model.Config(), DataSpec("toy", "image", (1, 8, 8)))
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.3), nn.Flatten())
        self.end = nn.Linear(144, 4)
        self.heads = nn.MultiheadAttention(4, 2, dropout=0.0, batch_first=True)
        self.seldom = nn.Parameter(torch.ones(3))
        self.never = nn.Parameter(torch.ones(2))
        self.finished: list[Tensor] = []

    def phases(self) -> list[Phase]:
        return [Phase("own", self.loss, self.parameters(), finish=self.finish)]

    def loss(self, batch: Batch) -> Any:
        x, count = batch.x, len(batch.x)
        batch.shared |= {"rows": x.flatten(1)[:, :2] * 2, "word": "a"}
        out = self.end(self.net(x))
        self_attended, _ = self.heads(out[:, None], out[:, None], out[:, None])
        both = F.dropout(torch.cat([out, 2 * out]), 0.4)
        normal = torch.distributions.Normal(out, 1.0)
        draws = {
            "rand": torch.rand(count, 3), "size": torch.randn((count, 2)), "int": torch.randint(9, (count,)),
            "bounds": torch.randint(2, 9, size=(count, 2)), "like": torch.randn_like(x.transpose(1, 2)),
            "normal": torch.normal(0.0, 1.0, (count, 2)), "of": torch.normal(out, out.abs() + 0.1),
            "filled": torch.empty(count, 3).uniform_(), "exponential": torch.empty(2, count, 3).exponential_()[0],
            "bernoulli": torch.bernoulli(x.sigmoid()), "multinomial": torch.multinomial(out.softmax(1), 2, True),
            "rsample": normal.rsample(), "categorical": torch.distributions.Categorical(logits=out).sample(),
            "alpha": F.alpha_dropout(out, 0.3),
            "twice": both[:count] - both[count:], "one by one": drawn(lambda n: torch.randn(2, n), count, 1)[1],
            "coin": torch.rand(()).expand(count), "common": torch.rand(5)[torch.randperm(5)[0]].expand(count),
            "attended": self_attended[:, 0],
        }  # fmt: skip
        weights = x.flatten(1).mean(1)
        metrics: dict[str, Any] = {
            name: (draw.flatten(1) if draw.dim() > 1 else draw[:, None]).float().mean(1).mul(weights).mean()
            for name, draw in draws.items()
        }
        code = out.sigmoid()
        metrics["spread"] = pooled(lambda mean: mean.std(), code.mean(0))
        metrics["pairs"] = (code[:, None] - batch_rows(code)[None]).abs().mean()
        metrics["own"] = (own_rows(batch_rows(code)) - code).abs().max()
        loss = out.square().mean() + sum(metrics[name] for name in ("of", "rsample", "alpha", "twice"))
        loss = loss + batch_mean(code).square().sum() + metrics["attended"]
        if batch.labels is not None and bool((batch.labels == 0).any()):  # of some ranks' rows, in some steps
            loss = loss + self.seldom.square().sum() * (batch.labels == 0).float().mean()
        return loss, metrics

    def finish(self, batch: Batch) -> None:
        self.finished.append(batch.shared["rows"].clone())
        assert batch.labels is not None and len(batch.x) == len(batch.labels) == len(batch.shared["rows"]) == 10
        assert torch.equal(batch.shared["rows"], batch.x.flatten(1)[:, :2] * 2) and batch.shared["word"] == "a"


def trained_by(model: Model, ranks: Ranks, **overrides: Any) -> Any:
    """A trainer of batches of ten 8-pixel digits that trains another model than it was made for."""
    trainer = small_runs.trainer("vae", ranks=ranks, train__batch_size=10, train__health_every=0, **overrides)
    trainer.model, trainer.phases = model.train(), model.phases()
    trainer.parameters = {phase.name: list(phase.parameters) for phase in trainer.phases}
    settings = Optim(optimizer="sgd", beta1=0.0, lr=0.05)
    trainer.optims = {phase.name: settings for phase in trainer.phases}
    trainer.optimizers = {name: torch.optim.SGD(some, 0.05) for name, some in trainer.parameters.items()}
    trainer.compute = {phase.name: trainer._computing(phase) for phase in trainer.phases}
    return trainer


def of_own(ranks: Ranks, accumulate: int = 1) -> dict[str, Any]:
    trainer = trained_by(Own(), ranks, train__accumulate=accumulate)
    torch.manual_seed(1)
    for _ in range(4):
        trainer.train_step()
    logged = {name: list(column) for event in trainer.meter.flush() for name, column in event.values.items()}
    weights = {name: tensor.detach().numpy() for name, tensor in weights_of(trainer.model).items()}
    finished = {f"finish {place}": rows.numpy() for place, rows in enumerate(trainer.model.finished)}
    return {"weights": weights | finished, "logged": logged, "validation": {}, "random": torch.get_rng_state().numpy()}


def test_a_model_that_knows_nothing_of_processes_trains_as_in_one(tmp_path):
    """Its draws, its batch normalisation, gradients that only some ranks have; ten examples are 4, 3 and 3."""
    alone = of_own(ALONE)
    answers = many.run(3, tmp_path, of_own)
    assert len(alone["logged"]) > 20
    assert_alike(alone, answers[0], "own")
    for other in answers[1:]:
        assert_same_bits(answers[0], other, "own")
    assert not np.array_equal(alone["weights"]["seldom"], [1.0] * 3) and list(alone["weights"]["never"]) == [1, 1]


class Naming(Own):
    """Calls its metrics otherwise on another rank."""

    def loss(self, batch: Batch) -> Any:
        return self.end.weight.sum(), {f"after {min(batch.place, 1)}": self.end.weight.sum()}


class Wider(Own):
    """Has parameters that not every rank has."""

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = nn.ParameterList(torch.ones(2) for _ in range(more))


class Turned(Own):
    """Has two parameters of one shape in another order on another rank, as a set of them would."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank, self.more = rank, nn.Parameter(torch.ones(3))

    def phases(self) -> list[Phase]:
        return [Phase("own", self.loss, [self.seldom, self.more][:: -1 if self.rank else 1])]


class Dropping(Own):
    """Draws where nobody can divide it."""

    def loss(self, batch: Batch) -> Any:
        lstm = nn.LSTM(4, 3, 2, dropout=0.5)
        out, _ = lstm(batch.x.flatten(1)[:, :4, None].expand(-1, -1, 4).transpose(0, 1))
        out = out * torch.distributions.Gamma(batch.x.new_full((len(batch.x), 3), batch.place + 0.1), 1.0).rsample()
        batch.shared["rows"] = batch.x.flatten(1)[:, :2] * 2
        batch.shared["word"] = "a"
        return self.end.weight.sum() * out.mean(), {"drawn": out.mean()}


def test_what_differs_between_ranks_is_said_and_the_generators_go_on_alike(tmp_path):
    def act(ranks):
        trainer = trained_by(Naming(), ranks)
        with pytest.raises(TrainingError, match="the metrics of own differ between processes"):
            trainer.train_step()
        count = sum(parameter.numel() for parameter in Own().parameters())
        words = rf"do not train the same parameters: rank 0 .* of {count:,} numbers, rank 1 .* of {count + 2:,} numbers"
        with pytest.raises(TrainingError, match=words):
            trained_by(Wider(ranks.rank), ranks).train_step()
        with pytest.raises(TrainingError, match="the same parameters in another order"):
            trained_by(Turned(ranks.rank), ranks).train_step()
        with pytest.raises(TrainingError, match=r"train\.batch_size = 1 is less than 2 processes"):
            small_runs.trainer("vae", ranks=ranks, train__batch_size=1)
        trainer = trained_by(Dropping(), ranks)
        trainer.train_step()
        ranks.flags[1] = ranks.rank + 1
        trainer.train_step()
        heard = ranks.flag_sums.tolist()
        trainer.phases = []
        ranks.flags[1] = 5
        trainer.train_step()
        return torch.get_rng_state().numpy(), trainer.model.end.weight.detach().numpy(), heard, ranks.flag_sums.tolist()

    first, second = many.run(2, tmp_path, act)
    assert all(np.array_equal(a, b) for a, b in zip(first, second))
    assert first[2][1] == 3 and first[3][1] == 10
