"""Every recipe at a toy's size: its own settings, but narrow, on data at hand, and short."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import msgspec
import torch

from tests.small_runs import built
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import params

AT_HAND = {"image": "digits", "points": "ring", "text": "python-help"}
"""The dataset of each kind that costs least and needs no download."""
MOST = {
    "latent": 8, "hidden": 12, "embedding": 6, "layers": 2, "timesteps": 40, "sample_steps": 3, "sample_length": 20,
    "reflow_steps": 2, "reflow_after": 5, "pretrain_steps": 2, "iw_samples": 3, "kl_warmup": 10, "replay": 20,
    "instance_noise_steps": 10, "codebook_size": 16, "code_size": 4, "prior_width": 16, "prior_layers": 1,
}  # fmt: skip
"""Largest value of a hyperparameter by its name, where it is large."""
WIDEST = {"image": 12, "points": 32, "text": 12}
"""Largest number in a hyperparameter that is a list, of units or channels, by the kind of data."""


@cache
def known() -> catalogs.Catalog:
    """The catalogue with the recipes that come with the package, and none of a user's."""
    found = copy.copy(built()[0])
    found.recipes = catalogs.read().recipes
    return found


def alone(model: str) -> bool:
    """Whether a model can be built without another run's."""
    return not any(getattr(param, "run", ()) for param in known().models[model].params)


def recipes() -> list[str]:
    """The recipes whose models can be built without another run."""
    return [recipe.name for recipe in known().recipes.values() if alone(recipe.model)]


def config(name: str, **overrides: Any) -> configs.RunConfig:
    """A recipe at a toy's size; overrides are dotted keys with `__` for the dot."""
    found = known()
    tables = copy.deepcopy(found.recipes[name].tables)
    entry = found.models[tables["model"]["name"]]
    kind = known().datasets[tables["dataset"]["name"]].kind
    length = {"length": 16} if kind == "text" else {}
    tables["dataset"] = {"name": AT_HAND[kind], "limit": 170, "validation": 0.3} | length
    for param in entry.params:
        value = tables["model"].get(param.name, param.default)
        if param.kind == "list":
            value = [min(one, WIDEST[kind]) for one in value]
        elif param.name in MOST:
            value = min(value, MOST[param.name])
        tables["model"][param.name] = value
    if tables["model"].get("padding") == "valid":
        tables["model"]["padding"] = "same"  # two convolutions and poolings take 8 px to nothing
    for pyramid in ("channels", "generator_channels", "discriminator_channels"):
        if pyramid in tables["model"]:
            part = slice(-2, None) if pyramid == "generator_channels" else slice(2)
            tables["model"][pyramid] = [min(one, 8) for one in tables["model"][pyramid][part]]
    tables["train"] = {
        "steps": 40, "batch_size": 64 if kind == "points" else 16, "device": "cpu", "compile": "off", "threads": 1,
        "seed": 1, "ema": tables["train"].get("ema", 0.0), "phases": tables["train"].get("phases", {}),
    }  # fmt: skip
    tables |= {"preview": {"every_seconds": 0.0, "count": 9}, "checkpoint": {"every_minutes": 0.0}}
    for key, value in overrides.items():
        configs.set_key(tables, key.replace("__", "."), value)
    return configs.load(tables, found)


def trainer(made: configs.RunConfig) -> Any:
    """A trainer of a config in this process; trainers of the same data share it."""
    from tui_gen.train.engine.trainer import Trainer

    data = _data(msgspec.json.encode(made.dataset))
    kind = built()[1].models[made.model.name]
    return Trainer(kind, made, data, torch.device("cpu"), lambda _: made.train.steps or None)


@cache
def _data(encoded: bytes) -> Any:
    from tui_gen.train.data import dataset_of, load

    table = msgspec.json.decode(encoded, type=configs.DatasetTable)
    return load(dataset_of(table, built()[1].datasets), torch.device("cpu"), seed=0)


def params_of(model: str) -> list[params.Param]:
    """A model's hyperparameters."""
    return known().models[model].params
