"""`tui-gen edit`: change settings of a live run, all at one step or none. Imports nothing slow."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tui_gen import launch, runs
from tui_gen.config import ConfigError
from tui_gen.params import Problem, show
from tui_gen.quantities import count
from tui_gen.report import stdout
from tui_gen.report.commands.options import PLACE, json_option, named, runs_option
from tui_gen.text import clean

TIMEOUT = 120.0
"""Seconds that an answer may take: a step of a large model, or a picture that is being drawn."""


def options(parser: argparse.ArgumentParser) -> None:
    """Of which run, and what."""
    parser.add_argument("name", metavar="RUN", type=named, help=f"{PLACE}; latest is the newest run")
    words = "a live setting and its value, as for --set: train.phases.vae.lr=1e-4"
    parser.add_argument("edits", metavar="KEY=VALUE", nargs="+", help=words)
    json_option(parser, "what was changed, as JSON")
    runs_option(parser)


def run(args: argparse.Namespace, root: Path) -> int:
    """0 once all of them hold. Raises RunError and ControlError with nothing changed."""
    if wrong := [text for text in args.edits if not text.partition("=")[0].strip() or "=" not in text]:
        hint = "for example train.phases.vae.lr=1e-4"
        raise ConfigError("command line", [Problem("edit", text, "must look like key=value", hint) for text in wrong])
    path = runs.find(root, args.name)
    pairs = (edit.partition("=") for edit in args.edits)
    edits = [{"key": key.strip(), "text": text} for key, _, text in pairs]
    report(path, make(path, edits), getattr(args, "json", False))
    return 0


def make(path: Path, edits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Have a live run change settings, each a `key` with a `text` or a `value`; what it answered for each: key, old,
    new, the step, and a warning if any.

    Raises ControlError where it does not, with every reason.
    """
    data = launch.ask_run(path, "edit", timeout=TIMEOUT, edits=edits).data
    return [dict(edit) for edit in data.get("edits", [])]


def report(path: Path, told: list[dict[str, Any]], as_json: bool) -> None:
    """Say what a run changed, and from which step on."""
    out, err = stdout.standard()
    if as_json:
        out.json(told)
        return
    for edit in told:
        old, new = clean(show(edit["old"])), clean(show(edit["new"]))
        if edit["old"] == edit["new"]:
            out.line(f"{path.name}: {edit['key']} is {new} already")
        else:
            out.line(f"{path.name}: {edit['key']} {old} → {new} from step {count(edit['step'])}")
        if edit.get("words"):
            err.line(f"warning: {clean(edit['words'])}")
