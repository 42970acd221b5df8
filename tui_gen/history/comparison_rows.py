"""What is told of runs beside each other, as the rows of a table: in which settings they differ, what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tui_gen.catalog import Catalog
from tui_gen.draw.axes import reading
from tui_gen.history.comparison import ComparedRun, Outcome, better, metrics_of, outcome
from tui_gen.history.config_diff import ABSENT, differences
from tui_gen.progress import steps
from tui_gen.quantities import count, duration
from tui_gen.text import clean

DEFAULT = "°"
"""Behind a value that is what the model, the data or tui-gen has where nothing is stated."""
BEST = "★"
"""Behind the best value of all runs."""
NONE = str(ABSENT.value)


class TableCell(NamedTuple):
    """Words in a table, and how they look: `strong`, `quiet`, `head`, `run.N` (the colour of run N) or plain."""

    text: str
    look: str = ""


Cells = Sequence[TableCell]
"""The label, and a cell a run; a label alone is a heading, and takes the whole width."""


def settings_rows(runs: Sequence[ComparedRun], catalog: Catalog) -> list[Cells]:
    """A row a setting that is not the same in all of them; and which configs could not be read."""
    rows: list[Cells] = [[TableCell(f"{run.letter}: its config.toml {run.problem}")] for run in runs if run.problem]
    whole = [run for run in runs if not run.problem]
    if len(whole) < 2:
        return rows
    found = differences([run.tables for run in whole], catalog)
    places = {id(run): place for place, run in enumerate(whole)}
    for setting in found:
        cells = [TableCell(clean(setting.key))]
        for run in runs:
            place = places.get(id(run))
            if place is None or setting.values[place] is ABSENT:
                cells.append(TableCell(NONE, "quiet"))
            else:
                default = setting.defaults[place]
                text = clean(setting.texts[place]) + (f" {DEFAULT}" if default else "")
                cells.append(TableCell(text, "quiet" if default else ""))
        rows.append(cells)
    if not found:
        rows.append([TableCell("They have the same settings.")])
    elif any(any(setting.defaults) for setting in found):
        rows += [[], [TableCell(f"{DEFAULT} as it is where nothing is stated", "quiet")]]
    return rows


def results_rows(runs: Sequence[ComparedRun]) -> list[Cells]:
    """State, steps, times, and for each metric the last value of every run and its best one; the best of all marked."""
    rows: list[Cells] = [
        [TableCell("state", "quiet"), *(TableCell(clean(run.view.state)) for run in runs)],
        [TableCell("steps", "quiet"), *(TableCell(_steps(run)) for run in runs)],
        [TableCell("training", "quiet"), *(TableCell(_last(run.view.clock.values)) for run in runs)],
        [TableCell("since the start", "quiet"), *(TableCell(_last(run.view.wall.values)) for run in runs)],
    ]
    if any(run.origin is not None for run in runs):
        rows.append([TableCell("forked from", "quiet"), *(TableCell(_origin(run)) for run in runs)])
    for metric in metrics_of(runs):
        found = [outcome(run, metric) for run in runs]
        rows.append([TableCell(clean(metric), "strong"), *(TableCell("") for _ in runs)])
        rows.append([TableCell("  last", "quiet"), *(_cell(value and value.last) for value in found)])
        rows.append(_best_row(found, better(metric, runs)))
    return rows


def _best_row(found: Sequence[Outcome | None], way: str) -> Cells:
    """The best value of every run, with its step; where nobody says what is better, from where to where it goes."""
    known = [value.best(way)[0] for value in found if value is not None]
    top = (max if way == "higher" else min)(known) if way and len(known) > 1 else None
    cells = [TableCell("  highest" if way == "higher" else "  lowest" if way else "  between", "quiet")]
    for value in found:
        if value is None:
            cells.append(TableCell(NONE, "quiet"))
        elif not way:
            cells.append(TableCell(f"{reading(value.lowest)} … {reading(value.highest)}"))
        else:
            best, step = value.best(way)
            mark = f" {BEST}" if best == top else ""
            cells.append(TableCell(f"{reading(best)} at {count(step)}{mark}", "strong" if mark else ""))
    return cells


def _cell(value: float | None) -> TableCell:
    return TableCell(reading(value)) if value is not None else TableCell(NONE, "quiet")


def _steps(run: ComparedRun) -> str:
    plan = run.view.plan
    return steps(run.view.step, plan.steps if plan is not None and run.view.state != "finished" else None)


def _last(seconds: np.ndarray) -> str:
    return duration(float(seconds[-1])) if len(seconds) else NONE


def _origin(run: ComparedRun) -> str:
    if run.origin is None:
        return NONE
    name = run.twin.letter if run.twin is not None and run.twin.path.name == run.origin.run else clean(run.origin.run)
    return f"{name} at {count(run.origin.step)}"
