"""The digit recipes, cut short: already then their samples look like digits to a classifier of real ones.

`make quality` judges the whole recipes.
"""

import pytest
import torch

from tests.judge import judge
from tui_gen import catalog as catalogs
from tui_gen.train import catalogue
from tui_gen.train.data import load
from tui_gen.train.trainer import Trainer


def test_the_judge_knows_digits():
    by = judge()
    assert by.accuracy >= 0.97
    assert by.real >= 0.95
    noise = torch.rand(500, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert by.look(noise).share < 0.5 * by.real


@pytest.mark.parametrize(
    ("recipe", "steps", "aim"), [("vae-digits", 2500, 0.65), ("dcgan-digits", 1000, 0.55), ("ddpm-digits", 250, 0.4)]
)
def test_samples_of_a_short_run_look_like_digits(recipe, steps, aim):
    known, kinds = catalogue.build()
    known.recipes = catalogs.read().recipes
    overrides = [f"train.steps={steps}", "train.device=cpu", "train.ema=0.99"]
    overrides += ["model.sample_steps=20"] if recipe.startswith("ddpm") else []
    config = catalogs.resolve(recipe, known, overrides)
    data = load(config.dataset, torch.device("cpu"), seed=config.train.seed)
    trainer = Trainer(kinds[config.model.name], config, data, torch.device("cpu"), lambda _: steps)
    for step in range(steps):
        trainer.train_step()
        if step % 100 == 0:
            trainer.meter.flush()
    model = trainer.eval_model.eval()
    noise = torch.randn(400, *model.noise_shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        samples = model.sample(noise)
    if model.pixels == "signed":
        samples = (samples + 1) / 2
    verdict = judge().look(samples)
    assert verdict.share >= aim * judge().real
    assert verdict.smallest >= 0.02
