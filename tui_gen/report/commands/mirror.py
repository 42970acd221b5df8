"""`tui-gen mirror`: what `tui-gen watch` starts at the other end of an ssh link. Nothing for people to call."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tui_gen.places import expanded
from tui_gen.report.commands.options import runs_option
from tui_gen.runs import RunError


def options(parser: argparse.ArgumentParser) -> None:
    """Which folder, and how the other side is reached: there is one way."""
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default="", help="the folder of runs")
    parser.add_argument("--stdio", action="store_true", help="talk through standard input and output")
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Until the link is over."""
    if not args.stdio or sys.stdin.isatty():
        raise RunError("tui-gen watch HOST:FOLDER starts this on the other machine by itself; there is no other use")
    from tui_gen.remote import serving

    return serving.serve(expanded(args.folder) if args.folder else root, given=bool(args.folder or args.runs))
