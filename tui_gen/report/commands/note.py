"""`tui-gen note`: keep a note about a run, one of its steps or one of its samples; without words, what was noted."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tui_gen import remarks, runs
from tui_gen.history.run_details import notes_of
from tui_gen.report import stdout
from tui_gen.report.commands.options import PLACE, count, named, runs_option, step


def options(parser: argparse.ArgumentParser) -> None:
    """Which run, the words, and what they are about."""
    parser.add_argument("name", metavar="RUN", type=named, help=PLACE)
    parser.add_argument("text", metavar="TEXT", nargs="*", help="the words; none lists the notes")
    about = parser.add_mutually_exclusive_group()
    about.add_argument("--step", metavar="N", type=step, help="the note is about this step")
    about.add_argument("--sample", metavar="PATH", default="", help="it is about this sample of the run")
    about.add_argument("--remove", metavar="NUMBER", type=count, help="remove the note of this number instead")
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Also while the run trains."""
    out, err = stdout.standard()
    path = runs.find(root, args.name)
    if args.remove is not None:
        if args.text:
            raise remarks.RemarkError("--remove takes no words")
        remarks.remove_note(path, args.remove)
        out.line(f"removed note {args.remove} of {path.name}")
        return 0
    if not args.text:
        lines = notes_of(remarks.of(path))
        for line in lines[1:]:
            out.line(line)
        if not lines:
            err.line(f"no notes on {path.name}; tui-gen note {args.name} TEXT makes one")
        return 0
    if args.step is not None and args.step > (reached := runs.state_of(path)[1]):
        raise remarks.RemarkError(f"there is no step {args.step:,} in {path.name}: it came to {reached:,}")
    own = remarks.note(path, " ".join(args.text), args.step, _in_run(path, args.sample))
    out.line(f"note {len(own.notes)} of {path.name}")
    return 0


def _in_run(path: Path, sample: str) -> str:
    """A sample as the run names it, whether it is named from the run's folder or from here."""
    if not sample or (os.path.isfile(path / sample) and not os.path.isabs(sample)):
        return sample
    within = os.path.relpath(os.path.realpath(sample), os.path.realpath(path))
    return sample if within.startswith("..") else within
