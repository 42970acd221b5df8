"""The datasets that are built in, for tests: as plain data, and ready to be loaded."""

from functools import cache
from typing import Any

from tui_gen import catalog, config
from tui_gen.datasets import DatasetEntry
from tui_gen.train import discover
from tui_gen.train.data import Dataset, dataset_of

DATASETS: dict[str, DatasetEntry] = catalog.read().datasets


@cache
def _built() -> tuple[catalog.Catalog, discover.Classes]:
    return discover.build()


def table(name: str = "digits", **values: Any) -> config.DatasetTable:
    """A checked `[dataset]` table."""
    tables = {"model": {"name": "vae"}, "dataset": {"name": name, **values}, "train": {"steps": 1}}
    return config.load(tables, _built()[0]).dataset


def dataset(name: str = "digits", **values: Any) -> Dataset:
    """A dataset with these settings."""
    return dataset_of(table(name, **values), _built()[1].datasets)
