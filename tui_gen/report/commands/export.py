"""`tui-gen export`: every value of a run's metrics."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from tui_gen import files, runs
from tui_gen.report import headless
from tui_gen.report.commands.options import RUN, runs_option
from tui_gen.report.rows import rows


def options(parser: argparse.ArgumentParser) -> None:
    """Of which run, and where to."""
    parser.add_argument("name", metavar="RUN", nargs="?", default="", help=RUN)
    parser.add_argument("--csv", metavar="FILE", default="-", help="the file to write (default: standard output)")
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """A row a step, a column a metric; empty where a metric has no value."""
    found = rows(headless.drained(runs.find(root, args.name), whole=True))
    if args.csv == "-":
        try:
            csv.writer(sys.stdout, lineterminator="\n").writerows(found)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise runs.RunError(f"cannot write to standard output: {error.strerror or error}") from None
        return 0
    try:
        with files.written_whole(args.csv) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(found)
    except OSError as error:
        raise runs.RunError(f"cannot write {args.csv}: {error.strerror or error}") from None
    return 0
