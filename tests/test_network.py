"""What training takes, measured before it: layers, bytes against closed forms, bands on both sides of their bounds."""

from __future__ import annotations

import msgspec
import pytest
import torch

from tests import small_runs
from tests.shell import until, until_shown, workbench
from tui_gen import config as configs
from tui_gen.app.steering.session import Session
from tui_gen.control import ControlError
from tui_gen.model import Batch, Phase
from tui_gen.train.engine import layers
from tui_gen.train.run.warm import network as measured
from tui_gen.verdicts.network import Layer, Network, length_words, memory_words

GB = 10**9


def network(fixed=GB, each=10**6, room=10 * GB, examples=60_000, rows=()):
    return Network(list(rows), 10_000, 9_000, 40_000, fixed, each, "cpu", room, examples)


@pytest.mark.parametrize(
    "batch, band", [(1, "SAFE"), (6000, "SAFE"), (6001, "TIGHT"), (8500, "TIGHT"), (8501, "TOO BIG")]
)
def test_bands(batch, band):
    assert network().fits(batch) == band and network(room=0).fits(batch) == ""


def test_the_best_batch_is_the_largest_power_of_two_that_is_safe():
    assert network().best_batch() == 4096 and network().fits(4096) == "SAFE" and network().fits(8192) == "TIGHT"
    assert network(examples=1000).best_batch() == 64 and network(examples=None).best_batch() == 4096
    assert network(each=100, examples=None).best_batch() == 65536
    assert network(fixed=8 * GB).best_batch() == 0 and network(room=0).best_batch() == 0


def test_parts_take_the_memory_of_one_of_them():
    split = msgspec.structs.replace(network(), row=1000, sums=5 * 10**6)
    assert split.need(10) == GB + 10 * 1000 + 10 * 10**6
    assert split.need(10, 4) == GB + 10 * 1000 + 3 * 10**6 + 5 * 10**6
    assert split.best_parts(4096) == 1 and split.best_parts(10_000) == 2 and split.best_parts(40_000) == 8
    assert split.fits(40_000, 4) == "TOO BIG" and split.fits(40_000, 8) == "SAFE"
    assert network(fixed=8 * GB).best_parts(4) == 0 and network(room=0).best_parts(4) == 0
    assert network(fixed=0, each=6 * GB).best_parts(3) == 3 and network(fixed=0, each=8 * GB).best_parts(3) == 0


def test_words():
    assert memory_words(network(), 64) == (
        "1.1 GB of 10 GB (cpu) with batches of 64: 1.0 GB whatever the batch, 1.0 MB an example"
    )
    in_parts = memory_words(network(), 64, 4)
    assert in_parts.endswith("batches of 64 in 4 parts: 1.0 GB whatever the batch, 1.0 MB an example of a part")
    assert length_words({"steps": 2000}, 100) == "2,000 steps are about 20 epochs of 100 steps"
    assert length_words({"steps": 0, "epochs": 1.5}, 100) == "1.5 epochs are about 150 steps"
    assert length_words({"steps": 12}, 12) == "12 steps are about 1 epoch of 12 steps"
    assert length_words({"steps": 1}, 1) == "1 step is about 1 epoch of 1 step"
    assert length_words({"steps": 0, "epochs": 1}, 1) == "1 epoch is about 1 step"
    assert length_words({"minutes": 2.0}, 100) == "an epoch is about 100 steps" and length_words({}, None) == ""


@pytest.mark.parametrize("family", ["autoencoder", "gan", "char-rnn", "ddpm", "vq-vae"])
def test_the_layers_have_all_the_parameters_and_the_model_keeps_its_weights(family):
    found = measured(small_runs.tables(family), *small_runs.built())
    trainer = small_runs.trainer(family)
    assert sum(layer["parameters"] for layer in found["layers"]) == found["parameters"]
    if family != "char-rnn":  # whose characters are known once the text is read
        assert found["trained"] == trainer.model.parameter_count()
    assert any(layer["shape"] for layer in found["layers"]) and found["each"] > 0
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    state = torch.get_rng_state()
    layers.described(trainer.model, trainer.config, trainer.data.spec)
    assert torch.equal(state, torch.get_rng_state())
    now = trainer.model.state_dict()
    trained = dict(trainer.model.named_parameters())
    assert all(torch.equal(now[name], value) for name, value in before.items() if name in trained)


