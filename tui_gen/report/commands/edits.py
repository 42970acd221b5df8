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
    history = edits.History(edits.made(path))
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
        out.json(rows)
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


def records(path: Path, history: edits.History) -> list[dict[str, Any]]:
    """Every edit that was made, and every one that is still planned (without a time, and without an old value)."""
    took = {taker: number for number, taker in history.undone.items()}
    rows = []
    for number, edit in enumerate(history.edits):
        row = {"step": edit.step, "t": edit.t, "key": edit.key, "old": edit.old, "new": edit.new, "state": "made"}
        if number in history.undone:
            row |= {"state": "undone", "at": history.edits[history.undone[number]].step}
        elif number in took:
            row |= {"state": "undoes", "at": history.edits[took[number]].step}
        rows.append(row)
    plan = rollbacks.planned(path, configs.read_toml(path / runs.CONFIG).get("edits", []))
    done = [{"step": edit.step, "key": edit.key, "value": edit.new} for edit in history.edits]
    step = runs.state_of(path)[1]
    for edit in plan if isinstance(plan, list) else []:
        if edit in done:
            done.remove(edit)
        elif edit["step"] >= step:
            rows.append({"step": edit["step"], "key": edit["key"], "new": edit["value"], "state": "planned"})
    return rows


def table(rows: list[dict[str, Any]]) -> list[str]:
    """The same for people."""
    lines = [("STEP", "TIME", "SETTING", "OLD", "NEW", "")]
    for row in rows:
        made = time.strftime("%d %b %H:%M:%S", time.localtime(row["t"])) if "t" in row else ""
        words = {"undone": "taken back at step {}", "undoes": "takes back that of step {}", "planned": "planned"}
        remark = words.get(row["state"], "").format(count(row.get("at", 0)))
        old = clean(show(row["old"])) if "old" in row else ""
        lines.append((count(row["step"]), made, clean(row["key"]), old, clean(show(row["new"])), remark))
    return aligned(lines)
