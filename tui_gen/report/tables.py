"""Lists as aligned text: models, recipes, datasets. Control characters never reach the terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import TypeVar

from tui_gen import params, runs
from tui_gen.catalog import OWN_FAMILY, Catalog, ModelEntry, Recipe
from tui_gen.config import OPTIM_PARAMS
from tui_gen.datasets import BUILT_IN, DatasetEntry
from tui_gen.lines import aligned
from tui_gen.params import Param, nearest
from tui_gen.report.records import Record, known
from tui_gen.text import clean

Entry = TypeVar("Entry")


def named(what: str, name: str, entries: Mapping[str, Entry]) -> Entry:
    """The entry of this name. Raises RunError, with the nearest name, where there is none."""
    if name not in entries:
        raise no_such(what, name, list(entries))
    return entries[name]


def no_such(what: str, name: str, names: list[str]) -> runs.RunError:
    """The error for a name that is not there, with the nearest one that is."""
    return runs.RunError(f"no {what} {name!r}; {nearest(name, names) or 'known: ' + ', '.join(sorted(names))}")


def models_table(catalog: Catalog, width: int = 0) -> list[str]:
    """The models by family, with one line each, or wrapped to a `width`."""
    rows = [("MODEL", "FAMILY", "DATA", "WHAT IT IS")]
    for family, entries in catalog.families().items():
        family = "your own" if family == OWN_FAMILY else family
        rows += [(entry.name, family, " ".join(entry.kinds), entry.summary or entry.title) for entry in entries]
    return aligned(rows, width=width)


def model_page(entry: ModelEntry, catalog: Catalog, width: int) -> list[str]:
    """Everything about one model: words, hyperparameters, phases, recipes."""
    lines = [f"{clean(entry.name)}: {clean(entry.title)}", ""]
    lines += wrapped(entry.description or entry.summary, width)
    if entry.reference:
        lines += ["", *wrapped(entry.reference, width)]
    lines += ["", *aligned(_facts(entry, catalog), width=width), "", "Hyperparameters ([model])", ""]
    lines += param_lines(entry.params, "model", width)
    for phase, optim in entry.phases.items():
        settings = [
            f"{param.name} = {params.show(getattr(optim, param.name))}"
            for param in OPTIM_PARAMS
            if param.name in ("optimizer", "lr") or getattr(optim, param.name) != param.default
        ]
        lines += ["", f"[train.phases.{clean(phase)}]", "  " + ", ".join(settings)]
    return lines


def _facts(entry: ModelEntry, catalog: Catalog) -> list[tuple[str, ...]]:
    recipes = ", ".join(recipe.name for recipe in catalog.recipes_of(entry.name)) or "none"
    return [
        ("family", "your own" if entry.family == OWN_FAMILY else entry.family),
        ("trains on", ", ".join(entry.kinds)),
        ("can", ", ".join(entry.abilities)),
        ("recipes", recipes),
        ("from", entry.source),
    ]


def param_lines(hyperparams: list[Param], table: str, width: int) -> list[str]:
    """Hyperparameters: key, default, help, what is allowed; `live` ones can be changed while training."""
    lines = []
    for param in hyperparams:
        default = params.show(param.default) or "(empty)"
        live = "  live" if param.live else ""
        unit = f" {param.unit}" if param.unit else ""
        lines.append(f"  {table}.{clean(param.name)} = {clean(default)}{unit}{live}")
        lines += wrapped(f"{param.help}: {param.allowed()}." if param.help else param.allowed(), width, indent="      ")
    return lines


def recipes_table(catalog: Catalog, width: int = 0) -> list[str]:
    """The recipes with one line each, or wrapped to a `width`."""
    rows = [("RECIPE", "MODEL", "DATASET", "WHAT IT IS")]
    for recipe in sorted(catalog.recipes.values(), key=lambda recipe: (recipe.model, recipe.name)):
        dataset = recipe.tables.get("dataset", {})
        name = str(dataset.get("name", "")) if isinstance(dataset, dict) else ""
        rows.append((recipe.name, recipe.model, name, recipe.summary or recipe.title))
    return aligned(rows, width=width)


def recipe_header(recipe: Recipe, record: Record) -> str:
    """What a recipe says of itself, and what it reached, as TOML comments."""
    lines = [f"{recipe.name}: {recipe.title}" if recipe.title else recipe.name]
    return _header(lines, [recipe.summary, recipe.reference, recipe.figure_with_source, *known(recipe, record)])


def model_header(entry: ModelEntry) -> str:
    """What a model that no recipe names says of itself, as TOML comments."""
    lines = [f"{entry.name}: {entry.title}" if entry.title else entry.name]
    return _header(lines, [entry.summary, entry.reference, "No recipe names this model: these are its defaults."])


def _header(lines: list[str], texts: list[str]) -> str:
    for text in filter(None, texts):
        lines += wrapped(text, 110)
    lines.append("Complete: every setting with its value and help. Change what you like, then: tui-gen --run FILE")
    return "".join(f"# {clean(line)}\n" for line in lines)


def datasets_table(catalog: Catalog, width: int = 0) -> list[str]:
    """The datasets with one line each, or wrapped to a `width`."""
    rows = [("DATASET", "KIND", "SIZE", "EXAMPLES", "FROM", "WHAT IT IS")]
    rows += [(e.name, e.kind, _shape(e), _count(e), _source(e), e.title) for e in catalog.datasets.values()]
    return aligned(rows, width=width)


def dataset_page(entry: DatasetEntry, width: int) -> list[str]:
    """Everything about one dataset."""
    facts = [("kind", entry.kind), ("size", _shape(entry)), ("examples", _count(entry)), ("from", _source(entry))]
    if entry.classes:
        facts.append(("classes", ", ".join(entry.classes)))
    if entry.source != BUILT_IN:
        facts.append(("read by", entry.source))
    lines = [f"{entry.name}: {entry.title}", "", *wrapped(entry.summary, width), "", *aligned(facts, width=width)]
    return lines + (["", *wrapped(entry.reference, width)] if entry.reference else [])


def _shape(entry: DatasetEntry) -> str:
    if entry.kind == "points":
        return "2-D points"
    if entry.kind == "text":
        return "characters"
    return f"{entry.default_size}×{entry.default_size} {'grey' if entry.channels == 1 else 'RGB'}"


def _count(entry: DatasetEntry) -> str:
    if entry.count is None:
        own = entry.reads or entry.source != BUILT_IN
        return "your own" if own else "one text" if entry.kind == "text" else "endless"
    return f"{entry.count:,}"


def _source(entry: DatasetEntry) -> str:
    if entry.reads:
        return "dataset.root"
    return "download" if entry.files is not None else BUILT_IN if entry.source == BUILT_IN else "your own"


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Text as lines of at most `width` columns; paragraphs and the items of lists (`- …`) are kept apart.

    Of Markdown's marks, those for emphasis and headings are left out.
    """
    lines: list[str] = []
    for paragraph in text.strip("\n").split("\n\n"):
        if lines:
            lines.append("")
        if all(line.startswith("    ") for line in paragraph.splitlines()):  # formulas and code
            lines += [indent + clean(line) for line in paragraph.splitlines()]
            continue
        for item in re.split(r"\n(?=\s*[-*] )", paragraph):
            words = clean(" ".join(re.sub(r"\*\*|^#+ ", "", item).split()))
            hanging = indent + ("  " if words.startswith(("- ", "* ")) else "")
            lines += textwrap.wrap(words, max(30, width), initial_indent=indent, subsequent_indent=hanging) or [""]
    return lines
