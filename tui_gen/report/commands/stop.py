"""`tui-gen stop`: end live runs. Called from scripts, in folders of thousands of runs: imports nothing slow."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tui_gen import checkpoints, control, launch, runs
from tui_gen.quantities import count, span
from tui_gen.report import stdout
from tui_gen.report.commands.live import live_option, live_paths
from tui_gen.report.commands.options import runs_option

STOP_TIMEOUT = 600.0
END_TIMEOUT = 60.0


def options(parser: argparse.ArgumentParser) -> None:
    """Which runs, and how."""
    live_option(parser)
    parser.add_argument("--no-checkpoint", action="store_true", help="without a checkpoint")
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """0 when every run named has ended, 1 otherwise."""
    out, err = stdout.standard()
    status = 0
    for path in live_paths(args, root, err):
        try:
            what = _stop_one(path, not args.no_checkpoint, err)
            out.line(f"{path.name}: {what}")
        except control.ControlError as error:
            err.line(f"tui-gen: {path.name}: {error}")
            status = 1
    return status


def _stop_one(path: Path, checkpoint: bool, err: stdout.Outlet) -> str:
    """Stop a run and wait for its worker to end; what became of it. Raises ControlError."""
    state, step, _ = runs.state_of(path)
    if state in runs.ENDED and not runs.live(path):  # one that is being resumed still has its last word
        raise control.ControlError(f"is not training: {state} at step {count(step)}")

    if words := launch.out_of_reach(path):
        err.line(f"{path.name} trains {words}")

    def tell(words: str) -> None:
        silence = span(launch.SILENT)
        err.line(f"{path.name} has not answered for {silence}: {words}. Still waiting; Ctrl-C ends only that")

    launch.stop(path, tell, checkpoint=checkpoint, timeout=STOP_TIMEOUT)
    deadline = time.monotonic() + END_TIMEOUT
    while runs.live(path) and time.monotonic() < deadline:
        time.sleep(0.02)
    state, step, _ = runs.state_of(path)
    has_checkpoint = step in checkpoints.steps(path)
    return f"{state} at step {count(step)}" + (" with a checkpoint" if has_checkpoint else "")
