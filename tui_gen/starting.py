"""A run's start, wherever it is asked for: what is checked before there is a directory, and that directory.

Needs no PyTorch: what only the model can tell, a worker is asked by whoever starts.
"""

from __future__ import annotations

import os
from pathlib import Path

from tui_gen import config as configs
from tui_gen import datasets, dependencies, runs
from tui_gen.catalog import Catalog, built_in_dir
from tui_gen.config import RunConfig
from tui_gen.datasets import BUILT_IN
from tui_gen.history import provenance
from tui_gen.params import Problem
from tui_gen.places import NoHome


def settle(config: RunConfig, catalog: Catalog, root: Path) -> list[Problem]:
    """Everything that speaks against a run of a well-formed config in the runs folder `root`, the model not asked.

    Writes down what would mean something else in a worker, or later: where the data are as an absolute path, and each
    run that it needs as a folder and a step. Changes the config only in what has no problem.
    """
    return [*data_problems(config, catalog), *dependencies.settle(config, catalog, root)]


def data_problems(config: RunConfig, catalog: Catalog) -> list[Problem]:
    """What speaks against where a config's data are; that is written down as an absolute path where nothing does."""
    if not config.dataset.root:
        return []
    try:
        path = datasets.absolute(config.dataset.root)
    except NoHome as error:
        return [Problem("dataset.root", None, str(error))]
    why, remedy = datasets.missing(catalog.datasets[config.dataset.name], path)
    if why:
        return [Problem("dataset.root", path, why, remedy)]
    config.dataset.root = path
    return []


def create(config: RunConfig, catalog: Catalog, root: Path, folder: str = "") -> Path:
    """Make the directory of a settled config's run, in a new folder of `root` or in the one named. Raises RunError.

    Which code it is made from is written into it a moment later.
    """
    path = runs.create(root, config.name or config.model.name, configs.dumps(config, catalog), folder)
    provenance.begin(path, code_of(config, catalog))
    return path


def code_of(config: RunConfig, catalog: Catalog) -> str:
    """The file of a config's model; of one that is built in, the folder with all of these."""
    entry = catalog.models.get(config.model.name)
    if entry is None or entry.source == BUILT_IN:
        return str(built_in_dir())
    return entry.source if os.path.exists(entry.source) else ""
