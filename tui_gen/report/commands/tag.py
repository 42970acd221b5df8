"""`tui-gen tag`: words to find runs by."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import remarks, runs
from tui_gen.places import expanded
from tui_gen.report import stdout
from tui_gen.report.commands.options import PLACE, named, runs_option


def options(parser: argparse.ArgumentParser) -> None:
    """Which run, and which tags."""
    runs_option(parser)
    parser.add_argument("name", metavar="RUN", type=named, help=PLACE)
    words = "+TAG (or TAG) gives it a tag, -TAG takes one away; none lists them"
    parser.add_argument("tags", metavar="[+|-]TAG", nargs=argparse.REMAINDER, help=words)


def run(args: argparse.Namespace, root: Path) -> int:
    """Also while the run trains."""
    out, _ = stdout.standard()
    words = list(args.tags)
    if "--runs" in words[:-1]:  # what begins with a dash is a tag here, but not this
        place = words.index("--runs")
        root = expanded(words[place + 1])
        del words[place : place + 2]
    path = runs.find(root, args.name)
    add = [word.removeprefix("+") for word in words if not word.startswith("-")]
    remove = [word[1:] for word in words if word.startswith("-")]
    if words:
        remarks.tag(path, add, remove)
    out.line(f"{path.name}: {' '.join(runs.info_of(path).tags) or 'no tags'}")
    return 0
