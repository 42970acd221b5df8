"""`tui-gen delete`: runs with all that is theirs, after a question."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tui_gen import runs
from tui_gen.places import shown
from tui_gen.report import stdout
from tui_gen.report.commands.options import PLACE, named, runs_option
from tui_gen.report.commands.runs import rows_of, where_option


def options(parser: argparse.ArgumentParser) -> None:
    """Which runs, and whether to ask."""
    parser.add_argument("names", metavar="RUN", type=named, nargs="*", help=PLACE)
    where_option(parser, "the runs that match (see tui-gen runs --where); those that train stay")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Asks on a terminal, needs --yes elsewhere."""
    out, err = stdout.standard()
    if not args.names and args.where is None:
        raise runs.RunError("say which runs: tui-gen delete RUN …, or --where EXPRESSION")
    names = [runs.find_place(root, name).absolute() for name in args.names]
    live: list[str] = []
    if args.where is not None:
        rows = rows_of(root, args.where)
        live = [row.folder for row in rows if row.info.live]
        names += [Path(row.info.path).absolute() for row in rows if not row.info.live]
    paths = list(dict.fromkeys(names))
    if live:
        err.line(f"these train, and stay: {', '.join(live)}")
    if not paths:
        err.line("nothing to delete")
        return 0
    if words := [doubt for path in paths if (doubt := runs.doubts(path))]:
        raise runs.RunError("\n".join(words))
    if not args.yes:
        if not sys.stdin.isatty():
            raise runs.RunError("deleting needs --yes where nobody can be asked")
        if len(paths) > 1:
            for path in paths:
                out.line(f"  {path.name}")
        what = f"these {len(paths)} runs" if len(paths) > 1 else paths[0].name
        out.text(f"delete {what} with all samples and checkpoints? [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            err.line("nothing deleted")
            return 1
    for path in paths:
        runs.delete(path)
        out.line(f"deleted {shown(path)}")
    return 0
