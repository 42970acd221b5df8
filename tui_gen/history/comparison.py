"""Runs that are looked at beside each other: what each is called, and the letter and the colour that stay its own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tui_gen import config as configs
from tui_gen import forks, quality
from tui_gen.catalog import Catalog
from tui_gen.places import distinction
from tui_gen.text import clean
from tui_gen.verdicts.goals import Goal, goals_of
from tui_gen.verdicts.panels import HEALTH, panels_of, split
from tui_gen.view import RunView

LEAST, MOST = 2, 12
"""How many runs make a comparison."""
LETTERS = "ABCDEFGHIJKL"


@dataclass(eq=False)
class ComparedRun:
    """One of them. `slot` (0 …) is its place, and with it its colour and its letter; `tables` are its config's.

    `problem` says why there are none. `goals` are the figures that it should reach, `higher` the last parts of the
    names of metrics that are better the higher they are. `origin` says what it is a fork of; `twin` is another one of
    them with which it has its steps before `begins` in common.
    """

    view: RunView
    slot: int
    name: str = ""
    tables: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    goals: list[Goal] = field(default_factory=list)
    higher: frozenset[str] = frozenset()
    origin: forks.ForkOrigin | None = None
    twin: ComparedRun | None = None
    begins: int = 0

    @property
    def letter(self) -> str:
        """What stands for it where there is little room."""
        return LETTERS[self.slot % len(LETTERS)]

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.view.path


def of_paths(
    paths: Iterable[Path], catalog: Catalog, views: Mapping[Path, RunView] | None = None
) -> list[ComparedRun]:
    """The runs in these folders, each once, at most MOST; those in `views` are read already, the others not at all."""
    views = views or {}
    runs: list[ComparedRun] = []
    for path in list(dict.fromkeys(map(Path, paths)))[:MOST]:
        run = ComparedRun(views.get(path) or RunView(path), len(runs))
        try:
            run.tables = configs.read_toml(path / "config.toml")
        except configs.ConfigError as error:
            run.problem = "; ".join(problem.message for problem in error.problems)
        run.goals = goals_of(path / "config.toml", catalog)
        entry = catalog.models.get(configs.named(dict(run.tables), "model"))
        run.higher = frozenset(entry.higher_is_better if entry is not None else ())
        runs.append(run)
    _find_forks(runs)
    for run, name in zip(runs, names([run.path for run in runs], [run.tables for run in runs])):
        run.name = name
    return runs


def metrics_of(runs: Sequence[ComparedRun]) -> list[str]:
    """The metrics that any of the runs has, those first by which they are judged; validation after its training."""
    names = list(dict.fromkeys(name for run in runs for name in run.view.series))
    plans = [run.view.plan for run in runs if run.view.plan is not None]
    judged = list(dict.fromkeys(name for plan in plans for name in plan.judged))
    first = next((goal.curve for run in runs for goal in run.goals if goal.curve in names), "")
    ordered = [curve.metric for panel in panels_of(names, judged, (), first) for curve in panel.curves]
    return [first, *(name for name in ordered if name != first)] if first else ordered


def better(metric: str, runs: Sequence[ComparedRun]) -> str:
    """Which way a metric is better, `lower` or `higher`: as a recipe or a model says of it; empty where nobody does."""
    for run in runs:
        for goal in run.goals:
            if goal.curve == metric:
                return goal.better
    _, phase, name = split(metric)
    if phase == "quality":
        way = quality.KINDS[name].better if name in quality.KINDS else ""
        return way if way in ("lower", "higher") else ""
    if phase == HEALTH:
        return ""
    last = name.rpartition("/")[2]
    if any(last in run.higher for run in runs):
        return "higher"
    judged = {name for run in runs if run.view.plan is not None for name in run.view.plan.judged}
    return "lower" if last == "loss" or last in judged else ""


def shared_levels(metric: str, runs: Sequence[ComparedRun]) -> list[Goal]:
    """The figures that a metric of all these runs should come to; none that only some of them should."""
    every = [{goal.level: goal for goal in run.goals if goal.curve == metric} for run in runs]
    first = every[0] if every else {}
    return [goal for level, goal in first.items() if level is not None and all(level in its for its in every)]


class Outcome(NamedTuple):
    """What came of a metric in a run: its last value and its step, the lowest and the highest with theirs."""

    last: float
    last_step: int
    lowest: float
    lowest_step: int
    highest: float
    highest_step: int

    def best(self, way: str) -> tuple[float, int]:
        """The value that is best, `lower` or `higher`, and its step."""
        return (self.highest, self.highest_step) if way == "higher" else (self.lowest, self.lowest_step)


def outcome(run: ComparedRun, metric: str) -> Outcome | None:
    """The outcome of a metric; None where the run has no number of it."""
    series = run.view.series.get(metric)
    if series is None:
        return None
    values = series.values
    places = np.flatnonzero(~np.isnan(values))
    if not len(places):
        return None
    some = values[places]
    at = int(places[-1]), int(places[np.argmin(some)]), int(places[np.argmax(some)])
    (last, last_step), (low, low_step), (high, high_step) = ((float(values[i]), int(series.steps[i])) for i in at)
    return Outcome(last, last_step, low, low_step, high, high_step)


def _find_forks(runs: Sequence[ComparedRun]) -> None:
    """Find which runs have a past in common, as one is a fork of the other or both are of a third: it is drawn once.

    The one that is nearer to the origin has it, of two siblings the first.
    """
    lineages = [forks.lineage(run.path) for run in runs]
    pasts: list[dict[str, float]] = []
    for run, lineage in zip(runs, lineages):
        past = {run.path.name: math.inf}
        for origin in lineage:
            past[origin.run] = min(min(past.values()), origin.step)
        pasts.append(past)
        run.origin = lineage[0] if lineage else None
    order = sorted(range(len(runs)), key=lambda place: (len(lineages[place]), place))
    for number, place in enumerate(order):
        for other in order[:number]:
            steps = [min(step, pasts[other][name]) for name, step in pasts[place].items() if name in pasts[other]]
            if steps and max(steps) > runs[place].begins and math.isfinite(max(steps)):
                runs[place].twin, runs[place].begins = runs[other], int(max(steps))


def names(paths: Sequence[Path], tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """What runs are called: as their configs say, with what tells runs of one name apart where that is not enough."""
    own = [clean(name) if isinstance(name := table.get("name"), str) else "" for table in tables]
    times = Counter(own)
    tails = [clean(distinction(path.name)) for path in paths]
    result = [f"{name} {tail}" if times[name] > 1 and tail != name else name for name, tail in zip(own, tails)]
    again = Counter(result)
    return [name if name and again[name] == 1 else clean(path.name) for name, path in zip(result, paths)]
