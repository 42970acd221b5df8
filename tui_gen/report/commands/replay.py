"""`tui-gen replay`: a recorded run as if it were live: in the workbench on a terminal, as text where that is asked."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import runs
from tui_gen.report.commands.options import RUN, models_option, runs_option, step, style_options
from tui_gen.speeds import FASTEST, SLOWEST, USUAL, Pace


def options(parser: argparse.ArgumentParser) -> None:
    """Which run, how fast, from where to where, and how it is shown."""
    parser.add_argument("name", metavar="RUN", nargs="?", default="", help=RUN)
    words = "how many times as fast as it was (default: 20)"
    parser.add_argument("--speed", metavar="TIMES", type=speed, default=USUAL.speed, help=words)
    words = "begin at this step; what came before is there at once"
    parser.add_argument("--from", metavar="STEP", dest="first", type=step, default=0, help=words)
    parser.add_argument("--to", metavar="STEP", dest="last", type=step, help="end after this step")
    style_options(parser)
    runs_option(parser)
    models_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Until it is over, the workbench is left or Ctrl-C comes. The run is only read."""
    if args.last is not None and args.last <= args.first:
        raise runs.RunError(f"--to {args.last} comes before --from {args.first}: nothing would be played")
    path = runs.find(root, args.name)
    pace = Pace(args.speed, args.first, args.last)
    if not (args.json or args.plain):
        from tui_gen.app import main

        if not main.refusal():
            return main.run_workbench(
                path.parent, args.model_dirs, path,
                replay=pace, graphics=args.graphics, theme=args.theme, budget=args.budget,
            )  # fmt: skip
    from tui_gen.report import headless, replaying

    return replaying.replay(path, pace, headless.style_of(args))


def speed(text: str) -> float:
    """A number of times, with or without an x after it."""
    try:
        value = float(text.strip().removesuffix("x").removesuffix("×"))
    except ValueError:
        value = -1.0
    if not SLOWEST <= value <= FASTEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a speed from {SLOWEST:g} to {FASTEST:g}, such as 20")
    return value
