"""The commands that manage runs: list, stop, delete. Each takes the arguments and the runs folder.

They are called often, from scripts too, in folders of thousands of runs: whatever is slow to import stays out.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui_gen import runs
from tui_gen.places import shown
from tui_gen.report import outlet as outlets
from tui_gen.report.lines import aligned
from tui_gen.report.outlet import coloured, terminal_width
from tui_gen.report.quantities import ago
from tui_gen.runs import RunInfo

STOP_TIMEOUT = 600.0
END_TIMEOUT = 60.0
STATE_COLOUR = {
    "starting": 33, "running": 32, "paused": 33, "stopping": 33, "finished": 34, "stopped": 35, "failed": 31,
    "interrupted": 31,
}  # fmt: skip


def list_runs(args: argparse.Namespace, root: Path) -> int:
    """`tui-gen runs`."""
    out, err = outlets.standard()
    rows = runs.list_runs(root)
    if args.json:
        out.json([msgspec.to_builtins(row) | {"live": row.live} for row in rows])
        return 0
    if not rows:
        err.line(f"no runs in {root}; start one with tui-gen --run {runs.DEFAULT}")
        return 0
    for line in runs_table(rows, colour=coloured(out), width=terminal_width(out)):
        out.drawn(line)
    return 0


def runs_table(rows: list[RunInfo], *, colour: bool, now: float | None = None, width: int = 0) -> list[str]:
    """The runs, newest first: state, place, what, when, directory."""
    now = time.time() if now is None else now
    table = [("STATE", "STEP", "MODEL", "DATASET", "CHANGED", "RUN")]
    for row in rows:
        total = f"/{row.steps}" if row.steps else ""
        host = f" on {row.host}" if row.live and row.reason.startswith("on ") else ""
        table.append(
            (
                row.state + host,
                f"{row.step}{total}",
                row.model,
                row.dataset,
                f"{ago(now - row.updated)} ago",
                os.path.basename(row.path),
            )
        )
    lines = aligned(table, width=width)
    if colour:
        for number, row in enumerate(rows, 1):
            code = STATE_COLOUR.get(row.state)
            if code:
                lines[number] = f"\x1b[{code}m{row.state}\x1b[0m" + lines[number][len(row.state) :]
    return lines


def stop(args: argparse.Namespace, root: Path) -> int:
    """`tui-gen stop`: 0 when every run named has ended."""
    from tui_gen import control

    out, err = outlets.standard()
    if args.all:
        if args.names:
            raise runs.RunError("name runs, or give --all: not both")
        paths = runs.live_runs(root)
        if not paths:
            err.line(f"no live runs in {root}")
    else:
        paths = [runs.find(root, name) for name in args.names or ["latest"]]
    status = 0
    for path in paths:
        try:
            what = _stop_one(path, not args.no_checkpoint, err)
            out.line(f"{path.name}: {what}")
        except control.ControlError as error:
            err.line(f"tui-gen: {path.name}: {error}")
            status = 1
    return status


def _stop_one(path: Path, checkpoint: bool, err: outlets.Outlet) -> str:
    """Stop a run and wait for its worker to end; what became of it. Raises ControlError."""
    from tui_gen import checkpoints, control, launch

    state, step, _ = runs.state_of(path)
    if state in runs.ENDED and not runs.live(path):  # one that is being resumed still has its last word
        raise control.ControlError(f"is not training: {state} at step {step}")

    def tell(words: str) -> None:
        err.line(f"{path.name} has not answered for {launch.SILENT:g} s: {words}. Still waiting; Ctrl-C ends only that")

    launch.stop(path, tell, checkpoint=checkpoint, timeout=STOP_TIMEOUT)
    deadline = time.monotonic() + END_TIMEOUT
    while runs.live(path) and time.monotonic() < deadline:
        time.sleep(0.02)
    state, step, _ = runs.state_of(path)
    made = step in checkpoints.steps(path)
    return f"{state} at step {step}" + (" with a checkpoint" if made else "")


def delete(args: argparse.Namespace, root: Path) -> int:
    """`tui-gen delete`: asks on a terminal, needs --yes elsewhere."""
    out, err = outlets.standard()
    paths = list(dict.fromkeys(runs.find_place(root, name).absolute() for name in args.names))
    if words := [one for path in paths if (one := runs.doubts(path))]:
        raise runs.RunError("\n".join(words))
    if not args.yes:
        if not sys.stdin.isatty():
            raise runs.RunError("deleting needs --yes where nobody can be asked")
        names = ", ".join(path.name for path in paths)
        out.text(f"delete {names} with all samples and checkpoints? [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            err.line("nothing deleted")
            return 1
    for path in paths:
        runs.delete(path)
        out.line(f"deleted {shown(path)}")
    return 0


RUN: dict[str, Callable[[argparse.Namespace, Path], int]] = {"runs": list_runs, "stop": stop, "delete": delete}
