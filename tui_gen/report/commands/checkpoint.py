"""`tui-gen checkpoint`: have live runs make a checkpoint now. Imports nothing slow."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import control, launch, runs
from tui_gen.quantities import count
from tui_gen.report import stdout
from tui_gen.report.commands.options import RUN, named, runs_option


def options(parser: argparse.ArgumentParser) -> None:
    """Of which runs."""
    parser.add_argument("names", metavar="RUN", type=named, nargs="*", help=RUN)
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """0 when every run named has one of its present step, 1 otherwise."""
    out, err = stdout.standard()
    status = 0
    for path in [runs.find(root, name) for name in args.names or ["latest"]]:
        if words := launch.out_of_reach(path):
            err.line(f"{path.name} trains {words}")
        try:
            reply = launch.ask_run(path, "checkpoint", timeout=launch.CHECKPOINT)
            out.line(f"{path.name}: a checkpoint at step {count(int(reply.data.get('step', 0)))}")
        except control.ControlError as error:
            err.line(f"tui-gen: {path.name}: {error}")
            status = 1
    return status
