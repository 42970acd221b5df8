"""A run's start, wherever it is asked for: what is checked before there is a directory, and that directory.

Needs no PyTorch: what only the model can tell, a worker is asked by whoever starts.
"""

from __future__ import annotations

from pathlib import Path

from tui_gen import config as configs
from tui_gen import datasets, dependencies, runs
from tui_gen.catalog import Catalog
from tui_gen.config import RunConfig
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
    """Make the directory of a settled config's run, in a new folder of `root` or in the one named. Raises RunError."""
    return runs.create(root, config.name or config.model.name, configs.dumps(config, catalog), folder)