def test_bytes_are_those_of_the_formula(monkeypatch):
    """An MLP keeps its input and what its layers put out; Adam has two numbers for each parameter, SGD none."""
    monkeypatch.setattr(layers, "_room", lambda device: (0, GB))
    tables = small_runs.tables("autoencoder", model__hidden=[1000], model__latent=8, dataset__limit=0)
    adam = measured(tables, *small_runs.built())
    numbers = adam["parameters"]
    data = 1797 * 64
    assert adam["weights"] == 4 * numbers and adam["fixed"] - data == pytest.approx(1.1 * 16 * numbers, rel=0.02)
    configs.set_key(tables, "train.phases.autoencoder.optimizer", "sgd")
    configs.set_key(tables, "train.phases.autoencoder.beta1", 0.0)
    sgd = measured(tables, *small_runs.built())
    assert adam["fixed"] - sgd["fixed"] == pytest.approx(1.1 * 8 * numbers, rel=0.01)
    wide = measured(small_runs.tables("autoencoder", model__hidden=[4000], model__latent=8), *small_runs.built())
    assert 3 < wide["each"] / adam["each"] < 5 and 2 * 4 * 1000 < adam["each"] < 12 * 4 * 1000
    assert adam["row"] == round(1.1 * 4 * 64) and adam["sums"] == round(1.1 * 4 * numbers)


@pytest.mark.parametrize("dtype, times", [(torch.uint8, 1), (torch.float32, 3)])
def test_what_a_library_notes_for_itself_gets_no_gradient(dtype, times):
    """The workspace of an LSTM, say: bytes that are kept for the gradients, and have none."""
    size = 1_000_000

    class Noting(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(torch.zeros(size // dtype.itemsize, dtype=dtype))
            return x + 1

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    model = torch.nn.Linear(4, 1)
    phase = Phase("a", lambda batch: (Noting.apply(model(batch.x)).mean(), {}), model.parameters())
    held = layers._kept(model, [phase], Batch(torch.ones(2, 4)), {})
    assert times * size <= held < times * size + 2000


LAYERS = [Layer("encoder.0", "Linear", [128], 8320), Layer("decoder", "Linear", [], 1680)]


async def test_the_pane_tells_and_fits_what_the_form_shows(monkeypatch):
    asked, wrong = [], {77}

    def answer(self, tables):
        asked.append(tables)
        if tables["train"]["batch_size"] in wrong:
            raise ControlError("this network cannot be measured")
        return network(rows=LAYERS, examples=None if tables["train"]["batch_size"] == 9 else 60_000)

    monkeypatch.setattr(Session, "network", answer)
    async with workbench(monkeypatch, (120, 60)) as (app, pilot):
        app.form.put("train.batch_size", "9000")
        await pilot.press("alt+9", "f11")
        await until_shown(pilot, "✖ TOO BIG it will not fit: 10 GB of 10 GB", "10,000 parameters, 1,000 of them frozen")
        await until_shown(pilot, "encoder.0  Linear  128", "83.2% ██████████", "about 3,333 epochs of 6 steps")
        await pilot.press("f")
        await until_shown(pilot, "✔ SAFE it fits: 5.1 GB of 10 GB")
        assert app.form.draft.value("train.batch_size") == 4096 and len(asked) == 2
        pane = app.workspace.pane("network")
        assert not pane.check_action("fit", ()) and not pane.check_action("accumulate", ()), "that is so already"
        app.form.put("train.batch_size", "16000")
        await pilot.press("a")  # at once: nothing needs to be measured for it
        await until_shown(pilot, "✔ SAFE it fits: 5.0 GB of 10 GB (cpu) with batches of 16,000 in 4 parts")
        assert app.form.draft.value("train.accumulate") == 4 and app.form.draft.value("train.batch_size") == 16000
        await until(pilot, lambda: pane.check_action("fit", ()))
        app.form.put("model.latent", "5")
        assert not pane.check_action("fit", ()), "not measured for this model"
        app.form.put("train.batch_size", "77")
        await until_shown(pilot, "this network cannot be measured")
        wrong.clear()
        await pilot.press("alt+3", "alt+9")
        await until_shown(pilot, "✔ SAFE it fits")  # who comes back has it asked anew
        for size in ((80, 24), (200, 60)):
            await pilot.resize_terminal(*size)
            await pilot.press("alt+9")
            await until(pilot, lambda: app.size == size)  # noqa: B023
            await until_shown(pilot, "SAFE it fits", "encoder.0  Linear  128", "83.2% ██████████")
