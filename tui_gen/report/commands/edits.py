"""`tui-gen edits`: what was edited in a run while it trained, what is still planned, and taking the last one back."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from tui_gen import config as configs
from tui_gen import edits, events, rollbacks, runs
from tui_gen.lines import aligned
from tui_gen.params import show
from tui_gen.places import called
from tui_gen.quantities import count
from tui_gen.report import stdout
from tui_gen.report.commands import edit as edit_command
from tui_gen.report.commands.options import RUN, json_option, runs_option
from tui_gen.text import clean


def options(parser: argparse.ArgumentParser) -> None:
    """Of which run, and whether to take something back."""
    parser.add_argument("name", metavar="RUN", nargs="?", default="", help=RUN)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--undo", action="store_true", help="take the last one back: another edit, of a live run")
    which.add_argument("--redo", action="store_true", help="make the last one again that was taken back")
    json_option(parser, "as a JSON array")
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """0. Raises RunError where nothing can be taken back, ControlError where the run does not take it."""
    path = runs.find(root, args.name)
    history = edits.EditHistory(edits.made(path))
    as_json = getattr(args, "json", False)
    if args.undo or args.redo:
        edit = history.to_undo if args.undo else history.to_redo
        if edit is None:
            words = "nothing was edited that could be taken back" if args.undo else "nothing was just taken back"
            raise runs.RunError(f"{path.name}: {words}")
        take_back(path, edit, as_json)
        return 0
    out, _ = stdout.standard()
    rows = records(path, history)
    if as_json:
        out.json([record(row) for row in rows])
    elif not rows:
        out.line(f"{path.name}: nothing was edited while it trained, and nothing is planned")
    else:
        for line in table(rows):
            out.line(line)
    return 0


def take_back(path: Path, edit: events.Edit, as_json: bool) -> None:
    """Have a live run go back to the value before an edit. Raises RunError where it has ended."""
    if not runs.live(path):
        way = f"tui-gen --resume {called(path)} --set {edit.key}={show(edit.old)} goes on with the value before"
        raise runs.RunError(f"{path.name} is not training: {way}")
    edit_command.report(path, edit_command.make(path, [{"key": edit.key, "value": edit.old}]), as_json)


def record(row: edits.EditRow) -> dict[str, Any]:
    """A row as JSON has it."""
    plain = {"step": row.step, "key": row.key, "new": row.new, "state": row.state}
    if row.state != "planned":
        plain |= {"old": row.old, "t": row.t}
    return plain | ({"at": row.at} if row.state in ("undone", "undoes") else {})


def records(path: Path, history: edits.EditHistory) -> list[edits.EditRow]:
    """Every edit that was made, and every one that is still planned."""
    plan = rollbacks.planned(path, configs.read_toml(path / runs.CONFIG).get("edits", []))
    return edits.rows(history, plan, runs.state_of(path)[1])


def table(rows: list[edits.EditRow]) -> list[str]:
    """The same for people."""
    lines = [("STEP", "TIME", "SETTING", "OLD", "NEW", "")]
    for row in rows:
        moment = time.strftime("%d %b %H:%M:%S", time.localtime(row.t)) if row.t else ""
        lines.append((count(row.step), moment, clean(row.key), clean(show(row.old)), clean(show(row.new)), row.remark))
    return aligned(lines)
