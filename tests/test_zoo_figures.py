"""Every recipe of the zoo states a figure that can be checked; no untrained or trivial model reaches it."""

from __future__ import annotations

import re
from functools import cache

import msgspec
import pytest
import torch
from torch.nn import functional as F

from tests.small_runs import parts_of
from tui_gen import catalog as catalogs
from tui_gen.models.looks.sample_distance import standardised_sliced_wasserstein
from tui_gen.report import records, trials
from tui_gen.train import discover
from tui_gen.train.data import Data, dataset_of, fixed_batches, load
from tui_gen.train.engine.trainer import Trainer

RECIPES = catalogs.read().recipes
CPU = torch.device("cpu")


@cache
def built():
    """The catalogue and the models' classes."""
    return discover.build()


def small_config(name: str):
    known, _ = built()
    recipe = RECIPES[name]
    return trials.config_of(recipe, known, [*trials.small(recipe.check), "train.device=cpu"])


def judged(name: str, reached: float) -> str:
    """The verdict on a value of the recipe's metric."""
    check = RECIPES[name].check
    result = records.Result(name, metric=check.metric, better=check.better, expected=check.reach, reached=reached)
    result.judge()
    return result.verdict


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_states_its_figure_and_an_untrained_model_misses_it(name):
    recipe = RECIPES[name]
    assert recipe.figure and recipe.source and recipe.reference
    assert recipe.check is not None and recipe.check.overrides
    config = small_config(name)
    _, classes = built()
    data = load(dataset_of(config.dataset, built()[1].datasets), CPU, seed=0)
    parts = parts_of(config, data.spec)
    trainer = Trainer(classes.models[config.model.name], config, data, CPU, lambda _: config.train.steps, parts)
    value = trainer.validate(256)[recipe.check.metric]
    assert judged(name, value) == records.MISSED, value


def examples(data: Data, value_range: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Up to 2,000 examples each of the training and of the validation split."""
    return tuple(
        torch.cat([x for x, _ in fixed_batches(part, batch_size=256, value_range=value_range, limit=2000)])
        for part in (data.train, data.validation)
    )


AVERAGE = [name for name, one in RECIPES.items() if one.check.metric.endswith(("/mse", "denoising_mse", "/elbo"))]


@pytest.mark.parametrize("name", AVERAGE)
def test_the_average_image_misses_the_figure_of_a_model_that_reconstructs(name):
    config = small_config(name)
    train, held = examples(load(dataset_of(config.dataset, built()[1].datasets), CPU, seed=0), "unit")
    mean = train.mean(0, keepdim=True)
    if not RECIPES[name].check.metric.endswith("/elbo"):
        value = (held - mean).square().mean()
    elif config.model.values.get("likelihood", "bernoulli") == "bernoulli":
        nats = F.binary_cross_entropy(mean.clamp(1e-3, 1 - 1e-3).expand_as(held), held, reduction="none")
        value = -nats.flatten(1).sum(1).mean()
    else:  # where σ is learned, the best is the spread around the average
        sigma = config.model.values.get("sigma") or (held - mean).square().mean().sqrt()
        value = torch.distributions.Normal(mean, sigma).log_prob(held).flatten(1).sum(1).mean()
    assert judged(name, value.item()) == records.MISSED, value


SAMPLED = [name for name, one in RECIPES.items() if one.check.metric.endswith("/sliced_wasserstein")]


@pytest.mark.parametrize("name", SAMPLED)
def test_a_generator_that_collapsed_misses_its_figure_and_real_examples_reach_it(name):
    train, held = examples(load(dataset_of(small_config(name).dataset, built()[1].datasets), CPU, seed=0), "signed")
    torch.manual_seed(0)
    for kept in (1, 9):  # a generator that knows so many images by heart, and nothing else
        value = standardised_sliced_wasserstein(held[torch.arange(len(held)) % kept], held).item()
        assert judged(name, value) == records.MISSED, value
    assert judged(name, standardised_sliced_wasserstein(train[: len(held)], held).item()) == records.PASSED


def test_the_record_is_of_these_recipes_as_they_are_now():
    """A figure on record was measured with the metric and the threshold that the recipe states today."""
    record = records.read()
    assert record.small
    for name, result in record.small.items():
        check = RECIPES[name].check
        assert (result.metric, result.better, result.expected) == (check.metric, check.better, check.reach), name
        assert result.verdict == judged(name, result.reached), name


def test_what_is_on_record_as_written_was_trained_to_the_end_and_judged_by_its_figure():
    """Only U-Nets, which take hours, may be cut short: then nothing is held against them."""
    known, _ = built()
    for name, result in records.read().full.items():
        recipe = RECIPES[name]
        config = trials.config_of(recipe, known, [])
        cut = re.search(r"\b(with|,) train\.", result.words) is not None
        assert not cut or config.model.values.get("network") == "unet", name
        if not cut:
            assert config.train.steps in (0, result.steps), name
            assert not config.train.epochs or result.words.startswith(f"{config.train.epochs:g} epochs"), name
        aim = recipe.aim_on(result.dataset)
        if aim is None or cut:
            assert (result.verdict, result.expected) == (records.TRAINED, None), name
        else:
            assert (result.metric, result.better, result.expected) == (aim.metric, aim.better, aim.reach), name
            judged = msgspec.structs.replace(result)
            judged.judge()
            assert result.verdict == judged.verdict, name
