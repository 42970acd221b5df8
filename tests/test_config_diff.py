"""In what configs differ: only that, as they mean it."""

from __future__ import annotations

import copy

import pytest

from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen.catalog import start_of
from tui_gen.history.config_diff import ABSENT, differences

CATALOG = catalogs.read()
DIGITS = CATALOG.recipes["vae-digits"].tables


def changed(**settings):
    tables = copy.deepcopy(DIGITS)
    for key, value in settings.items():
        configs.set_key(tables, key.replace("__", "."), value)
    return tables


def told(*tables):
    return {row.key: row.texts for row in differences(tables, CATALOG)}


@pytest.mark.parametrize("recipe", sorted(CATALOG.recipes))
def test_a_config_differs_from_none_of_its_own_forms(recipe):
    """As a recipe states it, with every default written out, and with another name and other words about it."""
    tables = CATALOG.recipes[recipe].tables
    whole = configs.to_tables(configs.load(tables, CATALOG))
    assert differences([tables, whole, {**tables, "name": "x", "notes": "y", "tags": ["z"]}], CATALOG) == []


def test_every_setting_that_differs_is_told_and_nothing_else():
    settings = configs.keys("vae", "digits", CATALOG)
    for key, param in settings.items():
        if key.partition(".")[0] in ("name", "notes", "tags") or param.when or key == "dataset.name":
            continue
        other = next((choice for choice in param.choices if choice != param.default), None)
        whole = 3 if param.default != 3 else 4
        values = {"int": whole, "float": 0.125, "bool": not param.default, "str": "other", "list": [7]}
        value = values.get(param.kind, other)
        first, second = copy.deepcopy(DIGITS), copy.deepcopy(DIGITS)
        configs.set_key(first, key, param.default)
        configs.set_key(second, key, value)
        rows = [row for row in differences([first, second, first], CATALOG) if row.key == key]
        assert rows and rows[0].defaults == (True, False, True), key


def test_what_a_config_does_not_state_has_its_default():
    rows = differences([changed(model__beta=1.0), changed(model__beta=4.0), DIGITS], CATALOG)
    assert [(row.key, row.texts, row.defaults) for row in rows] == [
        ("model.beta", ("1", "4", "1"), (True, False, True))
    ]


def test_a_setting_that_does_nothing_is_not_told():
    conv = changed(model__network="conv")
    assert "model.channels" not in told(DIGITS, changed(model__channels=[3])), "an MLP has no channels"
    assert told(conv, changed(model__network="conv", model__channels=[3]))["model.channels"][1] == "3"
    assert told(DIGITS, conv)["model.hidden"][1] == ABSENT.value
    plain = start_of(CATALOG.models["autoencoder"], CATALOG)
    faster = copy.deepcopy(plain)
    configs.set_key(faster, "train.phases.pretrain.lr", 0.5)
    assert told(plain, faster) == {}, "nothing is pretrained"
    for tables in (plain, faster):
        configs.set_key(tables, "model.pretrain_steps", 10)
    assert told(plain, faster)["train.phases.pretrain.lr"][1] == "0.5"


def test_what_came_with_another_model_as_declared_is_no_difference_of_its_own():
    rows = told(DIGITS, CATALOG.recipes["dcgan-mnist"].tables)
    assert rows["model.name"] == ("vae", "gan") and rows["dataset.name"] == ("digits", "mnist")
    assert "model.beta" not in rows and rows["train.phases.generator.lr"] == (ABSENT.value, "5e-4")


def test_edits_are_told_by_what_they_do():
    edits = [{"step": 300, "key": "train.phases.vae.lr", "value": 3e-4}]
    assert told(DIGITS, changed(edits=edits)) == {"edits": ("none", "train.phases.vae.lr = 3e-4 at 300")}


@pytest.mark.parametrize("odd", [{}, {"model": 3}, {"model": {"name": "nobody's", "width": 1}}, {"train": []}])
def test_a_config_that_nobody_could_train_is_compared_by_what_it_states(odd):
    rows = told(DIGITS, odd)
    assert rows, "it says something else than the recipe"
    assert told(odd, odd) == {}


def test_true_is_not_one_and_one_is_one_point_nought():
    assert told(changed(model__x=True), changed(model__x=1))["model.x"] == ("true", "1")
    assert told(changed(model__x=1.0), changed(model__x=1)) == {}
    assert told(changed(model__x=float("nan")), changed(model__x=float("nan"))) == {}
