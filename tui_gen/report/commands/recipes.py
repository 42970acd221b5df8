"""`tui-gen recipes`: the recipes there are."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import catalog as catalogs
from tui_gen.report import stdout, tables
from tui_gen.report.commands.options import models_option
from tui_gen.report.stdout import terminal_width


def options(parser: argparse.ArgumentParser) -> None:
    """One's own models may come with recipes."""
    models_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """The table."""
    out, err = stdout.standard()
    catalog = catalogs.read(args.model_dirs)
    for problem in catalog.problems:
        err.line(f"warning: {problem}")
    for line in tables.recipes_table(catalog, terminal_width(out)):
        out.line(line)
    return 0
