"""What every process of a run builds for itself, all alike: its device, its threads, its data, its trainer."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch

from tui_gen import config as configs
from tui_gen import trust
from tui_gen.config import RunConfig, TrainConfig
from tui_gen.model import DataSpec
from tui_gen.train import discover
from tui_gen.train.data import dataset_of
from tui_gen.train.data.matching import load_as
from tui_gen.train.engine import ranks
from tui_gen.train.engine.building import TrainingError, build_model
from tui_gen.train.engine.devices import be_deterministic, enter, pick_device
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.run import other_runs
from tui_gen.train.run.peer_link import Message
from tui_gen.train.run.peers import ARRIVAL, FOREVER
from tui_gen.world import SLURM, World


def device_of(world: World | None, train: TrainConfig) -> torch.device:
    """The device that a process trains on, and its threads set: one process of several has a GPU of its own, or its
    share of the CPU. Raises TrainingError where there are too few."""
    device = pick_device(train.device)
    be_deterministic(train.deterministic)
    if world is None:
        if train.threads:
            torch.set_num_threads(train.threads)
        enter(device)
        return device
    torch.set_num_threads(threads_of(world, train.threads, torch.get_num_threads()))
    if device.type == "cpu":
        return device
    count = torch.accelerator.device_count()
    index = 0 if count == 1 and world.launcher == SLURM else world.local  # Slurm may show each task its own GPU alone
    if index >= count:
        kind = device.type.upper()
        words = f"{world.locals} processes of this machine need a {kind} device each, and it has {count}"
        raise TrainingError(f"{words}; start fewer (train.processes), or set train.device = cpu")
    device = torch.device(device.type, index)
    enter(device)
    return device


def threads_of(world: World, threads: int, cores: int, env: Mapping[str, str] = os.environ) -> int:
    """The CPU threads of one of several processes: its part of those of the machine's, or as many as its environment
    gives to each."""
    each = env.get("OMP_NUM_THREADS", "") or (env.get("SLURM_CPUS_PER_TASK", "") if world.launcher == SLURM else "")
    if not threads and each.isdecimal() and int(each):
        return int(each)
    return max(1, (threads or cores) // world.locals)


def length(config: RunConfig, steps_per_epoch: int) -> int | None:
    """The run's length in steps, or None where it is a time."""
    if config.train.steps:
        return config.train.steps
    return max(1, round(config.train.epochs * steps_per_epoch)) if config.train.epochs else None


def order(run: Path, address: str, config: RunConfig, spec: DataSpec, parts: Any) -> dict[str, Any]:
    """What rank 0 tells the others to build: what it has built itself, or is about to."""
    return {
        "run": str(run),
        "address": address,
        "tables": configs.to_tables(config),
        "spec": msgspec.to_builtins(spec),
        "parts": {name: msgspec.to_builtins(part.origin) for name, part in parts.items()},
    }


def build(world: World, message: Message, answer: Callable[[str], object]) -> Trainer:
    """The trainer that rank 0 has, from what it tells (`order`); says `data` when it has these, `ready` at the end.

    Raises ConfigError, DataError, TrainingError.
    """
    tables = message["tables"]
    trust.refuse(dirs := trust.named(tables), "the run's config.toml")
    catalogue, classes = discover.build(list(dict.fromkeys([*trust.given(), *dirs])))
    config = configs.load(tables, catalogue, "the run's config.toml")
    device = device_of(world, config.train)
    model_class, dataset = classes.models[config.model.name], dataset_of(config.dataset, classes.datasets)
    parts = other_runs.kept(message, classes.models)

    def told_labels(spec: DataSpec) -> bool:
        return build_model(model_class, config.model.values, spec, parts).told_labels

    data = load_as(
        msgspec.convert(message["spec"], DataSpec), dataset, device, told_labels, seed=config.train.seed,
        report=lambda event: None,
    )  # fmt: skip
    answer("data")
    group = ranks.join(world.rank, world.count, message["address"], device, FOREVER, ARRIVAL)
    trainer = Trainer(model_class, config, data, device, partial(length, config), parts, group)
    answer("ready")
    return trainer
