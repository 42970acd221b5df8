"""`tui-gen datasets`: what can be trained on, or everything about one dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen.catalog import Catalog
from tui_gen.report import tables
from tui_gen.report.commands.listing import listed, options

__all__ = ["options", "run"]


def run(args: argparse.Namespace, root: Path) -> int:
    """The table, or a page."""

    def page(catalog: Catalog, width: int) -> list[str]:
        entry = tables.named("dataset", args.name, catalog.datasets)
        return tables.dataset_page(entry, width)

    return listed(args, page, tables.datasets_table)
