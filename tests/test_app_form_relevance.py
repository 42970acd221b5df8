"""What a form shows first: what has an effect, and what one would change; the rest is behind a fold."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from tests.form_host import CATALOG, Host, go, screen_text
from tui_gen.app.panes.form.relevance import has_effect, of_author, split
from tui_gen.app.panes.form.state import FormState
from tui_gen.catalog import start_of
from tui_gen.effects import lacking
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
    assert (lacking("model.x", param, {}, lambda key: [values[key.removeprefix("model.")]]) == "") is applies


@pytest.mark.parametrize("name", CATALOG.models)
def test_every_condition_can_be_met(name):
    known = {param.name: param for param in CATALOG.models[name].params}
    for param in known.values():
        other, _, wanted = param.when.partition("=")
        if wanted:
            assert set(wanted.split("|")) <= set(known[other].choices), param.name
        elif other:
            assert other in known
    assert all(when.partition("=")[0] in known for when in CATALOG.models[name].phases_when.values())


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
