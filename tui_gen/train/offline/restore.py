"""A run's model as one of its checkpoints has it, without a worker: for samples and figures of any run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch

from tui_gen import config as configs
from tui_gen import trust, tuned
from tui_gen.events import Note
from tui_gen.model import DataSpec, Model
from tui_gen.train import discover
from tui_gen.train.data import Data, Dataset, Report, dataset_of, load
from tui_gen.train.data.matching import load_as
from tui_gen.train.engine.building import build_model, put
from tui_gen.train.engine.devices import enter, pick_device
from tui_gen.train.run import checkpoints, other_runs
from tui_gen.train.tuned import products


class RestoreError(Exception):
    """Why a run's model cannot be had, in words for people."""


@dataclass
class Restored:
    """`model` has the averaged weights where there are any, in evaluation mode, on `device`; `step` made it.

    `spec` is what it was told of its data; `datasets` are the classes that may read them.
    """

    model: Model
    spec: DataSpec
    config: configs.RunConfig
    device: torch.device
    step: int
    datasets: Mapping[str, type[Dataset]]


def restore(
    run: Path,
    step: int | None = None,
    device: str = "",
    report: Report = lambda event: None,
    *,
    averaged: bool = True,
) -> Restored:
    """The model of a run at a step, or of its newest usable checkpoint. Its data is not read, and need not be there.

    `device` overrides the run's `train.device`. Without `averaged` its weights are those that were trained, also where
    there are averaged ones. Raises RestoreError, or the errors of the config and device; and those
    of the data for a checkpoint of an older version, which does not say what the model was told of it.
    """
    tables = configs.read_toml(run / "config.toml")
    trust.refuse(dirs := trust.named(tables), str(run / "config.toml"))
    catalogue, classes = discover.build(list(dict.fromkeys([*trust.given(), *dirs])))
    config = configs.load(tables, catalogue, str(run / "config.toml"))
    checkpoint = _loaded(run, step, averaged and config.train.ema > 0, report)
    tuned.use(checkpoint.meta.tuned)
    where = pick_device(device or config.train.device)
    enter(where)
    if "spec" in checkpoint.state:
        spec = msgspec.convert(checkpoint.state["spec"], DataSpec)
    else:
        dataset = dataset_of(config.dataset, classes.datasets)
        spec = load(dataset, where, seed=config.train.seed, report=report).spec
    values = {**config.model.values, **checkpoint.state["values"]}
    parts = other_runs.kept(checkpoint.state, classes.models)
    model = build_model(classes.models[config.model.name], values, spec, parts).to(where)
    if spec.kind == "image":
        model = model.to(memory_format=torch.channels_last)  # as it is trained
    products.use(model, checkpoint.meta.products)
    put(model, checkpoint.weights if checkpoint.average is None or not averaged else checkpoint.average)
    return Restored(model.eval(), spec, config, where, checkpoint.meta.step, classes.datasets)


def data_of(snapshot: Restored, report: Report = lambda event: None) -> Data:
    """The data of a restored model's run, with labels as the model knows them. Raises DataError."""
    config, told_labels = snapshot.config, snapshot.model.told_labels
    dataset = dataset_of(config.dataset, snapshot.datasets)
    seed = config.train.seed
    return load_as(snapshot.spec, dataset, snapshot.device, lambda spec: told_labels, seed=seed, report=report)


def _loaded(run: Path, step: int | None, averaged: bool, report: Report) -> checkpoints.Loaded:
    """The checkpoint of a step, or the newest that can be used, with a warning for each that cannot."""
    have = checkpoints.found(run)
    if not have:
        cut = f"; the first one, {names[0]}, was not completed" if (names := checkpoints.halves(run)) else ""
        raise RestoreError(f"{run.name} has no checkpoint yet{cut}; while it trains, tui-gen checkpoint makes one")
    if step is not None:
        checkpoint = next((checkpoint for checkpoint in have if checkpoint.step == step), None)
        if checkpoint is None:
            there = ", ".join(str(checkpoint.step) for checkpoint in have)
            raise RestoreError(f"{run.name} has no checkpoint of step {step}; it has {there}")
        try:
            return checkpoints.load(checkpoint.path, averaged)
        except checkpoints.DamagedError as error:
            raise RestoreError(f"checkpoint {error}; leave the step out for the newest that can be used") from None
    problems = []
    for outcome in checkpoints.newest(run, averaged):
        if isinstance(outcome, checkpoints.Loaded):
            return outcome
        problems.append(outcome)
        report(Note(text=f"checkpoint {outcome}; trying the one before", level="warning"))
    raise RestoreError(f"no checkpoint of {run.name} can be used: {problems[0] if problems else 'they are gone'}")
