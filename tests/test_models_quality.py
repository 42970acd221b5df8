"""The digit recipes, cut short: already then their samples look like digits to a classifier of real ones.

`make quality` measures the whole recipes; `test_quality_measure` that the classifier knows digits.
"""

import pytest
import torch

from tui_gen import catalog as catalogs
from tui_gen.train import discover, quality
from tui_gen.train.data import dataset_of, load
from tui_gen.train.engine.trainer import Trainer


@pytest.mark.parametrize(
    ("recipe", "steps", "aim"),
    [("vae-digits", 1200, 0.6), ("dcgan-digits", 600, 0.55), ("ddpm-digits", 180, 0.4), ("vq-vae-digits", 200, 0.4)],
)
def test_samples_of_a_short_run_look_like_digits(recipe, steps, aim):
    known, classes = discover.build()
    known.recipes = catalogs.read().recipes
    overrides = [f"train.steps={steps}", "train.device=cpu", "train.ema=0.99"]
    overrides += {"ddpm-digits": ["model.sample_steps=20"], "dcgan-digits": ["train.batch_size=32"]}.get(recipe, [])
    config = catalogs.resolve(recipe, known, overrides)
    data = load(dataset_of(config.dataset, classes.datasets), torch.device("cpu"), seed=config.train.seed)
    trainer = Trainer(classes.models[config.model.name], config, data, torch.device("cpu"), lambda _: steps)
    for step in range(steps):
        trainer.train_step()
        if step % 100 == 0:
            trainer.meter.flush()
    work = quality.measure(
        trainer.eval_model, data, torch.device("cpu"), step=steps, samples=400, seed=1
    )
    report = quality.finish(work)
    sure = report.figure("confident")
    assert sure.value >= aim * sure.real
    assert report.figure("smallest_class").value >= 0.02
