"""`tui-gen star`: mark the runs that matter."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import remarks, runs
from tui_gen.report import stdout
from tui_gen.report.commands.options import PLACE, named, runs_option


def options(parser: argparse.ArgumentParser) -> None:
    """Which runs, and whether to take it away."""
    parser.add_argument("names", metavar="RUN", type=named, nargs="+", help=PLACE)
    parser.add_argument("--off", action="store_true", help="take the star away")
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Also while they train."""
    out, _ = stdout.standard()
    for path in [runs.find(root, name) for name in args.names]:
        remarks.star(path, not args.off)
        out.line(f"{path.name} has {'no' if args.off else 'a'} star")
    return 0
