"""What a run should reach: its recipe's figure, in terms of one metric of the run's log. Knows no widget.

A recipe states a metric, which way is better and a number: for itself as written (`Recipe.aim_on`), and for the small
version of it that `tui-gen zoo check` trains. A run is held against the one whose data it has.

This is what curves and lists are held against, for every run that a figure says something about: also one under another
name, or with another width. Whether a run must reach it, so that falling short is bad news, is another question, which
`tui_gen.verdicts.health` asks: only a run of the recipe exactly as written, at its full length.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tui_gen import config as configs
from tui_gen.config import named
from tui_gen.files import open_regular
from tui_gen.headline import MOST
from tui_gen.toml import loads

if TYPE_CHECKING:
    from pathlib import Path

    from tui_gen.catalog import Catalog, Recipe
    from tui_gen.draw.series import Series

PLACE = {("dataset", "root")}
"""Settings of the data that say where they are, not what they are."""


class Goal(msgspec.Struct, frozen=True):
    """A figure that a recipe states: `metric` (of the log, or `a / number + number`) should come to `reach`.

    `curve` is the metric of the log that it is about, `level` what that one should come to. `better` is `lower` or
    `higher`; `steps` are those after which the recipe states it (0 where it does not say); `changed` are the
    settings of the model that the run has otherwise. Where the recipe states no figure for the run's data, `reach` and
    `level` are None: the metric is still what it is judged by.
    """

    recipe: str
    metric: str
    better: str
    reach: float | None
    curve: str
    level: float | None
    steps: int = 0
    changed: tuple[str, ...] = ()

    def reached(self, value: float) -> bool:
        """Whether a value of the curve is as good as the figure; never where there is none."""
        if self.level is None:
            return False
        return value >= self.level if self.better == "higher" else value <= self.level

    def best(self, series: Series) -> tuple[int, float] | None:
        """The step and the value where a curve was best; None where it has no value."""
        values = series.values
        places = np.flatnonzero(~np.isnan(values))
        if not len(places):
            return None
        some = values[places]
        at = places[np.argmax(some) if self.better == "higher" else np.argmin(some)]
        return int(series.steps[at]), float(values[at])


def goals_of(path: Path, catalog: Catalog) -> list[Goal]:
    """The figures that a run should reach, the one it is judged by first; none where no recipe is known for it.

    `path` is the run's config.toml. A run is its recipe's by its name, or by exactly its model on its data. A figure
    for other data, or for a model that computes something else (another likelihood, say), is none of the run's; one
    for another number of units is.
    """
    return goals_for(_tables(path), catalog)


def goals_for(tables: dict[str, Any], catalog: Catalog) -> list[Goal]:
    """As `goals_of`, of a run with a config of these tables."""
    recipes = list(_recipes(tables, catalog))
    for recipe in recipes:
        own = tables.get("name") == recipe.name
        goals = [_goal(recipe, *figure, tables, catalog) for figure in _figures(recipe, tables)]
        if own_goals := [goal for goal in goals if goal is not None and (own or not goal.changed)]:
            return own_goals
    for recipe in recipes:
        if recipe.check is not None and (terms := about_one(recipe.check.metric)) is not None:
            better = direction(recipe.check.better, terms[1])
            return [Goal(recipe.name, recipe.check.metric, better, None, terms[0], None)]
    return []


def about_one(metric: str) -> tuple[str, float, float] | None:
    """`name / divisor + number` as (name, factor, number): the metric is factor * name + number.

    None where it is about no metric of the log, or about several.
    """
    name, factor, number = "", 1.0, 0.0
    for term in metric.split(" + "):
        before, _, after = term.partition(" / ")
        try:
            divisor = float(after or 1)
            try:
                number += float(before) / divisor
                continue
            except ValueError:
                pass
            if name:
                return None
            name, factor = before, 1 / divisor
        except (ValueError, ZeroDivisionError):
            return None
    return (name, factor, number) if name and factor and math.isfinite(factor) and math.isfinite(number) else None


def _tables(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            return loads(file.read(MOST).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}


def _recipes(tables: dict[str, Any], catalog: Catalog) -> Iterable[Recipe]:
    """The recipe of this name, then those of the same model and data."""
    model, data = named(tables, "model"), named(tables, "dataset")
    if not model:
        return
    name = tables.get("name")
    recipe = catalog.recipes.get(name) if isinstance(name, str) else None
    if recipe is not None and recipe.model == model:
        yield recipe
    for other in catalog.recipes.values():
        if other is not recipe and other.model == model and other.dataset == data:
            yield other  # the same settings under another name


def _figures(recipe: Recipe, tables: dict[str, Any]) -> Iterable[tuple[str, str, float, list[str]]]:
    """What a recipe states: metric, which way is better, number, and the overrides it holds with; the run's first."""
    check = recipe.check
    if check is None:
        return
    data = named(tables, "dataset")
    small = (check.metric, check.better, check.reach, check.overrides)
    aim = recipe.aim_on(data)
    if aim is None:
        yield small
        return
    whole = (aim.metric, aim.better, aim.reach, [f"dataset.name={data}"] if data != recipe.dataset else [])
    steps, its = _steps(tables), _steps(recipe.tables)
    yield from (small, whole) if 0 < steps < its else (whole, small)


def _steps(tables: dict[str, Any]) -> int:
    train = tables.get("train")
    steps = train.get("steps") if isinstance(train, dict) else 0
    return steps if isinstance(steps, int) else 0


def _goal(
    recipe: Recipe, metric: str, better: str, reach: float, overrides: list[str], tables: dict[str, Any],
    catalog: Catalog,
) -> Goal | None:  # fmt: skip
    terms = about_one(metric)
    if terms is None:
        return None
    try:
        recipe_tables = configs.to_tables(
            configs.load(configs.override(recipe.tables, overrides, catalog) | {"name": "as stated"}, catalog)
        )
    except configs.ConfigError:
        return None
    if _different(recipe_tables["dataset"], tables.get("dataset"), "dataset"):
        return None
    differences = _different(recipe_tables["model"], tables.get("model"), "model")
    entry = catalog.models.get(recipe.model)
    fixed_keys = {param.name for param in entry.params if param.kind in ("choice", "bool", "str")} if entry else set()
    fixed_keys |= {assignment.partition("=")[0].removeprefix("model.") for assignment in overrides}
    if fixed_keys.intersection(differences):
        return None
    curve, factor, number = terms
    better, level = direction(better, factor), (reach - number) / factor
    return Goal(recipe.name, metric, better, reach, curve, level, _steps(recipe_tables), tuple(differences))


def direction(better: str, factor: float) -> str:
    """Which way is better for a curve that a metric takes times a factor."""
    return better if factor > 0 else {"higher": "lower", "lower": "higher"}[better]


def _different(settings: dict[str, Any], its: Any, table: str) -> list[str]:
    """The settings of a table that a run has otherwise; what the run does not say is as stated."""
    if not isinstance(its, dict):
        return [table]
    return [key for key, value in settings.items() if (table, key) not in PLACE and its.get(key, value) != value]
