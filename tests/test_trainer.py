"""The training engine: exact resume, phases, averaged weights, live edits, metrics, previews that change nothing."""

from __future__ import annotations

import pytest
import torch

from tests import small_runs
from tui_gen.config import Optim
from tui_gen.model import Phase, Text
from tui_gen.train.engine import optim
from tui_gen.train.engine.building import RefusedError, TrainingError, weights_of
from tui_gen.train.engine.devices import pick_device, pick_precision, random_state_kept
from tui_gen.train.run import checkpoints
from tui_gen.train.run.checkpoints import Meta
from tui_gen.train.shown.previews import Previewer

FAMILIES = ["vae", "vq-vae", "gan", "ddpm", "classifier", "char-rnn"]
FAMILIES += ["latent-diffusion", "pretrained-classifier", "augmented-classifier"]


def digest(trainer):
    """Everything that must be equal: weights, averages, optimiser state, random state."""
    state = trainer.state()
    found = {f"w.{k}": v.clone() for k, v in weights_of(trainer.model).items()}
    if trainer.average is not None:
        found |= {f"a.{k}": v.clone() for k, v in weights_of(trainer.average).items()}
    for name, optimizer in state["optimizers"].items():
        for index, one in optimizer["state"].items():
            found |= {f"o.{name}.{index}.{k}": torch.as_tensor(v).clone() for k, v in one.items()}
    found["rng"] = state["rng"].clone()
    return found


def assert_equal(one, two):
    assert one.keys() == two.keys()
    different = [key for key in one if not torch.equal(one[key], two[key])]
    assert not different


def advance(trainer, steps):
    for _ in range(steps):
        trainer.train_step()


@pytest.mark.parametrize("family", FAMILIES)
def test_resume_is_bit_exact_in_the_middle_of_an_epoch(family, tmp_path):
    whole = small_runs.trainer(family)
    advance(whole, 13)
    half = small_runs.trainer(family)
    advance(half, 5)
    assert half.stream.cursor % half.stream.steps_per_epoch != 0
    path = checkpoints.save(tmp_path, half.snapshot(), Meta(5, 1.0, "test"))
    first = [event for event in half.meter.flush() if event.values]

    torch.manual_seed(999)  # whatever the new process did before must not matter
    again = small_runs.trainer(family)
    loaded = checkpoints.load(path)
    again.restore(loaded.state, loaded.weights, loaded.average)
    assert again.step == 5
    advance(again, 8)
    assert_equal(digest(again), digest(whole))

    def values(*flushes):
        found = {}
        for event in (event for flush in flushes for event in flush):
            for name, column in event.values.items():
                for place, value in enumerate(column):
                    found[name, event.start + place * event.stride] = value
        return found

    assert values(first, again.meter.flush()) == values(whole.meter.flush())
    for one, two in zip(again.stream.next(), whole.stream.next(), strict=True):
        assert one is two is None or torch.equal(one, two)  # text has no labels


@pytest.mark.parametrize("family", FAMILIES)
def test_previews_and_validation_change_nothing(family):
    plain = small_runs.trainer(family)  # both draw from the global generators: one after the other
    advance(plain, 4)
    expected = digest(plain)
    watched = small_runs.trainer(family)
    previewer = Previewer(watched.model, watched.data, watched.device, 9, 0)
    for _ in range(4):
        watched.train_step()
        assert previewer.draw(watched.eval_model)
        assert watched.validate(40)
    assert_equal(expected, digest(watched))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_preview_is_the_same_for_the_same_weights(family):
    trainer = small_runs.trainer(family)
    one = Previewer(trainer.model, trainer.data, trainer.device, 9, 3).draw(trainer.eval_model)
    torch.randn(7)
    two = Previewer(trainer.model, trainer.data, trainer.device, 9, 3).draw(trainer.eval_model)
    assert [grid.kind for grid in one] == [grid.kind for grid in two]
    assert all(shown(a) == shown(b) for a, b in zip(one, two, strict=True))
    before = {grid.kind: shown(grid) for grid in one}
    advance(trainer, 8)
    after = Previewer(trainer.model, trainer.data, trainer.device, 9, 3).draw(trainer.eval_model)
    assert any(shown(grid) != before[grid.kind] for grid in after)


def shown(preview):
    """What is seen of a preview: a picture's pixels, or text."""
    return preview.text if isinstance(preview, Text) else preview.pixels.tobytes()


