"""What `tui-gen models` and `tui-gen datasets` share: a table of all, or a page about the one that is named."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tui_gen.catalog import Catalog
from tui_gen.report import headless, stdout
from tui_gen.report.commands.options import models_option
from tui_gen.report.stdout import terminal_width, width_of

WIDEST = 100
"""Columns of a page, at most."""


def options(parser: argparse.ArgumentParser) -> None:
    """Which one."""
    parser.add_argument("name", metavar="NAME", nargs="?", default="", help="one of them")
    models_option(parser)


def listed(
    args: argparse.Namespace, page: Callable[[Catalog, int], list[str]], table: Callable[[Catalog, int], list[str]]
) -> int:
    """Print the page where something was named, else the table, as wide as there is room; 0."""
    out, err = stdout.standard()
    catalog = headless.ensured(args.model_dirs, err)
    lines = page(catalog, min(WIDEST, width_of(out))) if args.name else table(catalog, terminal_width(out))
    for line in lines:
        out.line(line)
    return 0
