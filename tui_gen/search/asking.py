"""What a person asks for, made into a search: checked as far as that can be, before anything is trained."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tui_gen import config as configs
from tui_gen import params, quality, runs, slots, space, sweeps
from tui_gen.catalog import Catalog
from tui_gen.config import ConfigError, RunConfig
from tui_gen.params import Problem
from tui_gen.places import expanded
from tui_gen.runs import RunError
from tui_gen.search import specs
from tui_gen.search.specs import SearchSpec
from tui_gen.space import Axis, Point
from tui_gen.verdicts.goals import about_one, direction, goals_for
from tui_gen.verdicts.panels import split

TRIALS = 20
"""Trials where nobody says how many, except of a grid."""
QUALITY = "quality/"
INSTALL = "pip install 'tui-gen[optuna]'"


class SearchWish(msgspec.Struct, kw_only=True):
    """What is asked for of a search; what is None or empty is settled here, or stays as it was."""

    space: list[str]
    name: str = ""
    metric: str = ""
    sampler: str = "tpe"
    pruner: str = ""
    seed: int = 0
    trials: int | None = None
    jobs: int | None = None
    storage: str = ""


class SearchDraft(msgspec.Struct):
    """A search that may be begun, or gone on with: the configs that were checked for it, and those of a grid."""

    spec: SearchSpec
    axes: list[Axis]
    points: list[Point]
    configs: list[RunConfig]
    is_new: bool


def refuse_without_optuna() -> None:
    """Raise RunError where Optuna is not installed."""
    from importlib.util import find_spec

    if find_spec("optuna") is None:
        raise RunError(f"a sweep that learns needs Optuna, which is not installed: {INSTALL}")


def drafted(wish: SearchWish, base: RunConfig, catalog: Catalog, root: Path) -> SearchDraft:
    """The search that a wish around a settled config comes to. Raises ConfigError and RunError."""
    settings = sweeps.settings_of(base, catalog)
    axes = space.parse(wish.space, settings, sweeps.idle(base, catalog))
    if not axes:
        raise ConfigError("--space", [Problem("--space", "", "names no setting", "for example lr=1e-4..1e-2:log")])
    refuse_counts(axes, wish.sampler)
    if all(axis.size == 1 for axis in axes):  # every trial would be the same run
        words, hint = "is one value: there is nothing to try", "for example lr=1e-4..1e-2:log or latent=8|16|32"
        raise ConfigError("--space", [Problem(axis.key, axis.words(), words, hint) for axis in axes])
    points = space.grid(axes) if wish.sampler == "grid" else []
    metric, better = judged(base, wish.metric, catalog)
    spec = SearchSpec(
        name=wish.name, config=configs.dumps(base), space=[f"{axis.key}={axis.words()}" for axis in axes],
        metric=metric, better=better, sampler=wish.sampler,
        pruner=wish.pruner or ("none" if wish.sampler == "grid" else "hyperband"), seed=wish.seed,
    )  # fmt: skip
    if wish.name:
        _check_name(wish.name)
    spec.name = wish.name or specs.proper_name(spec, base.name or base.model.name, axes)
    before = specs.read(root, spec.name) if spec.name in specs.names(root) else None
    if before is not None:
        if other := [name for name, value in spec.definition.items() if before.definition[name] != value]:
            words = f"the sweep {spec.name} was begun with another {' and another '.join(other)}"
            raise RunError(f"{words}; choose another --name, or go on with it: tui-gen sweep --resume {spec.name}")
        spec.trials, spec.jobs, spec.storage = before.trials, before.jobs, before.storage
    else:
        spec.trials = len(points) or TRIALS
        spec.jobs = len(slots.wanted(base.train.device, slots.here()))
    amend(spec, wish.trials, wish.jobs, wish.storage)
    if points:
        spec.trials = min(spec.trials, len(points))
    trial_configs = sweeps.configs_of(base, points or space.corners(axes), catalog, root)
    return SearchDraft(spec, axes, points, trial_configs, before is None)


def amend(spec: SearchSpec, trials: int | None, jobs: int | None, storage: str = "") -> None:
    """Change what may be changed while a search goes on. Raises ConfigError."""
    spec.trials, spec.jobs = trials or spec.trials, jobs or spec.jobs
    if storage:
        spec.storage = settled_storage(storage)


def refuse_counts(axes: Iterable[Axis], sampler: str) -> None:
    """Raise ConfigError where a range has a number of values, which only a grid can have."""
    counted = [axis for axis in axes if axis.counted and sampler != "grid"]
    if counted:
        hint = f"leave out :{counted[0].count}, or take --sampler grid"
        words = f"has a number of values, which is for a grid; {sampler} draws from the whole range"
        raise ConfigError("--space", [Problem(axis.key, axis.words(), words, hint) for axis in counted])


def _check_name(name: str) -> None:
    if runs.slug(name) != name:
        hint = f"{runs.slug(name)!r} would do"
        words = "is no name of a sweep: lower case letters, digits and dashes, at most 40"
        raise ConfigError("--name", [Problem("--name", name, words, hint)])


def judged(base: RunConfig, metric: str, catalog: Catalog) -> tuple[str, str]:
    """What trials of a config are judged by, and which way is better: the metric that is named, or the one that its
    recipe or others of its model state. Raises ConfigError where nobody can tell."""
    entry = catalog.models[base.model.name]
    if metric and ("/" not in metric or metric != metric.strip()):
        words = "is no metric of a log; they are called val/PHASE/NAME, PHASE/NAME or quality/NAME"
        raise ConfigError("--metric", [Problem("--metric", metric, words, f"val/{next(iter(entry.phases))}/loss")])
    measured = bool(base.quality.every_seconds or base.quality.at_end)
    if metric.startswith(QUALITY) and not measured:
        words, hint = "is not measured with these settings", "--set quality.at_end=true measures it"
        raise ConfigError("--metric", [Problem("--metric", metric, words, hint)])
    stated = [(goal.curve, goal.better) for goal in goals_for(configs.to_tables(base), catalog)]
    stated += [
        (terms[0], direction(recipe.check.better, terms[1])) for recipe in catalog.recipes.values()
        if recipe.model == entry.name and recipe.check is not None and (terms := about_one(recipe.check.metric))
    ]  # fmt: skip
    for curve, better in stated:
        if metric == curve or (not metric and (measured or not curve.startswith(QUALITY))):
            return curve, better
    others = {phase for model in catalog.models.values() for phase in model.phases} | set(catalog.models)
    # Only those: what a model measures in validation may be of no phase.
    if split(metric)[1] in others.difference(entry.phases):
        words = f"is no metric of {base.model.name}, whose metrics begin with {' or '.join(entry.phases)} or quality"
        raise ConfigError("--metric", [Problem("--metric", metric, words, f"val/{next(iter(entry.phases))}/loss")])
    if metric.startswith(QUALITY):
        return metric, _way_of_figure(metric.removeprefix(QUALITY))
    if metric:
        return metric, "higher" if split(metric)[2] in entry.higher_is_better else "lower"
    phases = list(entry.phases)
    if len(phases) != 1:
        words = f"has to be said: no recipe says by what {base.model.name} is judged"
        hint = " or ".join(f"val/{phase}/loss" for phase in phases)
        raise ConfigError("--metric", [Problem("--metric", None, words, hint)])
    return f"val/{phases[0]}/loss", "lower"


def _way_of_figure(name: str) -> str:
    """Which way a figure of quality is better. Raises ConfigError where it is none, or best as it is of real data."""
    directed = [figure for figure, kind in quality.KINDS.items() if kind.better != "real"]
    if name in directed:
        return quality.KINDS[name].better
    words, hint = "is no figure of quality", params.nearest(name, quality.KINDS)
    if name in quality.KINDS:
        words, hint = "is best as near to real data's as can be; trials are judged by what is best high or low", ""
    hint = hint or "take one of " + ", ".join(directed)
    raise ConfigError("--metric", [Problem("--metric", QUALITY + name, words, hint)])


def settled_storage(storage: str) -> str:
    """A storage as it is written down: paths are absolute. Raises ConfigError for what is none."""
    if storage.startswith("sqlite:///") and not storage.startswith("sqlite:////"):
        storage = f"sqlite:///{expanded(storage.removeprefix('sqlite:///')).absolute()}"
    elif "://" not in storage:
        storage = str(expanded(storage).absolute())
    if storage.startswith("redis"):
        hint = "a data base (mysql, postgresql, sqlite), or the path of a journal"
        words = "is no storage that is used here"
        raise ConfigError("--storage", [Problem("--storage", specs.without_password(storage), words, hint)])
    return storage


def begin(root: Path, spec: SearchSpec) -> None:
    """Keep a search going in a process of its own, whoever looks on. Raises RunError."""
    from tui_gen import children
    from tui_gen.files import open_log

    if specs.is_kept(root, spec.name):
        raise RunError(f"{spec.name} is being searched on this machine already")
    specs.write(root, spec)
    place = specs.host_folder(root, spec.name)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with open(place / "search.log", "ab", opener=lambda path, _: open_log(path)) as log:
            children.start(
                "tui_gen.search", Path(root).absolute(), spec.name, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise RunError(f"cannot start the sweep: {error.strerror or error}") from error


def stop(root: Path, name: str) -> None:
    """Have whoever keeps a search going on this machine stop it, its runs with checkpoints. Raises RunError."""
    import os
    import signal

    from tui_gen import presence

    info = runs.worker_of(specs.host_folder(root, name))
    if info is None or not presence.alive(info) or not specs.is_kept(root, name):
        raise RunError(f"{name} is not being searched on this machine")
    os.kill(info.pid, signal.SIGTERM)
