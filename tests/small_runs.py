"""Tiny configurations of every family, for tests that train."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import runs

FIRST = "vae-digits train.steps=12 train.batch_size=16 model.latent=4 model.hidden=[16] preview.every_seconds=0"
"""A recipe to train first, cut short."""

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
    "pretrained-classifier": {
        "model": {"name": "pretrained-classifier", "encoder": FIRST, "labels": 20, "frozen_steps": 6},
        "train": {"ema": 0.9},
    },
    "augmented-classifier": {
        "model": {
            "name": "augmented-classifier",
            "generator": f"{FIRST} model.conditional=true",
            "hidden": [12],
            "dropout": 0.1,
            "samples": 150,
        },
    },
    "latent-diffusion": {
        "model": {
            "name": "latent-diffusion",
            "first_stage": FIRST,
            "hidden": [16, 16],
            "timesteps": 20,
            "sample_steps": 3,
        },
        "train": {"ema": 0.9},
    },
    "ddpm": {"model": {"name": "ddpm", "channels": [8, 8], "sample_steps": 3, "timesteps": 20}, "train": {"ema": 0.9}},
}


@cache
def built() -> tuple[catalogs.Catalog, Any]:
    """The catalogue and the classes, built in this process once."""
    from tui_gen.train import discover

    made, classes = discover.build()
    made.recipes, _ = catalogs.recipes()
    return made, classes


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


def trainer(family: str, tables: dict[str, Any] | None = None, ranks: Any = None, **overrides: Any) -> Any:
    """A trainer of a small config, or of these tables, in this process, which may be one of several `ranks`."""
    from tui_gen.train.data import dataset_of, load
    from tui_gen.train.engine.ranks import ALONE
    from tui_gen.train.engine.trainer import Trainer

    made = configs.load(tables, built()[0]) if tables is not None else config(family, **overrides)
    data = load(dataset_of(made.dataset, built()[1].datasets), torch.device("cpu"), seed=made.train.seed)
    kind, parts = built()[1].models[made.model.name], parts_of(made, data.spec)
    return Trainer(kind, made, data, torch.device("cpu"), lambda _: made.train.steps or None, parts, ranks or ALONE)


def parts_of(made: configs.RunConfig, spec: Any) -> dict[str, Any]:
    """What a config's model is built on, untrained, the same each time; with weights so large that codes matter."""
    from tui_gen.train.run.other_runs import foreseen

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts, problems = foreseen(made, *built(), spec)
        assert not problems
        for tensor in (tensor for part in parts.values() for tensor in part.model.parameters()):
            tensor.mul_(3)
    return parts
