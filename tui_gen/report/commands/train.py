"""`tui-gen train CONFIG` is `tui-gen --run CONFIG`, as a command: for launchers that take `--run` for their own option.

Where torchrun or srun starts it once a process, rank 0 trains the run, and each other becomes a worker that follows it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tui_gen import world
from tui_gen.report.commands.options import models_option, runs_option, style_options, training_options

if TYPE_CHECKING:
    from tui_gen.launch import WarmWorker

LAST = 10.0
"""Seconds that rank 0 has to say what is wrong with a config before another one ends for that, too."""


def options(parser: argparse.ArgumentParser) -> None:
    """All that `--run` takes."""
    parser.add_argument("source", metavar="CONFIG|RECIPE", help="a TOML file, a recipe, or another run's config")
    training_options(parser)
    style_options(parser)
    runs_option(parser)
    models_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """Train as `--run` and `--resume` have it; the exit status. Raises ConfigError and RunError."""
    if place := _place(args):
        if place.rank:
            _follow(args, place)
        world.hand_over(_listening(place))
        args.processes = place.count
    if args.notify:
        from tui_gen.notify.wishes import VARIABLE

        os.environ[VARIABLE] = args.notify  # for the workers that this starts
    if args.resume is not None or args.run_name:  # perhaps there is a run already, which has a worker or needs none
        return _trained(args, root, None)
    from tui_gen import launch

    warm = launch.WarmWorker(polite=False, model_dirs=args.model_dirs)
    try:
        with contextlib.suppress(OSError):  # told where one is needed for good
            warm.spawn()  # first of all: what it loads takes longer than all that is done here meanwhile
        return _trained(args, root, warm)
    finally:
        warm.close()


def _trained(args: argparse.Namespace, root: Path, warm: WarmWorker | None) -> int:
    from tui_gen import runs
    from tui_gen.report import headless

    several = [f"train.processes={args.processes}"] if args.processes else []
    style = headless.style_of(args)
    if args.resume is not None:
        path = runs.find(root, args.resume)
        return headless.resume(
            path, [*args.assignments, *several], style,
            device=args.device, model_dirs=args.model_dirs, detach=args.detach,
        )  # fmt: skip
    from tui_gen.report import named, restarted

    assignments = [*args.assignments, *several, *([f"train.device={args.device}"] if args.device else [])]
    if args.run_name:
        named.check(args.run_name)
        run_path = named.begun(root, args.run_name, args.resume_if_begun)
    else:
        run_path = restarted.begun(root, args.run, assignments, args.model_dirs)
    if run_path is not None:
        return named.go_on(
            run_path, args.run, args.assignments, style,
            device=args.device, dirs=args.model_dirs, detach=args.detach, processes=args.processes,
        )  # fmt: skip
    replay = runs.find(root, args.replay_edits) if args.replay_edits else None
    return headless.train(
        args.run, assignments, root, style,
        model_dirs=args.model_dirs, detach=args.detach, folder=args.run_name or "", replay=replay, warm=warm,
    )  # fmt: skip


def _place(args: argparse.Namespace) -> world.World | None:
    """Where this process stands among those that a launcher started; None where none did. Raises ConfigError."""
    from tui_gen.config import ConfigError
    from tui_gen.params import Problem

    try:
        place = world.from_env()
    except world.WorldError as error:
        raise ConfigError("the environment", [Problem("launcher", None, str(error))]) from None
    if place is not None and args.processes not in (0, place.count):
        words = f"{place.launcher} started {place.count} processes"
        raise ConfigError("command line", [Problem("--processes", args.processes, words, "leave it away")])
    if place is not None and args.detach:
        words = f"{place.launcher} ends what it started when this command returns"
        raise ConfigError("command line", [Problem("--detach", None, words, "leave it away")])
    return place


def _listening(place: world.World) -> world.World:
    """Rank 0, there for the others. Raises RunError."""
    from tui_gen import runs

    try:
        return world.listening(place)
    except world.WorldError as error:
        raise runs.RunError(str(error)) from None


def _follow(args: argparse.Namespace, place: world.World) -> NoReturn:
    """Become the worker of a rank that is not the first: it does what rank 0 says, which makes the run.

    A config that has something wrong is told by rank 0; this one only ends as well. Raises RunError.
    """
    from tui_gen import catalog as catalogs
    from tui_gen import children, launch, runs
    from tui_gen.config import ConfigError
    from tui_gen.report import headless

    if args.run is not None:
        try:
            dirs = [*args.model_dirs, *headless.named_dirs(args.run)]
            catalogs.resolve(args.run, catalogs.read(dirs), [*args.assignments, f"train.processes={place.count}"])
        except ConfigError:
            if place.launcher == world.TORCHRUN:  # at the first that ends it ends all, and rank 0 may have yet to speak
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                time.sleep(LAST)
            raise runs.RunError(f"rank {place.rank} ends: rank 0 says what is wrong with the config") from None
    world.hand_over(place)
    signal.pthread_sigmask(signal.SIG_BLOCK, launch.STOPPING)  # until it can hand them on
    children.become("tui_gen.train.run", "--world", env=launch.environment(args.model_dirs))