def test_only_a_phase_s_own_parameters_move():
    trainer = small_runs.trainer("gan", model__n_critic=4)
    advance(trainer, 1)  # step 0 trains both
    frozen = {name: p.clone() for name, p in trainer.model.generator.named_parameters()}
    critic = {name: p.clone() for name, p in trainer.model.discriminator.named_parameters()}
    advance(trainer, 3)
    assert all(torch.equal(frozen[name], p) for name, p in trainer.model.generator.named_parameters())
    assert any(not torch.equal(critic[name], p) for name, p in trainer.model.discriminator.named_parameters())
    advance(trainer, 1)
    assert any(not torch.equal(frozen[name], p) for name, p in trainer.model.generator.named_parameters())


def test_every_step_s_value_is_kept_with_its_step():
    trainer = small_runs.trainer("gan", model__n_critic=3)
    advance(trainer, 7)
    events = trainer.meter.flush()
    steps = {}
    for event in events:
        for name, column in event.values.items():
            steps.setdefault(name, []).extend(event.start + i * event.stride for i in range(len(column)))
    assert steps["generator/loss"] == [0, 3, 6]
    assert sorted(steps["discriminator/loss"]) == list(range(7))
    assert trainer.meter.flush() == []


def test_the_average_follows_the_weights():
    trainer = small_runs.trainer("ddpm", train__ema=0.5)
    name, start = next((n, p.clone()) for n, p in trainer.model.named_parameters())
    trainer.train_step()  # decay min(0.5, 1/10) = 0.1 at step 0
    now = dict(trainer.model.named_parameters())[name]
    averaged = dict(trainer.average.named_parameters())[name]
    assert torch.allclose(averaged, 0.1 * start + 0.9 * now, atol=1e-7)


def test_live_edits_count_from_the_next_step_and_survive_a_resume(tmp_path):
    trainer = small_runs.trainer("vae")
    advance(trainer, 2)
    trainer.edit("train.phases.vae.lr", 0.0123)
    trainer.edit("model.beta", 3.0)
    trainer.edit("preview.every_seconds", 9.0)
    assert trainer.current("model.beta") == 3.0
    trainer.train_step()
    assert trainer.optimizers["vae"].param_groups[0]["lr"] == 0.0123
    path = checkpoints.save(tmp_path, trainer.snapshot(), Meta(3, 1.0, "test"))
    again = small_runs.trainer("vae")
    loaded = checkpoints.load(path)
    again.restore(loaded.state, loaded.weights, loaded.average)
    assert again.current("train.phases.vae.lr") == 0.0123
    assert again.current("model.beta") == 3.0
    assert again.current("preview.every_seconds") == 9.0


def test_weights_of_another_network_are_refused(tmp_path):
    one = small_runs.trainer("vae")
    loaded = checkpoints.load(checkpoints.save(tmp_path, one.snapshot(), Meta(0, 0.0, "test")))
    other = small_runs.trainer("vae", model__latent=5)
    with pytest.raises(TrainingError, match="another network"):
        other.restore(loaded.state, loaded.weights, loaded.average)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path):
    trainer = small_runs.trainer("vae")
    for step in (1, 2, 3):
        trainer.train_step()
        checkpoints.save(tmp_path, trainer.snapshot(), Meta(step, 0.0, "test"))
    state = checkpoints.directory(tmp_path, 3) / "state.pt"
    state.write_bytes(state.read_bytes()[:100])
    (checkpoints.directory(tmp_path, 2) / "meta.json").unlink()
    found = list(checkpoints.newest(tmp_path))
    assert "000003" in found[0] and "000002 has no meta.json" in found[1]
    assert found[2].meta.step == 1


def test_recover_removes_halves_and_brings_back_what_was_being_replaced(tmp_path):
    trainer = small_runs.trainer("vae")
    path = checkpoints.save(tmp_path, trainer.snapshot(), Meta(0, 0.0, "test"))
    (tmp_path / "checkpoints" / ".000009.partial").mkdir()
    path.rename(path.with_name(".000000.old"))
    checkpoints.recover(tmp_path)
    assert sorted(one.name for one in (tmp_path / "checkpoints").iterdir()) == ["000000"]


def test_pruning_keeps_the_newest_and_the_best(tmp_path):
    trainer = small_runs.trainer("vae")
    for step, ranked in ((1, 0.5), (2, 0.1), (3, 0.9), (4, None), (5, 0.7)):
        checkpoints.save(tmp_path, trainer.snapshot(), Meta(step, 0.0, "test", ranked))
    checkpoints.prune(tmp_path, keep_last=2, keep_best=1)
    assert [step for step, _, _ in checkpoints.complete(tmp_path)] == [2, 4, 5]


