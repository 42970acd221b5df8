"""What recipes reached: the results of `tui-gen zoo check`, the record kept of them, and the tables that show them."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import msgspec

from tui_gen import runs
from tui_gen.catalog import Recipe
from tui_gen.lines import folded
from tui_gen.quantities import duration, metric
from tui_gen.text import clean

PASSED, MISSED, FAILED = "pass", "MISSED", "failed"
TRAINED = "trained"
"""There is a value, and nothing that it should be held against."""
NO_DATA, NOT_STARTED, STOPPED = "no data here", "not started", "stopped"


class Result(msgspec.Struct, omit_defaults=True):
    """One recipe's training: what `metric` reached at the end, what it should, and how long it took.

    `seconds` are the clock's and include the start of the worker; `processor` are those that CPUs were busy with the
    training, whatever else the machine did meanwhile (None where the log does not tell); `others` are the run's last
    validation values of its other metrics; `words` say what went wrong or what was not done as written; `day` is when,
    as YYYY-MM-DD.
    """

    recipe: str
    verdict: str = NOT_STARTED
    metric: str = ""
    better: str = ""
    expected: float | None = None
    reached: float | None = None
    seconds: float | None = None
    processor: float | None = None
    steps: int = 0
    dataset: str = ""
    device: str = ""
    words: str = ""
    day: str = ""
    others: dict[str, float] = {}

    def judge(self) -> None:
        """Set the verdict by what was reached."""
        if self.reached is None:
            self.verdict = FAILED
        elif self.expected is None:
            self.verdict = TRAINED
        else:
            sign = 1 if self.better == "higher" else -1
            self.verdict = PASSED if sign * self.reached >= sign * self.expected else MISSED


class Record(msgspec.Struct):
    """The newest results by recipe: of the small versions, and of the recipes as written."""

    small: dict[str, Result] = {}
    full: dict[str, Result] = {}

    def take(self, result: Result, *, full: bool) -> None:
        """Keep a result, unless nothing was measured: then what was known stays."""
        if result.reached is not None:
            (self.full if full else self.small)[result.recipe] = result


def record_path() -> Path:
    """The record that comes with the built-in recipes."""
    return Path(str(importlib.resources.files("tui_gen.models"))) / "reached.json"


def read(path: Path | None = None) -> Record:
    """A record; an empty one where there is none yet. Raises RunError where the file is not one."""
    path = path or record_path()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except FileNotFoundError:
        return Record()
    except OSError as error:
        raise runs.RunError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise runs.RunError(f"{path} is no record of figures ({error}); move it away, or name another file") from None


def write(record: Record, path: Path) -> None:
    """Write a record, sorted by recipe, so that its changes can be read. Raises RunError where that fails."""
    record = Record(dict(sorted(record.small.items())), dict(sorted(record.full.items())))
    try:
        runs.write_atomic(path, msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    except OSError as error:
        raise runs.RunError(f"cannot write {path}: {error.strerror or error}") from None


# -- as text


def heading() -> str:
    """The heading over `row`s."""
    return f"{'recipe':<24} {'metric':<32} {'expected':>10} {'reached':>10} {'seconds':>8}  result"


def row(result: Result, width: int = 0) -> str:
    """A result as a line of text, or wrapped to a `width`."""
    seconds = "–" if result.seconds is None else f"{result.seconds:.0f}"
    words = f": {clean(result.words)}" if result.words else ""
    start = (
        f"{clean(result.recipe):<24} {clean(result.metric):<32} {_bound(result):>10} {_reached(result):>10} "
        f"{seconds:>8}  "
    )
    line = f"{start}{result.verdict}{words}"
    return line if not width or len(line) <= width else folded(start, line[len(start) :], len(start), width)


def known(recipe: Recipe, record: Record) -> list[str]:
    """What is on record of a recipe, in sentences."""
    lines = []
    for what, results in (("small version", record.small), ("as written", record.full)):
        if result := results.get(recipe.name):
            target = f", should be {_bound(result)}" if result.expected is not None else ""
            words = f"; {result.words}" if result.words else ""
            busy = "" if result.processor is None else f", {duration(result.processor)} of it by processor time"
            lines.append(
                f"Measured, {what}: {result.metric} {_reached(result)}{target}, on {result.dataset} in "
                f"{duration(result.seconds)}{busy} ({result.device}, {result.day}{words})"
            )
    return lines


def _bound(result: Result) -> str:
    if result.expected is None:
        return "–"
    return f"{'≥' if result.better == 'higher' else '≤'} {metric(result.expected)}"


def _reached(result: Result) -> str:
    return "–" if result.reached is None else metric(result.reached)


# -- as Markdown


def markdown(results: list[Result], recipes: dict[str, Recipe]) -> list[str]:
    """Results as a Markdown table: recipe, figure with source, metric, expected, reached, times, result."""
    lines = ["| recipe | figure (source) | trained on | metric | expected | reached | clock | processor | result |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for result in results:
        recipe = recipes.get(result.recipe)
        words = f": {result.words}" if result.words else ""
        cells = (
            f"`{result.recipe}`",
            recipe.figure_with_source if recipe else "",
            result.dataset,
            f"`{result.metric.replace('val/', '')}`",
            _bound(result),
            _reached(result),
            duration(result.seconds),
            duration(result.processor),
            result.verdict + words,
        )
        lines.append("| " + " | ".join(clean(cell).replace("|", "\\|") for cell in cells) + " |")
    return lines
