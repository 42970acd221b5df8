"""`tui-gen rename`: what a run is called. Its folder, which scripts and other runs know it by, stays what it is."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import remarks, runs
from tui_gen.report import stdout
from tui_gen.report.commands.options import PLACE, named, runs_option


def options(parser: argparse.ArgumentParser) -> None:
    """Which run, and its name."""
    parser.add_argument("name", metavar="RUN", type=named, help=PLACE)
    parser.add_argument("new_name", metavar="NAME", help="what to call it; empty for the name in its config")
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Also while it trains."""
    out, _ = stdout.standard()
    path = runs.find(root, args.name)
    remarks.rename(path, args.new_name)
    out.line(f"{path.name} is called {runs.info_of(path).name}")
    return 0
