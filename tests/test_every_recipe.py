"""What every recipe must do, at a toy's size: train all its parameters, learn, resume bit for bit, fit its words."""

import copy
import math

import pytest
import torch

from tests import small_recipes
from tests.known import DATASETS
from tests.small_recipes import known
from tui_gen import catalog
from tui_gen.model import Batch
from tui_gen.train.engine.building import weights_of
from tui_gen.verdicts.panels import panels_of

RECIPES = small_recipes.recipes()
NO_GRADIENT = {"discriminator.score.bias"}
"""Cancels out in a difference of scores, which a critic's loss is, and hinge's while no score is beyond its hinge."""


@pytest.mark.parametrize("name", RECIPES)
def test_gradients_reach_every_parameter(name):
    trainer = small_recipes.trainer(small_recipes.config(name))
    for _ in range(6):  # layers that start at 0 hold back the gradients of what lies before them
        trainer.train_step()
    batch = Batch(*trainer.stream.next(), step=6)
    reached = set()
    for phase in trainer.phases:
        parameters = trainer.parameters[phase.name]
        gradients = torch.autograd.grad(phase.loss(batch)[0], parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            assert gradient is None or torch.isfinite(gradient).all()
            if gradient is not None and gradient.abs().sum() > 0:
                reached.add(id(parameter))
    missed = {key for key, p in trainer.model.named_parameters() if p.requires_grad and id(p) not in reached}
    differs = trainer.config.model.values.get("loss", "") in ("wasserstein", "wasserstein-gp", "hinge")
    assert missed <= (NO_GRADIENT if differs else set())


@pytest.mark.parametrize("name", RECIPES)
def test_losses_are_float32_under_autocast_and_batches_may_be_tiny(name):
    trainer = small_recipes.trainer(small_recipes.config(name))
    x, labels = trainer.stream.next()
    for count in (1, 2, 5):
        batch = Batch(x[:count], None if labels is None else labels[:count])
        for phase in trainer.phases:
            with torch.autocast("cpu", torch.bfloat16):
                loss, metrics = phase.loss(batch)
            assert loss.dtype == torch.float32 and torch.isfinite(loss)
            assert all(one.dtype == torch.float32 and torch.isfinite(one) for one in metrics.values())
            gradients = torch.autograd.grad(loss, trainer.parameters[phase.name], allow_unused=True)
            assert all(torch.isfinite(one).all() for one in gradients if one is not None)


@pytest.mark.parametrize("name", RECIPES)
def test_resume_is_bit_exact(name):
    """Also where layers are trained one by one, a flow is rectified, or a warm-up goes on meanwhile."""
    made = small_recipes.config(name)
    whole = small_recipes.trainer(made)
    for _ in range(4):
        whole.train_step()
    weights, average = (
        None if model is None else {key: tensor.clone() for key, tensor in weights_of(model).items()}
        for model in (whole.model, whole.average)
    )
    state = copy.deepcopy(whole.state())
    for _ in range(9):  # into the next epoch
        whole.train_step()
    drawn = torch.get_rng_state()
    again = small_recipes.trainer(made)
    again.restore(state, weights, average)
    for _ in range(9):
        again.train_step()
    assert torch.equal(torch.get_rng_state(), drawn) and again.step == 13
    for one, other in ((whole.model, again.model), (whole.average, again.average)):
        if one is not None:
            theirs = weights_of(other)
            assert not [key for key, tensor in weights_of(one).items() if not torch.equal(tensor, theirs[key])]
    assert any(not torch.equal(tensor, weights_of(whole.model)[key]) for key, tensor in weights.items())


@pytest.mark.parametrize("name", RECIPES)
def test_a_little_training_beats_none_on_the_recipe_s_own_metric(name):
    """Its loss falls, or its samples come nearer, by a tenth; at a learning rate that is high enough for few steps."""
    made = small_recipes.config(name)
    if made.model.values.get("reflow_after"):
        made.model.values["reflow_after"] = 10**6  # a flow that learnt nothing yet would learn from itself
    check = known().recipes[name].check
    for optim in made.train.phases.values():
        optim.lr, optim.warmup, optim.schedule = 5e-3, 0, "constant"
    trainer = small_recipes.trainer(made)
    own = "generator/sliced_wasserstein" if made.model.name == "gan" else f"{trainer.phases[0].name}/loss"
    metric = check.metric if check is not None else f"val/{own}"
    sign = 1 if check is not None and check.better == "higher" else -1
    before, found = trainer.validate()[metric], []
    while len(found) < 8 and not (found and sign * (found[-1] - before) > 0.1 * abs(before)):
        for _ in range(40):
            trainer.train_step()
        found.append(trainer.validate()[metric])
    assert sign * (found[-1] - before) > 0.1 * abs(before), (before, found)


@pytest.mark.parametrize("name", RECIPES)
def test_words_are_complete_and_the_small_version_needs_no_download(name):
    recipe = known().recipes[name]
    assert recipe.text.startswith("# ") and f'name = "{name}"' in recipe.text
    assert recipe.title and recipe.summary.endswith((".", "?")) and recipe.reference and recipe.figure
    config = catalog.resolve(name, known(), recipe.check.overrides if recipe.check else [])
    if recipe.check is None:
        return
    entry = DATASETS[config.dataset.name]
    assert entry.files is None and not entry.reads and 0 < config.train.steps <= 3000
    assert recipe.check.better in ("lower", "higher") and math.isfinite(recipe.check.reach)
    trainer = small_recipes.trainer(small_recipes.config(name))
    found = trainer.validate()
    assert recipe.check.metric in found
    panels = panels_of(found, trainer.model.judged, trainer.model.together)
    first = {curve.metric for panel in panels[:2] for curve in panel.curves}
    assert recipe.check.metric in first, "the plot of what it is judged by is not among the first"
    more = recipe.check.metric.rpartition("/")[2] in trainer.model.higher_is_better
    assert recipe.check.better == ("higher" if more else "lower"), "its checkpoints are ranked the other way round"
