"""Runs that need another run: what a hyperparameter declared with `hyper(..., run=(…))` may name.

- A **run**: its folder, directory name (or an unambiguous beginning or end of it), name, or `latest`: the newest that
  can do what is needed. Its newest checkpoint is used, or with `@STEP` after it the one of that step.
- A **recipe**, which is trained first, on the data of the run that needs it. Settings may follow:
  `conv-vae-digits train.steps=500 model.latent=8`.

Before a run is made its config is settled: whatever names a run then says which, and which step. Needs no PyTorch.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tui_gen import checkpoints, events, runs
from tui_gen import config as configs
from tui_gen.catalog import Catalog, ModelEntry
from tui_gen.config import ConfigError, RunConfig
from tui_gen.log import event_log
from tui_gen.params import Problem, nearest


class Need(msgspec.Struct, frozen=True):
    """One hyperparameter that names a run: its dotted key, its value, what the named run's model must be able to do."""

    key: str
    value: str
    abilities: list[str]

    @property
    def name(self) -> str:
        """The hyperparameter's name."""
        return self.key.partition(".")[2]

    def problem(self, message: str, hint: str = "") -> Problem:
        """A problem with what is named here."""
        return Problem(self.key, self.value, message, hint)


def needs(config: RunConfig, catalog: Catalog) -> list[Need]:
    """The runs that a config's model needs."""
    entry = catalog.models.get(config.model.name)
    params = [param for param in (entry.params if entry else []) if param.run]
    return [Need(f"model.{param.name}", config.model.values[param.name], param.run) for param in params]


def recipe_of(value: str, catalog: Catalog) -> tuple[str, list[str]] | None:
    """The recipe that a value names and the settings that follow it, or None where it names none."""
    try:
        words = shlex.split(value)
    except ValueError:  # a quote without an end
        words = value.split()
    return (words[0], words[1:]) if words and words[0] in catalog.recipes else None


def first_config(need: Need, config: RunConfig, catalog: Catalog) -> RunConfig:
    """The config of the run that a recipe named by `need` is trained as: on `config`'s data, and on its device.

    Raises ConfigError with every problem.
    """
    reference = recipe_of(need.value, catalog)
    assert reference is not None
    recipe, settings = reference
    tables = configs.override(catalog.recipes[recipe].tables, settings, catalog)
    tables["dataset"] = configs.to_tables(config)["dataset"]
    configs.set_key(tables, "train.device", config.train.device)
    tables |= {"name": recipe, "notes": f"trained for a run of {config.model.name} that needs it"}
    tables["model_dirs"] = list(config.model_dirs)
    return configs.load(tables, catalog, recipe)


def settle(
    config: RunConfig, catalog: Catalog, root: Path, itself: Path | None = None, within: tuple[str, ...] = ()
) -> list[Problem]:
    """Check what a config's hyperparameters name, and write each run down as its folder and step.

    `root` is the runs folder; `itself` a run not to be found there; `within` names recipes that are being looked into.
    Recipes stay as they are. The config is changed only in what has no problem.
    """
    problems: list[Problem] = []
    for need in needs(config, catalog):
        reference = recipe_of(need.value, catalog)
        if reference is not None:
            problems += _recipe_problems(need, reference[0], config, catalog, root, within)
            continue
        try:
            path, step = find(need, catalog, root, itself)
        except runs.RunError as error:
            fits = [recipe.name for recipe in catalog.recipes.values() if _able(catalog.models.get(recipe.model), need)]
            hint = nearest(need.value, fits) or f"name another run, or a recipe to train first: {_some(fits)}"
            problems.append(need.problem(str(error), hint))
        else:
            config.model.values[need.name] = f"{path}@{step}"
    return problems


def _recipe_problems(
    need: Need, recipe: str, config: RunConfig, catalog: Catalog, root: Path, within: tuple[str, ...]
) -> Iterator[Problem]:
    if recipe in within:
        yield need.problem(f"the recipe {recipe} needs itself", "name another recipe, or a run")
        return
    try:
        first = first_config(need, config, catalog)
    except ConfigError as error:
        for problem in error.problems:
            words = f"{problem.value} {problem.message} ({problem.hint})" if problem.key == "--set" else str(problem)
            yield need.problem(f"the recipe {recipe} cannot be trained: {words}")
        return
    if not _able(catalog.models.get(first.model.name), need):
        yield need.problem(*_unable(f"the recipe {recipe}", first.model.name, need, catalog))
        return
    for problem in settle(first, catalog, root, within=(*within, recipe)):
        yield need.problem(f"the recipe {recipe} cannot be trained: {problem}")


