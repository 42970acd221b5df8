"""What a form shows first: what has an effect, and what one would change; the rest is behind a fold."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from tests.form_host import CATALOG, Host, go, screen_text
from tui_gen import config
from tui_gen.app.panes.form.relevance import has_effect, of_author, split
from tui_gen.app.panes.form.state import FormState
from tui_gen.catalog import start_of
from tui_gen.effects import DRAWS, KIND, lacking
from tui_gen.params import Param, describe, hyper

TABLES = {"model": {"name": "vae"}, "dataset": {"name": "digits"}}


@pytest.mark.parametrize(
    ("when", "values", "applies"),
    [
        ("", {}, True),
        ("network=mlp", {"network": "mlp"}, True),
        ("network=mlp|recurrent", {"network": "recurrent"}, True),
        ("network=mlp", {"network": "conv"}, False),
        ("replay", {"replay": 0}, False),
        ("replay", {"replay": 16}, True),
        ("noise", {"noise": "none"}, False),
        ("noise", {"noise": "mask"}, True),
        ("conditional", {"conditional": False}, False),
        ("conditional", {"conditional": True}, True),
        ("best", {"best": ""}, False),
    ],
)
def test_a_setting_has_an_effect_only_beside_others(when, values, applies):
    param = Param("x", "int", when=when)
    assert (lacking("model.x", param, {}, lambda key: [values[key.removeprefix("model.")]], {}) == "") is applies


@pytest.mark.parametrize("name", CATALOG.models)
def test_every_condition_can_be_met(name):
    model = CATALOG.models[name]
    dataset = next(entry.name for entry in CATALOG.datasets.values() if entry.kind in model.kinds)
    known = config.keys(name, dataset, CATALOG)
    for key, param in known.items():
        other, _, wanted = param.when.partition("=")
        if other in ("", KIND, DRAWS):
            continue
        other = known[other if "." in other else f"{key.rpartition('.')[0]}.{other}"]
        if wanted and other.choices:
            assert {choice.partition(":")[0] for choice in wanted.split("|")} <= set(other.choices), key
    own = {param.name for param in model.params}
    assert all(when.partition("=")[0] in own for when in model.phases_when.values())


def test_a_name_that_is_no_field_is_refused_with_it():
    class Config(msgspec.Struct):
        WHEN = {"width": "network=mlp"}
        width: Annotated[int, hyper("Width")] = 3

    with pytest.raises(ValueError, match="names network, which is no field"):
        describe(Config)


def fields(state, table, always=frozenset()):
    section = next(section for section in state.sections() if section.name == table)
    return split(state, section, set(always))


def test_what_does_nothing_is_not_shown_and_every_choice_changes_that_at_once():
    state = FormState(CATALOG, TABLES)
    first, folded = fields(state, "model")
    assert "model.hidden" in first and "model.beta" in first
    assert "model.channels" not in first + folded and "model.sigma" not in first + folded
    assert "model.kl_warmup" in folded
    state.set_text("model.network", "conv")
    state.set_text("model.likelihood", "gaussian")
    first, folded = fields(state, "model")
    assert "model.channels" in first and "model.sigma" in first and "model.hidden" not in first + folded
    state.set_text("model.name", "gan")
    assert "model.gp_weight" not in fields(state, "model")[0]
    state.set_text("model.loss", "wasserstein-gp")
    assert "model.gp_weight" in fields(state, "model")[0]
    assert "model.gp_weight" in state.params and set(fields(state, "model", ["model.weight_clip"])[0]) > {"model.loss"}


@pytest.mark.parametrize(
    ("key", "by"),
    [
        ("train.phases.vae.beta2", {"train.phases.vae.optimizer": ("sgd", "adam")}),
        ("train.rollbacks", {"train.on_nan": ("stop", "rollback")}),
        ("preview.every_seconds", {"preview.every_steps": ("50", "0")}),
        ("preview.raw", {"train.ema": ("0", "0.99")}),
    ],
)
def test_what_another_setting_leaves_without_effect_is_not_shown_until_it_has_one(key, by):
    state = FormState(CATALOG, TABLES)
    table = key.rpartition(".")[0]
    for other, texts in by.items():
        for text, has_one in zip(texts, (False, True), strict=True):
            assert state.set_text(other, text) or state.text(other) == text
            first, folded = fields(state, table)
            assert (key in first + folded) is has_one, (key, text)


def test_only_what_the_data_and_the_samples_are_for_is_shown():
    """Of `network = auto` the data decide what it is; nobody measures the quality of text, or of no samples."""
    state = FormState(CATALOG, {"model": {"name": "ddpm"}, "dataset": {"name": "digits"}})

    def shown():
        return {key for section in state.sections() for part in split(state, section, set()) for key in part}

    images = shown()
    assert {"model.channels", "model.blocks", "dataset.flip", "quality.samples"} <= images
    assert not {"model.hidden", "dataset.length", "dataset.noise"} & images
    state.set_text("dataset.name", "moons")
    points = shown()
    assert {"model.hidden", "dataset.noise", "quality.samples"} <= points
    assert not {"model.channels", "model.blocks", "dataset.flip", "dataset.rotate", "dataset.length"} & points
    state.set_text("model.name", "char-rnn")
    state.set_text("dataset.name", next(entry.name for entry in CATALOG.datasets.values() if entry.kind == "text"))
    text = shown()
    assert "dataset.length" in text and not {key for key in text if key.startswith("quality.")}
    assert not {"dataset.flip", "dataset.noise", "dataset.size"} & text


async def test_another_dataset_changes_the_fields_on_screen_at_once_by_keys():
    async with Host().run_test(size=(80, 70)) as pilot:
        form = pilot.app.form
        form.load_tables({"model": {"name": "ddpm"}, "dataset": {"name": "digits"}}, "here")
        await go(pilot, "dataset.name")
        assert " channels " in screen_text(pilot.app) and " rotate " in screen_text(pilot.app)
        await pilot.press(*"moons", "enter")
        await pilot.pause()
        shown = screen_text(pilot.app)
        assert " noise " in shown and " rotate " not in shown and " hidden " in shown and " channels " not in shown


async def test_the_optimiser_of_a_phase_that_is_not_trained_is_not_shown():
    async with Host().run_test(size=(120, 70)) as pilot:
        form = pilot.app.form
        form.load_tables(start_of(CATALOG.models["autoencoder"], CATALOG), "autoencoder")
        await pilot.pause()
        text = screen_text(pilot.app)
        assert "Optimiser: autoencoder" in text and "Optimiser: pretrain" not in text
        form.put("model.pretrain_steps", "10")
        await pilot.pause()
        assert "Optimiser: pretrain" in screen_text(pilot.app)
        form.put("model.pretrain_steps", "0")
        await go(pilot, "train.phases.pretrain.lr")  # by its name, say from the palette
        assert "no effect without pretrain_steps" in screen_text(pilot.app)


def test_what_the_recipes_author_changed_is_shown_first_and_marked():
    state = FormState(CATALOG, CATALOG.recipes["beta-vae"].tables, "beta-vae")
    authors = {key for key in state.params if of_author(state, key)}
    assert {"model.sigma", "model.beta", "model.latent"} <= authors and "model.iw_samples" not in authors
    shown = {key for section in state.sections() for key in split(state, section, set())[0]}
    assert {key for key in authors if has_effect(state, key)} <= shown


def test_in_a_run_all_that_can_be_edited_is_shown():
    state = FormState(CATALOG, TABLES, live=True)
    first, folded = fields(state, "checkpoint")
    assert "checkpoint.keep_last" in first and "checkpoint.best" in folded


async def test_the_rest_is_behind_a_fold_and_whatever_is_gone_to_is_shown():
    async with Host().run_test(size=(120, 70)) as pilot:
        form = pilot.app.form
        form.load_tables(start_of(CATALOG.models["vae"], CATALOG), "vae")
        await pilot.pause()
        assert "keep_last" not in screen_text(pilot.app) and "more, seldom changed" in screen_text(pilot.app)
        fold = next(row for row in form.fields.list.rows if row.behind and row.section.name == "checkpoint")
        form.fields.list.go_to(fold.ident)
        await pilot.press("enter")
        await pilot.pause()
        assert "keep_last" in screen_text(pilot.app)
        await pilot.press("left")
        await pilot.pause()
        assert "keep_last" not in screen_text(pilot.app) and form.fields.list.row.behind == fold.behind
        await go(pilot, "model.channels")
        assert form.fields.key == "model.channels" and "no effect without network=conv" in screen_text(pilot.app)
        await go(pilot, "train.on_nan")
        assert form.fields.key == "train.on_nan"
        await pilot.press("ctrl+f", *"keep_best")
        await pilot.pause()
        assert "keep_best" in screen_text(pilot.app), "found wherever it is"
