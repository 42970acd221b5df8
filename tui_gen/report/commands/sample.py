"""`tui-gen sample`: a grid, or texts, from a checkpoint."""

from __future__ import annotations

import argparse
import contextlib
import io
from pathlib import Path

from tui_gen import children, launch, runs
from tui_gen.places import expanded, shown
from tui_gen.report import consent, stdout
from tui_gen.report.commands.options import (
    PLACE,
    count,
    file_of,
    graphics_option,
    models_option,
    named,
    runs_option,
    seed,
    step,
)
from tui_gen.report.stdout import coloured, unicode_ok, width_of
from tui_gen.report.summary import grid_text, text_lines


def options(parser: argparse.ArgumentParser) -> None:
    """Of which run, how many, and where to."""
    parser.add_argument("name", metavar="RUN", type=named, help=f"{PLACE}; latest is the newest run")
    parser.add_argument("-n", type=count, default=64, metavar="N", dest="count", help="how many (default: 64)")
    words = "the PNG to write (default: grid.png; text goes to a .txt)"
    kind = file_of(".png", ".txt")
    parser.add_argument("-o", "--output", metavar="FILE", type=kind, default="grid.png", help=words)
    parser.add_argument("--seed", type=seed, default=0, help="seed of the noise (default: 0)")
    parser.add_argument("--step", metavar="N", type=step, help="of the checkpoint at this step (default: the newest)")
    parser.add_argument("--label", help="of this class only, for conditional models")
    parser.add_argument("--device", default=argparse.SUPPRESS, help="auto, cpu, cuda, …")
    graphics_option(parser, "how the grid is shown here")
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
    words: list[object] = [path, "-n", args.count, "-o", target, "--seed", args.seed]
    for option, value in (("--step", args.step), ("--label", args.label), ("--device", args.device)):
        words += [option, value] if value not in (None, "") else []
    descriptors: tuple[int, ...] = ()
    if err.isatty():
        with contextlib.suppress(io.UnsupportedOperation):  # one that is none of the system's
            descriptors = (err.fileno(),)
            words += ["--progress", *descriptors]
    process = children.run(
        "tui_gen.train.offline.sample", *words, pass_fds=descriptors,
        env=launch.environment_beside(args.model_dirs), capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    messages = process.stderr.strip().splitlines()
    for line in messages:
        if line.startswith("warning: "):  # of ours: libraries have words of their own for it
            err.line(line)
    if process.returncode:
        err.line(f"tui-gen: {children.fault(messages) or 'no samples were made'}")
        return 1
    if not process.stdout.rstrip("\n").endswith(target.name):
        target = target.with_suffix(".txt")  # text, not the picture that the name promised
    if target.suffix == ".txt":
        for line in text_lines(target):
            out.line(line)
    elif args.graphics != "off":
        ascii = args.graphics == "ascii" or not coloured(out) or not unicode_ok(out)
        if out.isatty():
            out.drawn(grid_text(target, min(width_of(out), 100), ascii=ascii))
    out.line(shown(target))
    return 0
