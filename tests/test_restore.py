"""A run's model from its checkpoints, with nobody training it."""

import pytest
import torch

from tests import small_runs
from tui_gen.train.offline.restore import RestoreError, restore
from tui_gen.train.run import checkpoints


def saved(root, family, steps=(2, 4), **overrides):
    """A run directory with checkpoints of a small model at these steps, and its trainer."""
    run = small_runs.make_run(root, family, **overrides)
    trainer = small_runs.trainer(family, **overrides)
    for step in steps:
        while trainer.step < step:
            trainer.train_step()
        trainer.meter.flush()
        checkpoints.save(run, trainer.snapshot(), checkpoints.Meta(step, 0.0, "test"))
    return run, trainer


def test_the_newest_checkpoint_gives_the_averaged_weights(world):
    run, trainer = saved(world / "runs", "gan")
    found = restore(run, device="cpu")
    assert found.step == 4 and not found.model.training and found.spec.name == "digits"
    for name, tensor in trainer.average.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], tensor), name
    assert restore(run, 2, "cpu").step == 2


def test_what_is_missing_is_said_with_what_there_is(world):
    run, _ = saved(world / "runs", "vae", steps=())
    with pytest.raises(RestoreError, match="has no checkpoint yet"):
        restore(run)
    run, _ = saved(world / "runs", "vae")
    with pytest.raises(RestoreError, match="no checkpoint of step 3; it has 2, 4"):
        restore(run, 3)
