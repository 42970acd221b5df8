"""`tui-gen runs`: the runs of a folder, or all about one. It may hold thousands: what is slow to import stays out."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from tui_gen import runs
from tui_gen.history.run_facts import FACTS, NEED_SUMMARY, RunRow, ordered, proof_of, text_of
from tui_gen.history.run_filter import RunFilter
from tui_gen.history.run_settings import RunSettings
from tui_gen.history.run_summary import NOTHING, Summaries
from tui_gen.lines import aligned
from tui_gen.params import nearest
from tui_gen.progress import steps
from tui_gen.quantities import ago
from tui_gen.report import stdout
from tui_gen.report.commands.options import PLACE, OptionTaker, json_option, runs_option
from tui_gen.report.stdout import coloured, terminal_width
from tui_gen.runs import RunInfo
from tui_gen.states import ANSI, state_look

LONG = (
    "star", "state", "step", "model", "dataset", "metric", "best", "best_step", "course", "exact", "tag", "notes",
    "idle", "run",
)  # fmt: skip
"""The columns of the long table."""
RARE = ("star", "exact", "tag", "notes")
"""Those that are left out where they would be empty."""
MANY = 20
"""Logs from which it is said that they are being read."""


def options(parser: argparse.ArgumentParser) -> None:
    """Which runs, in which order, how much of each, and where."""
    parser.add_argument("name", metavar="RUN", nargs="?", default="", help=f"all about one run: {PLACE}")
    where_option(parser, "only runs that match: 'model:vae lr<1e-3 state:finished star best<100 not tag:old'")
    words = "newest first, or by this: any column, or a setting such as lr; -KEY turns it round"
    parser.add_argument("--sort", metavar="KEY", type=order, help=words)
    words = "with the metric that each is judged by, its best value, tags and notes"
    parser.add_argument("--long", action="store_true", help=words)
    words = "with RUN: the commit and the changes that it was made from"
    parser.add_argument("--provenance", action="store_true", help=words)
    json_option(parser, "as a JSON array")
    runs_option(parser)


def where_option(parser: OptionTaker, words: str) -> None:
    """`--where EXPRESSION`."""
    parser.add_argument("--where", metavar="EXPRESSION", type=expression, help=words)


def expression(text: str) -> RunFilter:
    """A filter; argparse says what is wrong with it."""
    try:
        return RunFilter(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def order(text: str) -> str:
    """A key to sort by; whatever is no column is a setting."""
    if not text.strip("-+") or text != text.strip():
        raise argparse.ArgumentTypeError("needs the name of a column or of a setting")
    return text


def rows_of(root: Path, where: RunFilter | None, sort: str | None = None, summaries: bool = False) -> list[RunRow]:
    """The runs of a folder that match, in order. Raises RunError where the filter or the order makes no sense."""
    rows = [RunRow(info) for info in runs.list_runs(root)]
    settings, key = RunSettings(), (sort or "").lstrip("-+")
    if summaries or key in NEED_SUMMARY or (where is not None and where.needs_summaries):
        rows = _with_summaries(root, rows)
    if summaries or key == "exact" or (where is not None and "exact" in where.keys):
        for row in rows:
            row.proof = proof_of(row.info.path)
    if where is not None:
        try:
            rows = where.matching(rows, settings)
        except ValueError as error:
            raise runs.RunError(f"--where: {error}") from None
    if key:
        if key not in FACTS and rows and not any(settings.find(row.info.path, key) for row in rows):
            raise runs.RunError(f"--sort: there is no column or setting {key}; {nearest(key, FACTS) or columns()}")
        down = None if not (sort or "").startswith("-") else not (FACTS[key].down if key in FACTS else False)
        rows = ordered(rows, key, settings, down)
    return rows


def columns() -> str:
    """What can be sorted by, in words."""
    return f"there are {', '.join(FACTS)}, and the settings"


def _with_summaries(root: Path, rows: list[RunRow]) -> list[RunRow]:
    """The rows with their summaries; those that no cache knows take a look into their logs."""
    _, err = stdout.standard()
    summaries = Summaries(root)
    known = {row.info.path: summaries.known(row.info.path) for row in rows}
    unknown = sum(summary is None for summary in known.values())
    if unknown >= MANY:
        err.line(f"reading the logs of {unknown} runs, once…")
    rows = [RunRow(row.info, known[row.info.path] or summaries.of(row.info.path)) for row in rows]
    summaries.save(row.folder for row in rows)
    return rows


def run(args: argparse.Namespace, root: Path) -> int:
    """All there are, newest first; or one."""
    out, err = stdout.standard()
    if args.name:
        from tui_gen.report.run_page import print_run

        return print_run(out, runs.find(root, args.name), json=args.json, with_code=args.provenance)
    if args.provenance:
        raise runs.RunError("--provenance needs the name of a run: tui-gen runs RUN --provenance")
    rows = rows_of(root, args.where, args.sort, args.long)
    if args.json:
        out.json([as_plain(row) for row in rows])
        return 0
    if not rows and args.where is not None:
        err.line(f"no run in {root} matches {args.where.text!r}")
        return 0
    if not rows:
        err.line(f"no runs in {root}; start one with tui-gen --run {runs.DEFAULT}")
        return 0
    colour, width = coloured(out), terminal_width(out)
    if args.long:
        lines = long_table(rows, colour=colour, width=width)
    else:
        lines = runs_table([row.info for row in rows], colour=colour, width=width)
    for line in lines:
        out.drawn(line)
    return 0


def as_plain(row: RunRow) -> dict[str, Any]:
    """A run as plain data; its summary where there is one."""
    plain: dict[str, Any] = msgspec.to_builtins(row.info) | {"live": row.info.live}
    if row.proof:
        plain["exact"] = row.proof == "exact"
    if row.summary is not NOTHING:
        plain["summary"] = msgspec.to_builtins(row.summary) | {"reached": row.summary.reached}
    return plain


def runs_table(rows: list[RunInfo], *, colour: bool, now: float | None = None, width: int = 0) -> list[str]:
    """The runs, newest first: state, place, what, when, directory."""
    now = time.time() if now is None else now
    table = [("STATE", "STEP", "MODEL", "DATASET", "CHANGED", "RUN")]
    for row in rows:
        at, changed = steps(row.step, row.steps), f"{ago(now - row.updated)} ago"
        table.append((_state(row), at, row.model, row.dataset, changed, os.path.basename(row.path)))
    return _coloured_states(aligned(table, width=width), [row.state for row in rows], colour)


def long_table(rows: list[RunRow], *, colour: bool, width: int = 0) -> list[str]:
    """The same with what each is judged by, its best value, its course, tags and notes."""
    from tui_gen.draw.spark import outline

    names = [name for name in LONG if name not in RARE or any(text_of(row, name) for row in rows)]
    names.sort(key=lambda name: name != "state")
    table = [tuple(FACTS[name].title for name in names)]
    for row in rows:
        cells = {name: text_of(row, name) for name in names}
        cells["state"], cells["step"] = _state(row.info), steps(row.info.step, row.info.steps)
        cells["course"] = outline(row.summary.course)
        cells["idle"] += " ago"
        table.append(tuple(cells[name] for name in names))
    return _coloured_states(aligned(table, width=width), [row.info.state for row in rows], colour)


def _state(row: RunInfo) -> str:
    """What a run does, and where, if that is another machine: `running on node7`."""
    return row.word + (f" on {row.host}" if row.live and row.reason.startswith("on ") else "")


def _coloured_states(lines: list[str], states: list[str], colour: bool) -> list[str]:
    if colour:
        for number, state in enumerate(states, 1):
            code, _ = ANSI[state_look(state).tone]
            lines[number] = f"\x1b[{code}m{state}\x1b[0m" + lines[number][len(state) :]
    return lines
