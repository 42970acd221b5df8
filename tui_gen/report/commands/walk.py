"""`tui-gen walk`: a way through a run's latent space, as a GIF."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from tui_gen import children, launch, runs
from tui_gen.places import expanded, shown
from tui_gen.report import consent, stdout
from tui_gen.report.commands.options import PLACE, count, file_of, models_option, named, runs_option, seed, step


def options(parser: argparse.ArgumentParser) -> None:
    """Of which run, through what, and where to."""
    parser.add_argument("name", metavar="RUN", type=named, help=f"{PLACE}; latest is the newest run")
    words = "the GIF to write (default: walk.gif)"
    parser.add_argument("-o", "--output", metavar="FILE", type=file_of(".gif"), default="walk.gif", help=words)
    words = "random places to walk through (default: 4)"
    parser.add_argument("--pins", type=partial(count, least=2), default=4, metavar="N", help=words)
    words = "walk through the codes of these examples of the data instead, by number"
    parser.add_argument("--examples", type=partial(count, least=0), nargs="+", default=[], metavar="I", help=words)
    parser.add_argument("--frames", type=count, default=24, metavar="N", help="from one to the next (default: 24)")
    words = "along the arc between them (default), or straight"
    parser.add_argument("--way", choices=("slerp", "lerp"), default="slerp", help=words)
    parser.add_argument("--seed", type=seed, default=0, help="seed of the random places (default: 0)")
    parser.add_argument("--step", metavar="N", type=step, help="of the checkpoint at this step (default: the newest)")
    parser.add_argument("--label", help="of this class, for conditional models")
    models_option(parser)
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """PyTorch runs in a process of its own."""
    out, err = stdout.standard()
    path = runs.find(root, args.name)
    consent.ask_for_run(path, args.model_dirs, err)
    if args.step is None:
        launch.first_checkpoint(path)
    target = expanded(args.output).absolute()
    words: list[object] = [path, "-o", target, "--pins", args.pins, "--frames", args.frames, "--way", args.way]
    words += ["--seed", args.seed, *(["--examples", *args.examples] if args.examples else [])]
    for option, value in (("--step", args.step), ("--label", args.label)):
        words += [option, value] if value not in (None, "") else []
    process = children.run(
        "tui_gen.train.offline.explore.walk", *words,
        env=launch.environment_beside(args.model_dirs), capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    if process.returncode:
        err.line(f"tui-gen: {children.fault(process.stderr.strip().splitlines()) or 'no walk was made'}")
        return 1
    out.line(shown(target))
    return 0
