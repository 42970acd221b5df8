"""What a run should reach: which recipe's figure it is held against, in terms of which curve."""

from __future__ import annotations

import numpy as np
import pytest

from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen.draw.series import Series
from tui_gen.verdicts.goals import Goal, about_one, goals_of


@pytest.fixture(scope="module")
def catalog():
    return catalogs.read([])


def config_of(tmp_path, catalog, recipe, *overrides, name=None):
    """The config.toml of a run of a recipe with these settings."""
    tables = configs.override(catalog.recipes[recipe].tables, overrides, catalog)
    path = tmp_path / "config.toml"
    path.write_text(configs.dumps(configs.load(tables | {"name": name or recipe}, catalog)))
    return path


def test_a_recipe_as_written_is_held_against_its_aim_and_a_short_one_against_its_small_version(tmp_path, catalog):
    whole, small = goals_of(config_of(tmp_path, catalog, "vae-digits"), catalog)
    assert (whole.curve, whole.better, whole.level) == ("quality/confident", "higher", 0.83)
    assert (small.curve, small.better, small.level, small.steps) == ("val/vae/elbo", "higher", -24.7, 2500)
    short = goals_of(config_of(tmp_path, catalog, "vae-digits", "train.steps=900"), catalog)
    assert short == [small, whole]


def test_every_recipe_whose_aim_is_about_one_metric_is_held_against_it(tmp_path, catalog):
    held = 0
    for recipe in catalog.recipes.values():
        aim = recipe.aim_on(recipe.dataset)
        if aim is not None and about_one(aim.metric) is not None:
            goal = goals_of(config_of(tmp_path, catalog, recipe.name), catalog)[0]
            _, factor, number = about_one(aim.metric)
            assert (goal.recipe, goal.reach, goal.changed) == (recipe.name, aim.reach, ())
            assert factor * goal.level + number == pytest.approx(aim.reach)
            held += 1
    assert held > 20


def test_a_figure_is_for_its_data_and_for_a_model_that_computes_the_same(tmp_path, catalog):
    def metric_of(*overrides, name=None):
        goals = goals_of(config_of(tmp_path, catalog, "vae-digits", *overrides, name=name), catalog)
        return [(goal.curve, goal.level, goal.changed) for goal in goals]

    stated = metric_of()
    assert metric_of(name="of my own") == stated  # the same settings under another name
    assert metric_of("dataset.size=16") == [("val/vae/elbo", None, ())]  # what counts is known, a figure is not
    assert metric_of("model.likelihood=gaussian") == [("val/vae/elbo", None, ())]
    assert metric_of("model.latent=4") == [(*row[:2], ("latent",)) for row in stated]
    assert metric_of("dataset.root=/somewhere/else") == stated
    assert metric_of("model.latent=4", name="of my own")[0][1] is None


def test_a_run_whose_config_cannot_be_read_should_reach_nothing(tmp_path, catalog):
    assert goals_of(tmp_path / "none.toml", catalog) == []
    for text in ("", "name = 3", "[model]\nname = 'no such'", "model = 'vae'", "\x00", "[model]\nname = ['vae']"):
        (tmp_path / "config.toml").write_text(text)
        assert goals_of(tmp_path / "config.toml", catalog) == []


@pytest.mark.parametrize(
    ("metric", "terms"),
    [
        ("val/vae/elbo", ("val/vae/elbo", 1.0, 0.0)),
        ("val/vae/loss / 784 + -0.5", ("val/vae/loss", 1 / 784, -0.5)),
        ("3 / 2 + a", ("a", 1.0, 1.5)),
        ("a + b / 784", None),
        ("2", None),
        ("a / 0", None),
        ("a / b", None),
        ("a / inf", None),
    ],
)
def test_a_metric_about_one_curve_is_taken_apart(metric, terms):
    assert about_one(metric) == terms


def test_the_best_of_a_curve_is_by_what_is_better():
    curve = Series("", [0, 10, 20, 30], [3.0, np.nan, 1.0, 2.0])
    low, high = (Goal("r", "m", better, 1.5, "m", 1.5) for better in ("lower", "higher"))
    assert low.best(curve) == (20, 1.0) and high.best(curve) == (0, 3.0)
    assert low.reached(1.5) and low.reached(1.0) and not low.reached(1.6)
    assert high.reached(1.5) and high.reached(2.0) and not high.reached(1.4)
    assert low.best(Series("", [0], [np.nan])) is None
    assert not Goal("r", "m", "lower", None, "m", None).reached(0.0)
