"""`tui-gen models`: what can be trained, or everything about one model."""

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
        entry = tables.named("model", args.name, catalog.models)
        lines = tables.model_page(entry, catalog, min(100, width_of(out)))
    else:
        lines = tables.models_table(catalog, terminal_width(out))
    for line in lines:
        out.line(line)
    return 0
