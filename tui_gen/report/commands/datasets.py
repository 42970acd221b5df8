"""`tui-gen datasets`: what can be trained on, or everything about one dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen.report import headless, tables
from tui_gen.report import outlet as outlets
from tui_gen.report.commands.options import models_option
from tui_gen.report.outlet import terminal_width, width_of


def options(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="one of them")
    models_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """The table, or a page."""
    out, err = outlets.standard()
    catalog = headless.ensured(args.model_dirs, err)
    if args.name:
        entry = tables.named("dataset", args.name, catalog.datasets)
        lines = tables.dataset_page(entry, min(100, width_of(out)))
    else:
        lines = tables.datasets_table(catalog, terminal_width(out))
    for line in lines:
        out.line(line)
    return 0
