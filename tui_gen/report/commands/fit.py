"""`tui-gen fit`: real steps of a config with more and more examples at once, and the settings that fit the memory."""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import msgspec

from tui_gen import children, launch
from tui_gen import config as configs
from tui_gen.quantities import count, size
from tui_gen.report import consent, headless, stdout
from tui_gen.report.commands.options import json_option, models_option, named, runs_option
from tui_gen.verdicts.fitting import FitReply, FitRequest, largest, parts
from tui_gen.verdicts.network import SAFE


def options(parser: argparse.ArgumentParser) -> None:
    """Of which config."""
    parser.add_argument("source", metavar="CONFIG|RECIPE", type=named, help="a TOML file, a recipe, or a run")
    words = "set one value, as with --run: --set train.batch_size=512"
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], dest="assignments", help=words)
    json_option(parser, "as JSON")
    models_option(parser)
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """PyTorch runs in a process of its own; 1 where nothing fits, or nothing can be told."""
    out, err = stdout.standard()
    own = headless.named_dirs(args.source)
    consent.ask(set(own).difference(args.model_dirs), args.source, err)
    dirs = [*args.model_dirs, *own]
    config = headless.resolve(args.source, args.assignments, dirs, root, err)
    batch = config.train.batch_size
    err.line(f"trying real steps with up to {count(batch)} examples at once…")
    found = tried(config, dirs)
    if found.words:
        err.line(f"tui-gen: {found.words}")
        return 1
    best = parts(found, batch)
    if args.json:
        fits = {"batch_size": batch, "accumulate": best or None, "largest": largest(found)}
        out.json({**msgspec.to_builtins(found), **fits})
        return int(not best)
    for attempt in found.tries:
        amount = f"{size(attempt.peak)} of {size(found.room)}" if attempt.peak else "out of memory"
        fitting = "" if attempt.peak and attempt.peak <= SAFE * found.room else "  too much"
        out.line(f"{count(attempt.size):>8} at once  {amount} ({found.device}){fitting}")
    if not best:
        out.line("nothing fits: take a smaller model, smaller images or another device")
        return 1
    words = f"{count(batch)} examples fit at once" if best == 1 else f"{count(batch)} fit in {count(best)} parts"
    out.line(f"{words}, within {SAFE:.0%} of the memory: --set train.accumulate={best}")
    return 0


def tried(config: configs.RunConfig, dirs: list[str]) -> FitReply:
    """What a process with PyTorch found."""
    request = msgspec.json.encode(FitRequest(configs.to_tables(config)))
    try:
        done = children.run(
            "tui_gen.train.offline.fit", env=launch.environment_beside(dirs), input=request, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        return msgspec.json.decode(done.stdout, type=FitReply)
    except OSError as error:
        return FitReply(words=f"PyTorch cannot be started: {error.strerror or error}")
    except (msgspec.DecodeError, msgspec.ValidationError):
        if done.returncode < 0:
            words = f"the process was ended by signal {-done.returncode}: there is too little memory, perhaps"
        else:
            words = children.fault(done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:])
        return FitReply(words=words or "the process that tried it ended without a word")
