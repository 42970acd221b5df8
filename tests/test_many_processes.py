"""Many processes train as one does: every family's steps and validation, draws, and what looks at the whole batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests import many, small_runs
from tui_gen.train.engine.building import weights_of
from tui_gen.train.engine.ranks import ALONE, Ranks

STEPS = 3
DATA = {"dataset__limit": 150, "train__health_every": 2}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{family: (family, {}) for family in small_runs.SMALL},
    "spread": ("gan", {"model__network": "mlp", "model__minibatch_std": True, "model__minibatch_kernels": 3,
                       "model__replay": 20, "model__augment": "all", "model__instance_noise": 0.1}),
    "critic": ("gan", {"model__loss": "wasserstein-gp", "model__r1_weight": 0.0, "model__conditional": True}),
    "batch norm": ("gan", {"model__discriminator_norm": "batch", "model__r1_weight": 0.0}),
    "free bits": ("vae", {"model__free_bits": 0.3, "model__iw_samples": 2, "model__conditional": True}),
    "sparse": ("autoencoder", {"model__network": "mlp", "model__sparsity": "kl", "model__code_activation": "sigmoid",
                               "model__noise": "dropout", "model__code_noise": 0.1}),
    "reflow": ("flow-matching", {"model__network": "mlp", "model__reflow_after": 1, "model__reflow_steps": 2,
                                 "model__conditional": True, "model__label_dropout": 0.3}),
    "mixed": ("augmented-classifier", {"model__real_share": 0.4}),
    "clipped": ("vae", {"train__phases__vae__clip_norm": 0.5, "dataset__name": "ring"}),
}  # fmt: skip
"""Every family, and what of some is a matter of the whole batch."""


def made(name: str, ranks: Ranks = ALONE, **more: Any) -> Any:
    """A trainer, by plain descent: Adam makes as much of the sign of what should be zero as of any gradient."""
    family, overrides = VARIANTS[name]
    overrides = {**DATA, **overrides, **more}
    if family == "char-rnn" or overrides.get("dataset__name") == "ring":
        overrides.pop("dataset__limit")
    for phase in _phases(family):
        overrides = {f"train__phases__{phase}__optimizer": "sgd", f"train__phases__{phase}__lr": 0.05} | overrides
    if overrides.get("dataset__name") == "ring":
        overrides |= {"model__likelihood": "gaussian"}
        config = small_runs.tables(family, **overrides)
        config["dataset"] = {"name": "ring"}
        return small_runs.trainer(family, config, ranks=ranks)
    return small_runs.trainer(family, ranks=ranks, **overrides)


def _phases(family: str) -> list[str]:
    return list(small_runs.config(family).train.phases)


def outcome(trainer: Any, steps: int = STEPS) -> dict[str, Any]:
    """All that a training has made, as arrays and numbers."""
    for _ in range(steps):
        trainer.train_step()
    validation = trainer.validate()
    logged = {name: list(column) for event in trainer.meter.flush() for name, column in event.values.items()}
    average = {} if trainer.average is None else weights_of(trainer.average)
    tensors = {**weights_of(trainer.model), **{f"average {name}": tensor for name, tensor in average.items()}}
    return {
        "weights": {name: tensor.detach().clone().numpy() for name, tensor in tensors.items()},
        "validation": validation,
        "logged": logged,
        "random": torch.get_rng_state().numpy(),
    }


def assert_alike(one: dict[str, Any], other: dict[str, Any], name: str) -> None:
    """The same but for the order of sums."""
    for key, expected in one["weights"].items():
        assert np.allclose(expected, other["weights"][key], rtol=1e-4, atol=2e-6), (name, key)
    for part in ("validation", "logged"):
        assert one[part].keys() == other[part].keys(), name
        for key, expected in one[part].items():
            assert np.allclose(expected, other[part][key], rtol=2e-3, atol=2e-5), (name, key)
    assert np.array_equal(one["random"], other["random"]), name


def assert_same_bits(one: dict[str, Any], other: dict[str, Any], name: str) -> None:
    """Weights, generators and validation, to the bit."""
    assert np.array_equal(one["random"], other["random"]), name
    assert one["validation"] == other["validation"], name
    for key, expected in one["weights"].items():
        assert np.array_equal(expected, other["weights"][key]), (name, key)


def everything(ranks: Ranks) -> dict[str, dict[str, Any]]:
    return {name: outcome(made(name, ranks)) for name in VARIANTS}


def test_two_processes_train_every_family_as_one_does(tmp_path):
    """Also with the batch normalised, compared, replayed and drawn from as a whole; both hold the same bits."""
    small_runs.built()
    alone = everything(ALONE)
    first, second = many.run(2, tmp_path, everything)
    for name in VARIANTS:
        assert_same_bits(first[name], second[name], name)
        assert_alike(alone[name], first[name], name)
        assert first[name]["logged"] and not second[name]["logged"]