def test_pruning_compares_only_what_the_same_metric_ranked(tmp_path):
    trainer = small_runs.trainer("vae")
    elbo = "val/vae/elbo"
    for step, ranked, by in ((1, -99.0, ""), (2, 90.0, elbo), (3, 80.0, elbo), (4, 85.0, elbo)):
        checkpoints.save(tmp_path, trainer.snapshot(), Meta(step, 0.0, "test", ranked, ranked_by=by))
    checkpoints.prune(tmp_path, keep_last=1, keep_best=1)
    assert [step for step, _, _ in checkpoints.complete(tmp_path)] == [3, 4]


def test_saving_the_same_step_again_replaces_it(tmp_path):
    trainer = small_runs.trainer("vae")
    checkpoints.save(tmp_path, trainer.snapshot(), Meta(0, 0.0, "one"))
    checkpoints.save(tmp_path, trainer.snapshot(), Meta(0, 0.0, "two"))
    assert [meta.reason for _, _, meta in checkpoints.complete(tmp_path)] == ["two"]


@pytest.mark.parametrize("name", ["adam", "adamw", "nadam", "rmsprop", "sgd"])
def test_every_optimizer_descends(name):
    x = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = optim.build(Optim(optimizer=name, lr=0.05), [x])
    for _ in range(200):
        x.grad = 2 * x.detach()
        optimizer.step()
    assert x.abs().max() < 0.5


def test_schedules():
    assert optim.rate(Optim(lr=1.0, schedule="linear"), 5, 0.25) == 0.75
    assert optim.rate(Optim(lr=1.0, schedule="cosine"), 5, 0.5) == pytest.approx(0.5)
    assert optim.rate(Optim(lr=1.0, schedule="cosine"), 5, 1.0) == pytest.approx(0.0)
    assert optim.rate(Optim(lr=1.0, schedule="exponential"), 5, 1.0) == pytest.approx(0.01)
    assert optim.rate(Optim(lr=1.0, warmup=10), 4, 0.1) == 0.5
    assert optim.rate(Optim(lr=1.0, warmup=10), 10, 0.1) == 1.0


def test_gradients_are_clipped():
    trainer = small_runs.trainer("vae", train__phases={"vae": {"clip_norm": 1e-6, "optimizer": "sgd", "lr": 1.0}})
    before = {name: tensor.clone() for name, tensor in weights_of(trainer.model).items()}
    trainer.train_step()
    moved = torch.cat([(before[n] - t).flatten() for n, t in weights_of(trainer.model).items()]).norm()
    assert 0 < moved < 2e-5
    assert any("vae/grad_norm" in event.values for event in trainer.meter.flush())


def test_what_the_model_cannot_do_is_refused_with_every_reason():
    with pytest.raises(RefusedError) as caught:
        small_runs.trainer("gan", dataset__size=9)
    assert "model." in str(caught.value) or "dataset.size" in str(caught.value)


def test_phases_that_cannot_be_trained_are_refused_in_words(monkeypatch):
    kind = small_runs.built()[1].models["vae"]
    weight = [torch.nn.Parameter(torch.zeros(1))]
    for phases, words in (
        (None, "must return a list"),
        ([], "one at least"),
        ([Phase("other", None, weight)], "none for its phase 'other', only for vae"),
        ([Phase("vae", None, weight)] * 2, "two phases are called 'vae'"),
        ([Phase("vae", None, [])], "'vae' has no parameters"),
    ):
        monkeypatch.setattr(kind, "phases", lambda self, phases=phases: phases)
        with pytest.raises(TrainingError, match=words):
            small_runs.trainer("vae")


def test_a_loss_that_returns_something_else_is_told_what_it_must_return(monkeypatch):
    kind = small_runs.built()[1].models["vae"]
    right = kind.loss
    for wrong, words in (
        (lambda loss, metrics: None, "returned None: it returns (loss, metrics)"),
        (lambda loss, metrics: loss, "returned a tensor of shape (): it returns (loss, metrics)"),
        (lambda loss, metrics: (loss, [1]), "returned a tuple of 2 (Tensor, list): it returns"),
        (lambda loss, metrics: (loss.expand(3, 2), metrics), "a loss that is a tensor of shape (3, 2)"),
        (lambda loss, metrics: (loss.item(), metrics), "a loss that is a float"),
        (lambda loss, metrics: (loss.detach(), metrics), "depends on no parameter"),
        (lambda loss, metrics: (loss, {"kl": loss.expand(2)}), "the metric 'kl' as a tensor of shape (2)"),
        (lambda loss, metrics: (loss, {"kl": "low"}), "the metric 'kl' as a str"),
    ):
        monkeypatch.setattr(kind, "loss", lambda self, batch, wrong=wrong: wrong(*right(self, batch)))
        with pytest.raises(TrainingError) as caught:
            small_runs.trainer("vae").train_step()
        assert str(caught.value).startswith("the loss of phase 'vae' returned ") and words in str(caught.value)
    monkeypatch.setattr(kind, "loss", lambda self, batch: batch.nothing)
    with pytest.raises(AttributeError, match="nothing"):  # its own words are the best
        small_runs.trainer("vae").train_step()


