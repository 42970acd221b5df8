"""`tui-gen runs`: the runs of a folder. It may hold thousands: whatever is slow to import stays out."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import msgspec

from tui_gen import runs
from tui_gen.lines import aligned
from tui_gen.progress import steps
from tui_gen.quantities import ago
from tui_gen.report import stdout
from tui_gen.report.commands.options import json_option, runs_option
from tui_gen.report.stdout import coloured, terminal_width
from tui_gen.runs import RunInfo
from tui_gen.states import ANSI, state_look


def options(parser: argparse.ArgumentParser) -> None:
    """As JSON, and where."""
    json_option(parser, "as a JSON array")
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """All there are, newest first."""
    out, err = stdout.standard()
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
        host = f" on {row.host}" if row.live and row.reason.startswith("on ") else ""
        table.append(
            (
                row.state + host,
                steps(row.step, row.steps),
                row.model,
                row.dataset,
                f"{ago(now - row.updated)} ago",
                os.path.basename(row.path),
            )
        )
    lines = aligned(table, width=width)
    if colour:
        for number, row in enumerate(rows, 1):
            code, _ = ANSI[state_look(row.state).tone]
            lines[number] = f"\x1b[{code}m{row.state}\x1b[0m" + lines[number][len(row.state) :]
    return lines
