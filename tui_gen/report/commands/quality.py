"""`tui-gen quality`: the samples of a checkpoint against real data."""

from __future__ import annotations

import argparse
import subprocess
from functools import partial
from pathlib import Path

import msgspec

from tui_gen import children, launch, quality, runs
from tui_gen.places import expanded
from tui_gen.report import consent, stdout
from tui_gen.report.commands.options import RUN, count, json_option, models_option, runs_option, seed, step
from tui_gen.report.summary import figures_lines

LEAST = 50
"""Samples: no figure means anything with fewer."""


def options(parser: argparse.ArgumentParser) -> None:
    """Of which run, with how many samples of which checkpoint."""
    parser.add_argument("name", metavar="RUN", nargs="?", default="", help=RUN)
    words = "how many are drawn (default: the run's quality.samples; FID needs 2000)"
    parser.add_argument("--samples", type=partial(count, least=LEAST), metavar="N", dest="count", help=words)
    parser.add_argument("--seed", type=seed, help="seed of their noise (default: the run's quality.seed)")
    parser.add_argument("--step", metavar="N", type=step, help="of the checkpoint at this step (default: the newest)")
    parser.add_argument("--device", default=argparse.SUPPRESS, help="auto, cpu, cuda, …")
    parser.add_argument("--root", metavar="DIR", default="", help="where the run's data is now, if it was moved")
    json_option(parser, "as a JSON object")
    models_option(parser)
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """PyTorch runs in a process of its own."""
    out, err = stdout.standard()
    path = runs.find(root, args.name)
    consent.ask_for_run(path, args.model_dirs, err)
    if args.step is None:
        launch.first_checkpoint(path)
    words: list[object] = [path]
    for option, value in (
        ("--samples", args.count), ("--seed", args.seed), ("--step", args.step), ("--device", args.device),
        ("--root", expanded(args.root).absolute() if args.root else ""),
    ):  # fmt: skip
        words += [option, value] if value not in (None, "") else []
    with children.start(
        "tui_gen.train.offline.quality", *words,
        env=launch.environment_beside(args.model_dirs),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
    ) as process:  # fmt: skip
        fault_lines: list[str] = []
        assert process.stderr is not None and process.stdout is not None  # as asked for: pipes
        for line in map(str.rstrip, process.stderr):
            if fault_lines or line.startswith(children.FAULT):
                fault_lines.append(line)
            elif line:
                err.line(line)
        text = process.stdout.read()
    if process.returncode:
        err.line(f"tui-gen: {children.fault(fault_lines) or 'nothing could be measured'}")
        return 1
    if args.json:
        out.json(msgspec.json.decode(text))
        return 0
    report = msgspec.json.decode(text, type=quality.Report)
    for line in figures_lines(report, out):
        out.drawn(line)
    return 0
