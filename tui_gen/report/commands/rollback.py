"""`tui-gen rollback`: go back to an earlier checkpoint, with smaller learning rates or past a batch, and go on."""

from __future__ import annotations

import argparse
from pathlib import Path

from tui_gen import config as configs
from tui_gen import launch, rollbacks, runs
from tui_gen.quantities import count
from tui_gen.report import headless, stdout
from tui_gen.report.commands.options import RUN, models_option, runs_option, step, style_options

ANSWER = 300.0
"""Seconds that a live run may take to go back: it reads a checkpoint, and finishes its step first."""


def options(parser: argparse.ArgumentParser) -> None:
    """Which run, and to where."""
    parser.add_argument("name", metavar="RUN", nargs="?", default="", help=RUN)
    words = "the checkpoint's step (default: the newest from before the latest alert)"
    parser.add_argument("--to", metavar="STEP", type=step, help=words)
    words = "multiply the learning rates by this (default: 0.5, or 0.1 after a loss that broke early; 1: as they were)"
    parser.add_argument("--rate", metavar="FACTOR", type=_factor, help=words)
    words = "pass over the batch that comes after this step; without a step, that of the latest alert"
    parser.add_argument("--skip", metavar="STEP", type=step, nargs="?", const=True, help=words)
    parser.add_argument("--detach", action="store_true", default=argparse.SUPPRESS, help="do not follow it then")
    style_options(parser)
    models_option(parser)
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """A live run goes back by itself, and on; one that has ended is resumed from there, as `--resume` does it."""
    out, _ = stdout.standard()
    path = runs.find(root, args.name)
    detach = getattr(args, "detach", False)
    if runs.live(path):
        if args.to is None:
            launch.first_checkpoint(path)
        fields = {"to": args.to, "rate": args.rate, "skip": args.skip}
        reply = launch.ask_run(path, "rollback", timeout=ANSWER, **fields).data
        out.line(_told(path, int(reply.get("was", 0)), int(reply.get("step", 0)), str(reply.get("change", ""))))
        return 0

    def first() -> None:
        _, err = stdout.standard()
        catalog = headless.ensured(list(dict.fromkeys([*args.model_dirs, *headless.named_dirs(str(path))])), err)
        config = configs.load(configs.read_toml(path / "config.toml"), catalog, path.name)
        event = rollbacks.go_back(path, config, to=args.to, factor=args.rate, skip=args.skip)
        if not args.json:
            out.line(_told(path, event.step, event.to, event.change))

    style = headless.style_of(args)
    return headless.resume(path, [], style, model_dirs=args.model_dirs, detach=detach, first=first)


def _told(path: Path, was: int, to: int, change: str) -> str:
    return f"{path.name} went back from step {count(was)} to {count(to)}: {change or 'as it was'}"


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a factor, 0 < x ≤ 1")
    return value
