"""The models of other runs that a model is built on: from their runs, or as a run's own checkpoints describe them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tui_gen import config as configs
from tui_gen import dependencies
from tui_gen.catalog import Catalog
from tui_gen.config import DatasetTable, RunConfig
from tui_gen.dependencies import Need
from tui_gen.model import DataSpec, Model
from tui_gen.params import Problem
from tui_gen.train.data import Dataset, dataset_of
from tui_gen.train.data.matching import described
from tui_gen.train.discover import Classes
from tui_gen.train.engine.building import ModelClasses, Origin, Part, RefusedError, TrainingError, built, put
from tui_gen.train.run import checkpoints


def kept(state: dict[str, Any], model_classes: ModelClasses) -> dict[str, Part]:
    """What the run of a checkpoint's state is built on, without weights: those are among the checkpoint's own."""
    origins = msgspec.convert(state.get("parts", {}), dict[str, Origin])
    return {name: built(origin, model_classes) for name, origin in origins.items()}


def kept_by(path: Path, model_classes: ModelClasses) -> dict[str, Part] | None:
    """The same from a run's newest checkpoint that can be read, None where there is none."""
    states = (checkpoints.state_of(checkpoint) for checkpoint in reversed(checkpoints.found(path)))
    state = next((state for state in states if state is not None), None)
    return None if state is None else kept(state, model_classes)


def taken(need: Need, catalog: Catalog, classes: Classes, spec: DataSpec) -> Part:
    """The model of the run that a settled config names (`folder@step`), averaged weights before raw ones.

    Raises RefusedError where the run's data do not match, or TrainingError where it cannot be read.
    """
    folder, _, step = need.value.rpartition("@")
    path = Path(folder)
    config = configs.load(configs.read_toml(path / "config.toml"), catalog, str(path / "config.toml"))
    try:
        checkpoint = checkpoints.load(checkpoints.directory(path, int(step)), averaged=config.train.ema > 0)
    except checkpoints.DamagedError as error:
        raise TrainingError(f"{need.key} = {need.value}: checkpoint {error}; name another one of its") from None
    parts = {name: msgspec.convert(origin, Origin) for name, origin in checkpoint.state.get("parts", {}).items()}
    values = {**config.model.values, **checkpoint.state["values"]}
    origin = Origin(str(path), int(step), config.model.name, values, _spec_of(checkpoint.state, config, classes), parts)
    part = built(origin, classes.models)
    put(part.model, checkpoint.weights if checkpoint.average is None else checkpoint.average)
    if problem := mismatch(need, part.model, spec):
        raise RefusedError([problem])
    return part


def _spec_of(state: dict[str, Any], config: RunConfig, classes: Classes) -> DataSpec:
    """What a checkpoint's model was told of its data; older checkpoints give only the shape and number of classes."""
    if "spec" in state:
        return msgspec.convert(state["spec"], DataSpec)
    count, *shape, labels = state["data"]
    spec = expected(config.dataset, classes.datasets)
    names = spec.classes if len(spec.classes) == labels else tuple(str(number) for number in range(labels))
    return msgspec.structs.replace(spec, shape=tuple(shape), classes=names, count=count or None)


def expected(table: DatasetTable, datasets: Mapping[str, type[Dataset]]) -> DataSpec:
    """What a model will be told of a dataset, as far as that is known before it is read."""
    return dataset_of(table, datasets).expected()


def foreseen(
    config: RunConfig, catalog: Catalog, classes: Classes, spec: DataSpec, deepest: int = 4
) -> tuple[dict[str, Part], list[Problem]]:
    """What a settled config's model would be built on, untrained, and what can be told to be wrong with that already.

    Needs that cannot be foreseen are left out.
    """
    parts: dict[str, Part] = {}
    problems: list[Problem] = []
    for need in dependencies.needs(config, catalog) if deepest else []:
        try:
            if dependencies.recipe_of(need.value, catalog) is not None:
                other, own = dependencies.first_config(need, config, catalog), spec
            else:
                file = Path(need.value.rpartition("@")[0]) / "config.toml"
                other = configs.load(configs.read_toml(file), catalog, str(file))
                own = expected(other.dataset, classes.datasets)
        except configs.ConfigError:
            continue
        inner, wrong = foreseen(other, catalog, classes, own, deepest - 1)
        problems += [need.problem(f"cannot be used: {problem}") for problem in wrong]
        origins = {name: part.origin for name, part in inner.items()}
        try:
            part = built(Origin("", 0, other.model.name, other.model.values, own, origins), classes.models)
        except RefusedError as error:
            problems += [need.problem(f"cannot be trained on this data: {problem}") for problem in error.problems]
        except TypeError:  # its own needs could not be foreseen
            continue
        else:
            parts[need.name] = part
            if problem := mismatch(need, part.model, spec):
                problems.append(problem)
    return parts, problems


def mismatch(need: Need, model: Model, spec: DataSpec) -> Problem | None:
    """Why another run's model cannot be used on this data: the shape of an example, or the labels that it is told."""
    theirs = model.data
    if (theirs.kind, theirs.shape) != (spec.kind, spec.shape):
        return need.problem(
            f"was trained on {described(theirs)} ({theirs.name}), but this run has {described(spec)} ({spec.name})",
            "give both the same dataset.size and dataset.channels, or name another run",
        )
    if model.conditional and theirs.classes != spec.classes:
        names = ", ".join(theirs.classes[:12])
        return need.problem(
            f"was told the labels of {theirs.name} ({names}), and {spec.name} has others",
            "name a run without labels (model.conditional = false), or one on the same dataset",
        )
    return None
