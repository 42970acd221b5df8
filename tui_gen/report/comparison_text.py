"""Runs beside each other as text: in which settings they differ, what came of them, and a plot of their curves."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence

import numpy as np

from tui_gen import events
from tui_gen.catalog import Catalog
from tui_gen.columns import shortest
from tui_gen.draw.canvas import legend_glyph
from tui_gen.draw.curves import FrameOptions
from tui_gen.draw.text import width_of
from tui_gen.history.comparison import ComparedRun, better, metrics_of, outcome
from tui_gen.history.comparison_rows import NONE, Cells, TableCell, results_rows, settings_rows
from tui_gen.history.config_diff import differences
from tui_gen.lines import aligned
from tui_gen.report.curves import plot_lines
from tui_gen.text import clean, spreadsheet_text
from tui_gen.verdicts.panels import Curve, Panel

SMALLEST = 40
"""Columns that a plot has at least."""


def key_lines(runs: Sequence[ComparedRun], plain: bool) -> list[str]:
    """Every run with its letter, what it is called, and its folder."""
    return aligned(
        [(f"{legend_glyph(run.slot, plain)} {run.letter}", run.name, _forked(run), run.path.name) for run in runs]
    )


def _forked(run: ComparedRun) -> str:
    if run.twin is None:
        return run.view.state
    return f"{run.view.state}, parts from {run.twin.letter} at step {run.begins:,}"


def tables(runs: Sequence[ComparedRun], catalog: Catalog, width: int) -> Iterator[str]:
    """The settings in which the runs differ, and the results, as tables no wider than `width` (0 is any)."""
    for title, rows in (("Settings", settings_rows(runs, catalog)), ("Results", results_rows(runs))):
        yield ""
        yield title
        yield from _table(rows, [run.letter for run in runs], width)


def _table(rows: Sequence[Cells], letters: Sequence[str], width: int) -> Iterator[str]:
    """Rows under the letters of the runs; where these have no room beside each other, in several parts."""
    whole = [[TableCell(""), *map(TableCell, letters)], *(row for row in rows if len(row) > 1)]
    if len(whole) > 1:
        widths = [max(width_of(cell.text) for cell in column) + 2 for column in zip(*whole)]
        first = 1
        while first <= len(letters):
            last = first + 1
            while last <= len(letters) and (not width or widths[0] + sum(widths[first : last + 1]) <= width):
                last += 1
            yield from aligned([(row[0].text, *(cell.text for cell in row[first:last])) for row in whole])
            first = last
    yield from (row[0].text for row in rows if len(row) == 1)


def plot(runs: Sequence[ComparedRun], metric: str, width: int, *, colour: bool, unicode: bool) -> list[str]:
    """The averages of a metric of all runs over the steps; nothing where there is too little room, or no value."""
    series = {run.letter: run.view.series[metric] for run in runs if metric in run.view.series}
    series = {letter: curve for letter, curve in series.items() if np.isfinite(curve.values).any()}
    if not series or width < SMALLEST:
        return []
    curves = [Curve(run.letter, run.letter, run.slot, not metric.startswith("val/")) for run in runs]
    panel = Panel(metric, tuple(curve for curve in curves if curve.metric in series), False)
    options = FrameOptions(legend=False, bands=False, ascii=not unicode)
    return [line.rstrip() for line in plot_lines(panel, series, width, options, colour)]


def csv_table(runs: Sequence[ComparedRun], catalog: Catalog, out: io.TextIOBase) -> None:
    """A row for each setting that differs, and for the last and the best value of each metric; a column a run."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["what", "name", *(run.path.name for run in runs)])
    for setting in differences([run.tables for run in runs], catalog):
        texts = [spreadsheet_text(clean(text)) if text != NONE else "" for text in setting.texts]
        writer.writerow(["setting", spreadsheet_text(clean(setting.key)), *texts])
    writer.writerow(["run", "state", *(run.view.state for run in runs)])
    writer.writerow(["run", "step", *(run.view.step for run in runs)])
    for metric in metrics_of(runs):
        way, found = better(metric, runs), [outcome(run, metric) for run in runs]
        writer.writerow(["last", metric, *(_number(value and value.last) for value in found)])
        if way:
            best = [None if value is None else value.best(way) for value in found]
            writer.writerow(["best", metric, *(_number(value and value[0]) for value in best)])
            writer.writerow(["best step", metric, *("" if value is None else value[1] for value in best)])


def csv_values(runs: Sequence[ComparedRun], metric: str, out: io.TextIOBase) -> None:
    """Every value of a metric: a row a step, counted from 0 as in the log, a column a run; empty where a run has none.
    """
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["step", *(run.path.name for run in runs)])
    every = [run.view.series.get(metric) for run in runs]
    columns = [dict(zip(curve.steps.tolist(), curve.values.tolist())) if curve is not None else {} for curve in every]
    for step in sorted(set().union(*columns)):
        writer.writerow([events.index(int(step)), *(_number(column.get(step)) for column in columns)])


def _number(value: float | None) -> str:
    """A value with the fewest digits that tell it from its neighbours; nothing where there is none."""
    return "" if value is None or not math.isfinite(value) else f"{shortest(value):.9g}"


def named_metric(runs: Sequence[ComparedRun], name: str) -> str:
    """The metric that is meant: the whole name, or the end of it. Raises ValueError that says which there are."""
    names = metrics_of(runs)
    if name in names:
        return name
    found = [metric for metric in names if metric.endswith(f"/{name}")]
    if found:
        return found[0]
    from tui_gen.params import nearest

    close = nearest(name, [*names, *(metric.rpartition("/")[2] for metric in names)])
    raise ValueError(f"no metric {clean(name)!r} in any of these runs; {close or 'they have ' + ', '.join(names)}")
