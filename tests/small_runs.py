"""Tiny configurations of every family, for tests that train."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import runs

SMALL: dict[str, dict[str, Any]] = {
    "autoencoder": {"model": {"name": "autoencoder", "latent": 8}},
    "vae": {"model": {"name": "vae", "latent": 4, "hidden": [24]}},
    "gan": {
        "model": {
            "name": "gan",
            "network": "dcgan",
            "generator_channels": [8, 4],
            "discriminator_channels": [4, 8],
            "latent": 8,
            "r1_weight": 1.0,
            "r1_every": 3,
        },
        "train": {"ema": 0.9},
    },
    "classifier": {"model": {"name": "classifier", "network": "mlp", "hidden": [24], "dropout": 0.1}},
    "char-rnn": {
        "model": {"name": "char-rnn", "embedding": 6, "hidden": 12, "sample_length": 20, "dropout": 0.1},
        "dataset": {"name": "python-help", "limit": 150, "length": 16, "shift": 0},
    },
    "flow-matching": {"model": {"name": "flow-matching", "channels": [8, 8], "sample_steps": 2}, "train": {"ema": 0.9}},
    "vq-vae": {
        "model": {
            "name": "vq-vae",
            "channels": [8],
            "codebook_size": 16,
            "code_size": 4,
            "prior_width": 16,
            "prior_layers": 1,
            "prior_dropout": 0.1,
            "restart_after": 3,
        },
        "train": {"ema": 0.9},
    },
    "ddpm": {"model": {"name": "ddpm", "channels": [8, 8], "sample_steps": 3, "timesteps": 20}, "train": {"ema": 0.9}},
}


@cache
def built() -> tuple[catalogs.Catalog, dict[str, type]]:
    """The catalogue and the model classes, built in this process once."""
    from tui_gen.train import catalogue

    return catalogue.build()


def tables(family: str, **overrides: Any) -> dict[str, Any]:
    """A small config; overrides are dotted keys with `__` for the dot: `train__steps=20`."""
    made: dict[str, Any] = {
        "name": f"small-{family}",
        "dataset": {"name": "digits", "limit": 150, "shift": 1},
        "train": {"steps": 30, "batch_size": 16, "device": "cpu", "compile": "off", "threads": 1},
        "preview": {"every_seconds": 0.0, "count": 9},
        "checkpoint": {"every_minutes": 0.0},
    }
    for table, values in SMALL[family].items():
        made[table] = {**made.get(table, {}), **values}
    for key, value in overrides.items():
        configs.set_key(made, key.replace("__", "."), value)
    return made


def config(family: str, **overrides: Any) -> configs.RunConfig:
    """A small config, checked."""
    return configs.load(tables(family, **overrides), built()[0])


def make_run(root: Path, family: str, **overrides: Any) -> Path:
    """A run directory with a small config."""
    made = config(family, **overrides)
    return runs.create(root, made.name, configs.dumps(made))


def trainer(family: str, **overrides: Any) -> Any:
    """A trainer of a small config, in this process."""
    from tui_gen.train.data import load
    from tui_gen.train.trainer import Trainer

    made = config(family, **overrides)
    data = load(made.dataset, torch.device("cpu"), seed=made.train.seed)
    return Trainer(built()[1][made.model.name], made, data, torch.device("cpu"), lambda _: made.train.steps or None)
