"""What somebody wants to be told of, and how: the table `[notify]` of settings.toml.

    [notify]
    ended = ["desktop", "hook"]      # each a list of bell, desktop and hook; an empty one is nothing
    command = 'curl -s -d "$TUI_GEN_TEXT" ntfy.sh/a-topic-of-mine'
    progress = true
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tui_gen import toml
from tui_gen.places import config_dir

EVENTS = {
    "ended": "finished, or was stopped",
    "failed": "failed, or was interrupted",
    "alarm": "goes wrong (an alarm)",
    "stalled": "is silent far beyond its pace",
    "reached": "reaches its figure",
}
"""What is told of a run, and what that means."""
WAYS = {
    "bell": "the terminal's bell",
    "desktop": "a notification of the desktop, where the terminal takes one; else the bell",
    "hook": "a command of your own",
}
USUAL: tuple[str, ...] = ("desktop", "hook")
"""How everything is told, unless somebody says otherwise."""
VARIABLE = "TUI_GEN_NOTIFY"
"""The command of this time: `--notify` sets it for the workers that it starts."""
LONGEST = 4000
"""Characters of a command."""


@dataclass(frozen=True)
class Wishes:
    """Event → ways, the user's command, and whether the terminal's window may tell how far the run shown is."""

    ways: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict.fromkeys(EVENTS, USUAL))
    command: str = ""
    progress: bool = True
    problems: tuple[str, ...] = ()
    """What is wrong in the settings, in words; what is, counts as not said."""

    def wants(self, event: str, way: str) -> bool:
        """Whether an event is to be told in a way; the hook, where there is a command."""
        return way in self.ways.get(event, ()) and (way != "hook" or bool(self.command))


def read(path: Path | None = None) -> Wishes:
    """The wishes of the settings file, and the command of this time, which goes before the file's."""
    path = path or config_dir() / "settings.toml"
    try:
        table = toml.loads(path.read_text(encoding="utf-8")).get("notify", {})
    except (OSError, ValueError, RecursionError):  # the workbench tells what is wrong with the file
        table = {}
    return of_table(table, str(path), os.environ.get(VARIABLE, ""))


def of_table(table: Any, source: str = "settings", command: str = "") -> Wishes:
    """Wishes from a table as TOML gives it. `command` goes before the table's."""
    ways, problems = dict.fromkeys(EVENTS, USUAL), []
    if not isinstance(table, dict):
        return Wishes(ways, command, problems=(f"{source}: notify must be a table",))
    for event in EVENTS:
        entry = table.get(event, list(USUAL))
        words = [entry] if isinstance(entry, str) and entry else entry
        if isinstance(words, list) and all(word in (*WAYS, "none") for word in words):
            ways[event] = tuple(word for word in WAYS if word in words)
        else:
            allowed = ", ".join(WAYS)
            problems.append(f"{source}: notify.{event} must be a list of any of {allowed}; [] is nothing")
    own = table.get("command", "")
    if not isinstance(own, str) or len(own) > LONGEST or "\0" in own:
        problems.append(f"{source}: notify.command must be a command line of at most {LONGEST} characters")
        own = ""
    progress = table.get("progress", True)
    if not isinstance(progress, bool):
        problems.append(f"{source}: notify.progress must be true or false")
        progress = True
    known = {*EVENTS, "command", "progress"}
    problems += [f"{source}: notify.{key} is no setting; there are {', '.join(sorted(known))}" for key in table
                 if key not in known]  # fmt: skip
    return Wishes(ways, command or own, progress, tuple(problems))
