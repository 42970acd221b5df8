"""The settings in which runs differ, as the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from tui_gen.app.panes.compare.table import Cell, Cells
from tui_gen.catalog import Catalog
from tui_gen.compared import ComparedRun
from tui_gen.config_diff import ABSENT, differences
from tui_gen.text import clean

DEFAULT = "°"
"""Behind a value that is what the model, the data or tui-gen has where nothing is stated."""


def settings_rows(runs: Sequence[ComparedRun], catalog: Catalog) -> list[Cells]:
    """A row a setting that is not the same in all of them; and which configs could not be read."""
    rows: list[Cells] = [[Cell(f"{run.letter}: its config.toml {run.problem}")] for run in runs if run.problem]
    whole = [run for run in runs if not run.problem]
    if len(whole) < 2:
        return rows
    found = differences([run.tables for run in whole], catalog)
    places = {id(run): place for place, run in enumerate(whole)}
    for setting in found:
        cells = [Cell(clean(setting.key))]
        for run in runs:
            place = places.get(id(run))
            if place is None or setting.values[place] is ABSENT:
                cells.append(Cell(ABSENT.value, "quiet"))
            else:
                default = setting.defaults[place]
                text = clean(setting.texts[place]) + (f" {DEFAULT}" if default else "")
                cells.append(Cell(text, "quiet" if default else ""))
        rows.append(cells)
    if not found:
        rows.append([Cell("They have the same settings.")])
    elif any(any(setting.defaults) for setting in found):
        rows += [[], [Cell(f"{DEFAULT} as it is where nothing is stated", "quiet")]]
    return rows
