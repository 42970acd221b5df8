"""`tui-gen attach`: a run, live or not, in the workbench on a terminal, as text elsewhere or where asked."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import runs
from tui_gen.report.commands.options import RUN, models_option, runs_option, style_options


def options(parser: argparse.ArgumentParser) -> None:
    """Which run, and how it is shown."""
    parser.add_argument("name", metavar="RUN", nargs="?", default="", help=RUN)
    style_options(parser)
    runs_option(parser)
    models_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Until the workbench is left, the run has ended or Ctrl-C. What the other way needs is not imported."""
    path = runs.find(root, args.name)
    if not (args.json or args.plain):
        from tui_gen.app import main

        if not main.refusal():
            return main.run_workbench(
                path.parent, args.model_dirs, path, graphics=args.graphics, theme=args.theme, budget=args.budget
            )
    from tui_gen.report import headless

    return headless.attach(path, headless.style_of(args))