def find(need: Need, catalog: Catalog, root: Path, itself: Path | None = None) -> tuple[Path, int]:
    """The run that `need` names and the step of the checkpoint to take. Raises RunError with what is wrong with it."""
    name, at, text = need.value.strip().rpartition("@")
    step = int(text) if at and text.isdecimal() else None
    path = _found(name if step is not None else need.value.strip(), need, catalog, root, itself)
    model = runs.info_of(path).model
    if not _able(catalog.models.get(model), need):
        raise runs.RunError("; ".join(_unable(f"the run {path.name}", model, need, catalog)))
    steps = checkpoints.steps(path)
    state, _, reason = runs.state_of(path)
    if step is not None:
        if step not in steps:
            have = f"it has {', '.join(map(str, steps))}" if steps else "it has none"
            raise runs.RunError(f"the run {path.name} has no checkpoint of step {step}; {have}")
        return path, step
    if state == "failed":
        more = f"; add @{steps[-1]} to use its last checkpoint all the same" if steps else ""
        raise runs.RunError(f"the run {path.name} failed: {reason or 'see its worker.log'}{more}")
    problem = ""
    for checkpoint in checkpoints.sound(path):
        if checkpoint.meta is not None:
            return path, checkpoint.step
        problem = problem or f"no checkpoint of the run {path.name} can be used: {checkpoint.problem}"
    if problem:
        raise runs.RunError(problem)
    what = "yet; wait for one" if state in runs.LIVE else f"({state}); let it go on with --resume"
    raise runs.RunError(f"the run {path.name} has no checkpoint {what}")


def _found(name: str, need: Need, catalog: Catalog, root: Path, itself: Path | None) -> Path:
    """The run meant by a name. Raises RunError."""
    if name == "latest":
        rows = [row for row in runs.list_runs(root) if itself is None or Path(row.path).resolve() != itself.resolve()]
        fit = [row for row in rows if _able(catalog.models.get(row.model), need) and checkpoints.steps(Path(row.path))]
        if not fit:
            raise runs.RunError(f"no run in {root} can {' and '.join(need.abilities)} and has a checkpoint")
        return Path(fit[0].path).resolve()
    folder = Path(os.path.expanduser(name))
    if folder.is_absolute() and not runs.is_run(folder):
        if not runs.is_run(root / folder.name):
            raise runs.RunError(f"{folder} is no run, or is there no more")
        folder = root / folder.name  # the folder of runs was moved
    path = runs.find(root, str(folder) if folder.is_absolute() else name)
    if itself is not None and path == itself.resolve():
        raise runs.RunError(f"{path.name} is this very run")
    return path


def begun(path: Path, key: str) -> Path | None:
    """The run that was made for a run's hyperparameter `key` to be trained first, as its log tells; None if none is.

    A run that was deleted since does not count, nor one in another folder: a log may be anybody's.
    """
    first_run = None
    for event in event_log.read(path / "events.jsonl", events.Uses):
        if isinstance(event, events.Uses) and event.key == key and event.step is None:
            name = Path(event.run).name
            first_run = path.resolve().parent / name if name not in ("", "..", path.resolve().name) else None
    return first_run if first_run is not None and runs.is_run(first_run) else None


def _able(entry: ModelEntry | None, need: Need) -> bool:
    return entry is not None and set(need.abilities) <= set(entry.abilities)


def _unable(what: str, model: str, need: Need, catalog: Catalog) -> tuple[str, str]:
    """The words for a model that cannot do what is needed, and a hint."""
    entry = catalog.models.get(model)
    if entry is None:
        return f"{what} is of the model {model!r}, which is not known here", "give its folder with --models DIR"
    lacking = " and ".join(ability for ability in need.abilities if ability not in entry.abilities)
    able = [model.name for model in catalog.models.values() if _able(model, need)]
    return f"{what} is of the model {model}, which cannot {lacking}", f"models that can: {', '.join(able)}"


def _some(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


