"""`tui-gen export`: every value of a run's metrics, in other formats."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import runs
from tui_gen.report import headless
from tui_gen.report.commands.options import RUN, runs_option
from tui_gen.report.exports import FORMATS, save


def options(parser: argparse.ArgumentParser) -> None:
    """Of which run, and in what format where to: an option for each of them."""
    parser.add_argument("name", metavar="RUN", nargs="?", default="", help=RUN)
    for form in FORMATS:
        parser.add_argument(f"--{form.name}", metavar="FILE", dest=f"as_{form.name}", help=form.help)
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Every format that is asked for, from one reading of the run; the first of all formats where none is."""
    view = headless.drained(runs.find(root, args.name), whole=True)
    requests = [(form, target) for form in FORMATS if (target := getattr(args, f"as_{form.name}")) is not None]
    for form, target in requests or [(FORMATS[0], "-")]:
        save(form, view, target)
    return 0
