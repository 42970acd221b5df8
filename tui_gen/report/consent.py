"""Asking before code that a config names is executed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from tui_gen import config, runs, trust
from tui_gen.report.stdout import Outlet


def ask_for_run(path: Path, model_dirs: Iterable[str], err: Outlet) -> None:
    """Have every folder trusted that a run names, but for `model_dirs`, which were named by hand. Raises as `ask`."""
    file = path / "config.toml"
    folders = trust.named(config.read_toml(file)) if file.is_file() else []  # whoever needs it tells that it is gone
    ask(set(folders).difference(model_dirs), path.name, err)


def ask(folders: Iterable[str], source: str, err: Outlet) -> None:
    """Have every folder trusted that `source` (a config or a run) names: by a question where there is a terminal.

    Raises ConfigError where nobody can be asked, RunError where the answer is no.
    """
    folders = sorted(folders)
    if not (sys.stdin.isatty() and err.isatty()):
        trust.refuse(folders, source)
        return
    for folder, code in trust.unknown(folders).items():
        err.line(f"{source} names a folder of model files: {folder} ({trust.listed(folder, code)}).")
        err.line("They are Python, and will be executed with your rights. You are asked again only if they change.")
        err.text("Do you trust them? [y/N] ")
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise runs.RunError(f"nothing was done: {folder} is not trusted")
        trust.allow_as_seen({folder: code})
    if changes := trust.unknown(folders):  # by somebody, while they were looked at
        raise runs.RunError(f"nothing was done: {next(iter(changes))} has changed since you were asked")
