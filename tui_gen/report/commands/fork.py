"""`tui-gen fork`: a new run that goes on from a step of another, live or not, with settings of its own."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from tui_gen import config as configs
from tui_gen import forking, launch, runs
from tui_gen.places import shown
from tui_gen.quantities import count
from tui_gen.report import consent, headless, named, stdout
from tui_gen.report.commands.options import RUN, models_option, runs_option, step, style_options
from tui_gen.report.commands.options import named as a_name
from tui_gen.report.plain import JsonDisplay
from tui_gen.signals import Signals
from tui_gen.view import RunView


def options(parser: argparse.ArgumentParser) -> None:
    """Of which run, from where, and what is to be different."""
    parser.add_argument("run_to_fork", metavar="RUN", nargs="?", default="", help=RUN)
    words = "from which step (default: the newest checkpoint); without a checkpoint there, from the one before it"
    parser.add_argument("--step", metavar="N", type=step, help=words)
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=argparse.SUPPRESS, dest="assignments",
        help="set one value from that step on, as often as needed",
    )  # fmt: skip
    words = "do not make again what was edited in the other run after that step"
    parser.add_argument("--without-edits", action="store_true", help=words)
    parser.add_argument("--name", metavar="NAME", type=a_name, dest="folder", help="the folder of the new run")
    parser.add_argument("--device", default=argparse.SUPPRESS, help="the same as --set train.device=…")
    parser.add_argument("--detach", action="store_true", default=argparse.SUPPRESS, help="start it and return")
    words = "only make the new run, do not start it: tui-gen --resume does"
    parser.add_argument("--no-start", action="store_true", help=words)
    style_options(parser)
    runs_option(parser)
    models_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Make the fork and train it; the exit status of that. Raises ConfigError and RunError with nothing made."""
    out, err = stdout.standard()
    style = headless.style_of(args)
    parent = runs.find(root, args.run_to_fork)
    if args.folder:
        named.check(args.folder)
        if os.path.lexists(root / args.folder):
            raise runs.RunError(f"{root / args.folder} is there already; choose another --name")
    headless.tell_of_job(err, args.detach)
    dirs = headless.named_dirs(str(parent))
    consent.ask(set(dirs).difference(args.model_dirs), parent.name, err)
    catalog = headless.ensured(list(dict.fromkeys([*args.model_dirs, *dirs])), err)
    runs.refuse_unwritable(root)
    if args.step is None:
        launch.first_checkpoint(parent)
    place = forking.place_of(parent, args.step)
    assignments = [*args.assignments, *([f"train.device={args.device}"] if args.device else [])]
    tables = configs.override(forking.settings_at(parent, place.step, catalog), assignments, catalog)
    if not any(assignment.partition("=")[0].strip() == "name" for assignment in assignments):
        tables["name"] = forking.name_at(tables["name"] or tables["model"]["name"], place.step)
    fork = forking.planned(place, tables, catalog, later=not args.without_edits)
    if not fork.fits:
        refuse_misfits(place, fork, args.model_dirs)
    path = forking.make(place, fork, root, catalog, args.folder or "")
    for words in fork.warnings:
        err.line(f"warning: {words}")
    if not style.json:
        out.line(f"forked {parent.name} at step {count(place.step)}, {place.words}")
        out.line(f"  new run  {shown(path)}")
    if args.no_start:
        if style.json:
            JsonDisplay(out).open(RunView.read(path))
        else:
            out.line(f"  start    tui-gen --resume {shlex.quote(shown(path))}")
        return 0
    return headless.resume(path, [], style, model_dirs=args.model_dirs, detach=args.detach)


def refuse_misfits(place: forking.ForkPoint, fork: forking.ForkPlan, dirs: list[str]) -> None:
    """Raise ConfigError where the model has something against the settings, or the weights do not fit it."""
    warm = launch.WarmWorker(polite=False, model_dirs=dirs)
    try:
        warm.spawn()
        with Signals() as signals:
            problems = headless.asked(warm, configs.to_tables(fork.config), signals, place.weights)
    finally:
        warm.close()
    if problems:
        raise configs.ConfigError(f"a fork of {place.run.name}", problems)
