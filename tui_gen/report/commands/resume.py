"""`tui-gen resume`: many runs that ended go on, beside each other in the background, or one after another here."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import runs
from tui_gen.config import ConfigError
from tui_gen.report import follow, headless, stdout
from tui_gen.report.commands.options import RUN, models_option, named, runs_option, style_options
from tui_gen.report.commands.runs import rows_of, where_option

GO_ON = (follow.FINISHED, follow.FAILED)
"""How a run may end for the next one to begin: whoever stops one means all of them."""


def options(parser: argparse.ArgumentParser) -> None:
    """Which runs, and how."""
    parser.add_argument("names", metavar="RUN", type=named, nargs="*", help=RUN)
    where_option(parser, "those of the runs that match (see tui-gen runs --where) that were stopped, failed or died")
    words = "one after another, each shown here to its end; Ctrl-C stops the one at hand, and leaves the rest"
    parser.add_argument("--in-turn", action="store_true", help=words)
    style_options(parser)
    models_option(parser)
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """0 when every run goes on, or with --in-turn has ended well; what cannot is told, and the others go on."""
    _, err = stdout.standard()
    paths = [runs.find(root, name) for name in args.names or ([] if args.where is not None else ["latest"])]
    if args.where is not None:
        paths += [Path(row.info.path) for row in rows_of(root, args.where) if row.info.state in runs.RESUMABLE]
    paths = list(dict.fromkeys(path.absolute() for path in paths))
    if not paths:
        err.line("nothing to resume")
    style, worst = headless.style_of(args), 0
    for path in paths:
        try:
            if runs.state_of(path)[0] == "finished":
                raise runs.RunError(f"{path.name} has finished; tui-gen --resume with --set train.steps=… trains on")
            status = headless.resume(path, [], style, model_dirs=args.model_dirs, detach=not args.in_turn)
        except (runs.RunError, ConfigError) as error:
            err.line(f"tui-gen: {error}")
            status = follow.FAILED if len(paths) > 1 else 2
        worst = worst or status
        if args.in_turn and status not in (*GO_ON, 2):
            return status
    return worst
