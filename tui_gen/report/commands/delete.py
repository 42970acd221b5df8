"""`tui-gen delete`: runs with all that is theirs, after a question."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tui_gen import runs
from tui_gen.places import shown
from tui_gen.report import stdout
from tui_gen.report.commands.options import PLACE, named, runs_option


def options(parser: argparse.ArgumentParser) -> None:
    """Which runs, and whether to ask."""
    parser.add_argument("names", metavar="RUN", type=named, nargs="+", help=PLACE)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Asks on a terminal, needs --yes elsewhere."""
    out, err = stdout.standard()
    paths = list(dict.fromkeys(runs.find_place(root, name).absolute() for name in args.names))
    if words := [doubt for path in paths if (doubt := runs.doubts(path))]:
        raise runs.RunError("\n".join(words))
    if not args.yes:
        if not sys.stdin.isatty():
            raise runs.RunError("deleting needs --yes where nobody can be asked")
        names = ", ".join(path.name for path in paths)
        out.text(f"delete {names} with all samples and checkpoints? [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            err.line("nothing deleted")
            return 1
    for path in paths:
        runs.delete(path)
        out.line(f"deleted {shown(path)}")
    return 0
