"""Where a user's own files and things that can be made again are kept. Imports next to nothing."""

from __future__ import annotations

import os
from pathlib import Path


class NoHome(Exception):
    """A folder was to be found from a home folder that nobody knows; the text says which, and what to do."""


def config_dir() -> Path:
    """Where a user keeps models, recipes, themes and settings: `~/.config/tui-gen` (XDG_CONFIG_HOME).

    Raises NoHome, as everything here does.
    """
    return (_named("XDG_CONFIG_HOME") or expanded("~/.config")) / "tui-gen"


def cache_dir() -> Path:
    """Where things that can be made again are kept: `~/.cache/tui-gen` (XDG_CACHE_HOME)."""
    return (_named("XDG_CACHE_HOME") or expanded("~/.cache")) / "tui-gen"


def default_root() -> Path:
    """Where runs go unless `--runs` says otherwise: `$TUI_GEN_RUNS`, else `runs` in the current folder."""
    return _named("TUI_GEN_RUNS") or Path("runs")


def shown(path: Path) -> str:
    """A path as it is read most easily from here: relative below this folder, else absolute."""
    path = Path(path)
    try:
        relative = os.path.relpath(path)
        near = not relative.startswith("..") and os.getcwd() != os.sep  # where workers stand, whoever reads their words
    except (OSError, ValueError):
        return str(path)
    return relative if near else str(path)


def called(run: Path) -> str:
    """What names a run in a command typed here: its folder's name where runs go by default, elsewhere its path."""
    import shlex

    try:
        by_name = os.path.realpath(run.parent) == os.path.realpath(default_root())
    except NoHome:
        by_name = False
    return shlex.quote(run.name if by_name else shown(run))


def expanded(path: str) -> Path:
    """A path as a person writes it, with `~` and `~name` at its beginning."""
    full = os.path.expanduser(path)
    first = path.partition("/")[0]
    if not path.startswith("~") or not full.startswith("~") or os.path.lexists(first):
        return Path(full)
    if len(first) > 1:
        raise NoHome(f"{path}: there is no user {first[1:]!r}; for a folder of that name write ./{path}")
    raise NoHome(
        f"{path}: user {os.getuid()} has no home folder (HOME is not set, and the system knows none); "
        "set HOME to a folder of yours"
    )


def _named(variable: str) -> Path | None:
    path = os.environ.get(variable)
    return expanded(path) if path else None