def test_what_previews_cannot_draw_of_a_model_is_told_in_words(monkeypatch):
    """A sampler of a newcomer's: PyTorch's own words would be of a tensor that cannot be unpacked."""
    trainer = small_runs.trainer("vae")
    model = trainer.model
    previewer = Previewer(model, trainer.data, trainer.device, 9, 0)
    for method, wrong, words in (
        ("sample", lambda noise, labels=None: noise[:, :3], "shape (9, 3): it must be a tensor of shape (9, 1, 8, 8)"),
        ("sample", lambda noise, labels=None: torch.zeros(9, 64), "8); .view(-1, *self.data.shape) makes it so"),
        ("sample", lambda noise, labels=None: None, "returned None: it must be"),
        ("reconstruct", lambda x, labels=None: x[1:], "shape (7, 1, 8, 8): it must be a tensor of shape (8, 1, 8, 8)"),
        ("trajectory", lambda noise, labels=None, frames=8: torch.zeros(8, 1, 8, 8), "of shape (frames, 8, 1, 8, 8)"),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(type(model), method, lambda self, *given, wrong=wrong: wrong(*given), raising=False)
            with pytest.raises(TrainingError) as caught:
                previewer.draw(model)
        assert str(caught.value).startswith(f"{method}() of the model 'vae' returned ") and words in str(caught.value)
    previewer.draw(model)
    assert not previewer.unfinite
    monkeypatch.setattr(type(model), "sample", lambda self, noise, labels=None: torch.full((9, 1, 8, 8), torch.nan))
    previewer.draw(model)
    assert previewer.unfinite == {"sample"}


def test_devices_and_precisions_that_are_not_there():
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match="cuda"):
            pick_device("cuda:7")
    with pytest.raises(TrainingError, match="float16"):
        pick_precision("float16", torch.device("cpu"))
    assert pick_precision("auto", torch.device("cpu")) is torch.float32


def test_the_random_state_of_any_device_is_kept_and_checkpointed(monkeypatch):
    # stands in for an Apple GPU, whose generator torch.manual_seed seeds as well
    own = torch.Generator()
    monkeypatch.setattr(torch.mps, "manual_seed", own.manual_seed)
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda device="mps": own.get_state())
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state, device="mps": own.set_state(state))
    device = torch.device("mps")
    trainer = small_runs.trainer("vae")
    own.manual_seed(5)
    before, cpu = own.get_state(), torch.get_rng_state()
    with random_state_kept(device, 3):
        torch.rand(2, generator=own), torch.rand(2)
    assert torch.equal(own.get_state(), before) and torch.equal(torch.get_rng_state(), cpu)
    state = (trainer.state(), setattr(trainer, "device", device), trainer.state())[2]
    assert torch.equal(state["rng_mps"], before)
    torch.rand(2, generator=own)
    trainer.restore(state, weights_of(trainer.model), None)
    assert torch.equal(own.get_state(), before)


def test_the_gradient_scaler_counts_steps_not_phases():
    trainer = small_runs.trainer("gan")
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for phase in trainer.phases:
        trainer.compute[phase.name] = trainer._computing(phase)
    for _ in range(5):
        trainer.train_step()
    assert trainer.scaler._get_growth_tracker() == 5

    name = trainer.phases[0].name
    whole = trainer.compute[name]
    trainer.compute[name] = lambda batch: (*whole(batch)[:2], [None] * len(trainer.parameters[name]))
    trainer.train_step()
    assert trainer.scaler._get_growth_tracker() == 6, "a phase without gradients is passed over"


def test_a_validation_of_some_takes_them_from_all_over_but_in_runs_that_began_with_the_first_ones():
    """What is read from folders is sorted by class: the first ones are of a few."""
    trainer, seen = small_runs.trainer("classifier"), []
    trainer.model.validation = lambda batch: seen.append(batch.labels) or {}
    labels = trainer.data.validation.labels
    trainer.validate(5)
    state = trainer.state()
    for kept in (state, {key: value for key, value in state.items() if key != "spread"}):
        trainer.restore(kept, weights_of(trainer.model), None)
        trainer.validate(5)
    assert len(labels) == 15 and [[*some] for some in seen] == [[*labels[::3]], [*labels[::3]], [*labels[:5]]]
