"""A recipe's card: what it trains, what it should reach, how long that took, and what it made when it was trained.

Times come from the recorded runs, pictures from `models/cards` (`make cards RUNS=DIR` takes them from runs): of the
recipe as it is written, or of its small version.
"""

from __future__ import annotations

import importlib.resources
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tui_gen.catalog import Recipe
from tui_gen.quantities import duration

SMALL = ".small"
"""What a picture's name ends with that is of the small version of a recipe."""


class Card(NamedTuple):
    """What is told of a recipe before it is trained: words for a pane, the path of a picture (empty: there is none) and
    what stands above it."""

    name: str
    words: str
    picture: str
    title: str


def card(recipe: Recipe, start_key: str = "F5") -> Card:
    """The card of a recipe; `start_key` trains it."""
    lines = [recipe.title or recipe.name, recipe.summary, ""]
    if recipe.figure:
        lines += [f"It should reach: {recipe.figure_with_source}.", ""]
    first = _judged_by(recipe)
    lines += [f"Its losses will come here, {first} first." if first else "Its losses will come here.", ""]
    lines.append(f"{start_key} trains it{_time(recipe.name)}.")
    for ending, title in (("", _title(recipe.name)), (SMALL, f"{recipe.name}, its small version")):
        picture = folder() / f"{recipe.name}{ending}.png"
        if picture.exists():
            return Card(recipe.name, "\n".join(lines), str(picture), title)
    return Card(recipe.name, "\n".join(lines), "", _title(recipe.name))


def _judged_by(recipe: Recipe) -> str:
    """The metric that comes first in the recipe's plots: of those that it states a figure for, one that it measures."""
    aim, check = recipe.aim_on(recipe.dataset), recipe.check
    metrics = [figure.metric for figure in (aim, check) if figure is not None and figure.metric]
    quality = recipe.tables.get("quality")
    is_measured = isinstance(quality, dict) and (quality.get("every_seconds") or quality.get("at_end"))
    return next((metric for metric in metrics if is_measured or not metric.startswith("quality/")), "")


def folder() -> Path:
    """Where the pictures are."""
    return Path(str(importlib.resources.files("tui_gen.models"))) / "cards"


def _title(name: str) -> str:
    """What the picture is of: the recipe as it is written, or with other data, say, where that run is on record."""
    _, _, settings = str((_records().get(name) or {}).get("words") or "").partition("with ")
    return f"{name}, trained {f'with {settings}' if settings else 'as it is written'}"


def _time(name: str) -> str:
    """How long the recipe as written took: of a CPU's time, else by the clock; empty where that is not on record."""
    record = _records().get(name) or {}
    seconds, processor = record.get("seconds"), record.get("processor")
    device = str(record.get("device") or "a CPU")
    if isinstance(processor, int | float) and device.startswith("cpu"):
        return f" (it took {duration(processor)} of processor time)"
    return f" (it took {duration(seconds)} on {device}, beside other work)" if isinstance(seconds, int | float) else ""


@cache
def _records() -> dict[str, Any]:
    import msgspec

    try:
        path = folder().with_name("reached.json")
        records: dict[str, dict[str, Any]] = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
    except (OSError, msgspec.DecodeError):
        return {}
    return records.get("full", {})
