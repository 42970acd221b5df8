"""`tui-gen yield`: pause runs and give their GPU back, their state in host memory; `--back` has them go on."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import control, launch
from tui_gen.quantities import count
from tui_gen.report import stdout
from tui_gen.report.commands.live import live_option, live_paths
from tui_gen.report.commands.options import runs_option

ANSWER = 300.0
"""Seconds that it may take: a step is finished first, and gigabytes are copied."""


def options(parser: argparse.ArgumentParser) -> None:
    """Which runs, and whether they go on."""
    live_option(parser)
    parser.add_argument("--back", action="store_true", help="take the GPU back and go on")
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """0 when every run named has done it, 1 otherwise."""
    out, err = stdout.standard()
    status = 0
    for path in live_paths(args, root, err):
        try:
            reply = launch.ask_run(path, "resume" if args.back else "yield", timeout=ANSWER).data
            step = count(int(reply.get("step", 0)))
            words = f"goes on at step {step}" if args.back else f"paused at step {step}, {reply.get('words', '')}"
            out.line(f"{path.name}: {words}")
        except control.ControlError as error:
            err.line(f"tui-gen: {error}")
            status = 1
    return status
