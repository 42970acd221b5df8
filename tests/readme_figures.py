"""Writes docs/figures.md and the README's line per family: `python -m tests.readme_figures .`, or `make figures`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tui_gen import catalog as catalogs
from tui_gen.catalog import Recipe
from tui_gen.report import records
from tui_gen.report.records import Record, Result

PLACE = re.compile(r"(<!-- figures -->\n).*(<!-- /figures -->)", re.S)
ABOUT = """\
# Figures

What is published or was measured about every recipe, and what it reached on record: `make figures` writes this page
from `models/reached.json`, which `tui-gen zoo check --record` keeps.

**Small versions** (`tui-gen zoo check`) train on data that is built in or generated, and have thresholds of their own.
**As written** (`tui-gen zoo check --full --set dataset.root=DIR`) nothing is cut, unless the last column says so, and
the values are those of the last step over all validation examples, in the terms of the figure. Recipes for other data
were trained on MNIST (`--set dataset.name=mnist`), where they state a figure for it.

Every run had one thread. `clock` is on two cores that a dozen other programs shared, many times what a run takes alone;
`processor`, where it was recorded, is for how long a core was busy with it, and near what it takes alone.
"""


def pages() -> dict[str, str]:
    """The generated texts by file name."""
    catalog, record = catalogs.read(), records.read()
    command = [sys.executable, "-m", "tui_gen", "zoo", "table", "--markdown"]
    tables = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {"docs/figures.md": "\n".join((ABOUT, tables, left_out(catalog, record)))}


def left_out(catalog: catalogs.Catalog, record: Record) -> str:
    """Which recipes were not trained as written, and why."""
    without = [one for name, one in catalog.recipes.items() if name not in record.full]
    here = {"mnist", *(name for name, one in catalogs.read().datasets.items() if one.files is None)}
    missing = [one for one in without if one.dataset not in here]
    long = [one for one in without if one.dataset in here]
    reasons = []
    if missing:
        reasons.append("for want of the data: " + ", ".join(f"`{one.name}` ({one.dataset})" for one in missing))
    if long:
        reasons.append("for want of time, on such cores: " + ", ".join(f"`{one.name}`" for one in long))
    if not reasons:
        return ""
    return "Not trained as written:\n\n" + ";\n".join(f"- {reason}" for reason in reasons) + ".\n"


def by_family(catalog: catalogs.Catalog, record: Record) -> list[str]:
    """A Markdown table with the best evidence of every family: as written, published figures and passes first."""
    families: dict[str, list[tuple[list[bool], Result]]] = {}
    for small, results in ((False, record.full), (True, record.small)):
        for name, result in results.items():
            recipe = catalog.recipes[name]
            theirs = published(recipe) and result.dataset == recipe.dataset
            lacking = [result.verdict != records.PASSED, small, not theirs, result.dataset != "mnist"]
            families.setdefault(catalog.models[recipe.model].family, []).append((lacking, result))
    best = {family: min(families[family], key=lambda one: one[0])[1] for family in catalog.families()}
    head, line, *rows = records.markdown(list(best.values()), catalog.recipes)
    return [f"| family {head}", f"|---{line}", *(f"| {family} {row}" for family, row in zip(best, rows, strict=True))]


def published(recipe: Recipe) -> bool:
    """Whether somebody published its figure as a number."""
    return not recipe.source.startswith("measured here") and not recipe.source.endswith("in words")


def with_table(text: str) -> str:
    """The README's text with its table as it is now. Raises ValueError where it has no place for one."""
    if not PLACE.search(text):
        raise ValueError("the text has no <!-- figures --> … <!-- /figures -->")
    lines = "\n".join(by_family(catalogs.read(), records.read()))
    return PLACE.sub(lambda found: f"{found[1]}\n{lines}\n\n{found[2]}", text)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    readme = folder / "README.md"
    for name, text in (pages() | {"README.md": with_table(readme.read_text(encoding="utf-8"))}).items():
        (folder / name).write_text(text, encoding="utf-8")
