"""Which live runs a command is about: those that are named, or all."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import runs
from tui_gen.report.commands.options import RUN, named
from tui_gen.report.stdout import Outlet


def live_option(parser: argparse.ArgumentParser) -> None:
    """Names of runs, or `--all`."""
    parser.add_argument("names", metavar="RUN", type=named, nargs="*", help=RUN)
    parser.add_argument("--all", action="store_true", help="every live run in the folder")


def live_paths(args: argparse.Namespace, root: Path, err: Outlet) -> list[Path]:
    """The runs that were asked for, the newest where none was; that there are none at all is said. Raises RunError."""
    if not args.all:
        return [runs.find(root, name) for name in args.names or ["latest"]]
    if args.names:
        raise runs.RunError("name runs, or give --all: not both")
    paths = runs.live_runs(root)
    if not paths:
        err.line(f"no live runs in {root}")
    return paths
