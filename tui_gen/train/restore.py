"""A run's model as one of its checkpoints has it, without a worker: for samples and figures of any run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from tui_gen import config as configs
from tui_gen import runs
from tui_gen.model import Model
from tui_gen.train import catalogue, checkpoints, dependencies
from tui_gen.train.data import Data, Report, load
from tui_gen.train.trainer import build_model, pick_device, put


class RestoreError(Exception):
    """Why a run's model cannot be had, in words for people."""


@dataclass
class Restored:
    """`model` has the averaged weights where there are any, in evaluation mode, on `device`; `step` made it."""

    model: Model
    data: Data
    config: configs.RunConfig
    device: torch.device
    step: int


def restore(run: Path, step: int | None = None, device: str = "", report: Report = lambda event: None) -> Restored:
    """The model of a run at a step, or of its newest readable checkpoint.

    `device` overrides the run's `train.device`. Raises RestoreError, or the errors of the config, data and device.
    """
    if not runs.alive(runs.worker_of(run)):  # a live worker's half-written checkpoint is not ours to tidy
        checkpoints.recover(run)
    have = checkpoints.complete(run)
    if not have:
        raise RestoreError(f"{run.name} has no checkpoint yet; wait for one, or ask its worker for one")
    if step is None:
        loaded = next((one for one in checkpoints.newest(run) if not isinstance(one, str)), None)
        if loaded is None:
            raise RestoreError(f"no checkpoint of {run.name} can be read")
    else:
        path = next((path for at, path, _ in have if at == step), None)
        if path is None:
            raise RestoreError(
                f"{run.name} has no checkpoint of step {step}; it has {', '.join(str(s) for s, _, _ in have)}"
            )
        loaded = checkpoints.load(path)
    tables = configs.read_toml(run / "config.toml")
    made, kinds = catalogue.build(tables.get("model_dirs", []))
    config = configs.load(tables, made, str(run / "config.toml"))
    where = pick_device(device or config.train.device)
    data = load(config.dataset, where, seed=config.train.seed, report=report)
    values = {**config.model.values, **loaded.state["values"]}
    parts = dependencies.kept(loaded.state, kinds)
    model = build_model(kinds[config.model.name], values, data.spec, parts).to(where)
    put(model, loaded.average if loaded.average is not None else loaded.weights)
    return Restored(model.eval(), data, config, where, loaded.meta.step)
