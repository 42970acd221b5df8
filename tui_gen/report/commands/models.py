"""`tui-gen models`: what can be trained, or everything about one model."""

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
        entry = tables.named("model", args.name, catalog.models)
        return tables.model_page(entry, catalog, width)

    return listed(args, page, tables.models_table)
