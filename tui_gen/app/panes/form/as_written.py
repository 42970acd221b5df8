"""A run whose settings cannot be checked here (its model is not loaded, another version wrote it): shown as written."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tui_gen import config, params
from tui_gen.catalog import Catalog
from tui_gen.config import ConfigError
from tui_gen.params import Param
from tui_gen.places import config_dir


def declared(tables: dict[str, Any]) -> dict[str, Param]:
    """Every setting in a config's tables by its dotted key, the model's first: as it is declared, where it is one of
    ours and has such a value, else by its name and the kind of its value."""
    own_params = config.keys("", "", Catalog())
    optim = {param.name: param for param in config.OPTIM_PARAMS}
    settings: dict[str, Param] = {}
    for key, value in _leaves(tables):
        name = key.rpartition(".")[2]
        param = own_params.get(key) or (optim.get(name) if key.startswith("train.phases.") else None)
        if param is None or params.check_value(param, value)[1]:
            kinds = {bool: "bool", int: "int", float: "float"}
            kind: Any = kinds.get(type(value), "str")
            param = Param(name, kind, value if kind != "str" else params.show(value), "")
        settings[key] = param
    return dict(sorted(settings.items(), key=lambda item: not item[0].startswith("model.")))


def _leaves(tables: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tables.items():
        key = f"{before}{name}"
        if isinstance(value, dict):
            yield from _leaves(value, f"{key}.")
        elif key not in ("format", "edits"):
            yield key, value


def lacking(tables: dict[str, Any], catalog: Catalog) -> str:
    """The name of the model where the catalogue has none of that name, or an empty text."""
    table = tables.get("model")
    name = table.get("name") if isinstance(table, dict) else None
    return name if isinstance(name, str) and name not in catalog.models else ""


def why(run: Path, error: ConfigError, model: str, folders: Sequence[str]) -> str:
    """Why settings are shown as they were written, and what to do.

    `model` is the one that is lacking, or empty; `folders` are those in which the run says that its model is.
    """
    if not model:
        return f"Shown as written: {'; '.join(str(problem) for problem in error.problems[:3])}"
    attach = f"tui-gen attach {shlex.quote(run.name)} --models"
    there = [folder for folder in folders if os.path.isdir(folder)]
    if there:
        return (
            f"Shown as written: its model, {model}, is one of your own and not loaded. It is in {', '.join(there)}. "
            f"m (Run > Use its model files) reads it; so does {attach} {shlex.quote(there[0])}"
        )
    if folders:
        places = ", ".join(folders)
        return f"Shown as written: its model, {model}, was in {places}, which is gone. {attach} DIR reads it."
    where = f"neither built in nor in {config_dir() / 'models'}"
    return f"Shown as written: its model, {model}, is {where}. {attach} DIR reads it from another folder."
