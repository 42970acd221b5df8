"""Where a user's own files and things that can be made again are kept. Imports next to nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple


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


class Elsewhere(NamedTuple):
    """Where a file really is, of which one on this machine is a mirror: as ssh and scp take it."""

    host: str
    folder: str
    """Of all runs; empty for the usual one there."""
    path: str
    """From that folder on."""

    def __str__(self) -> str:
        return f"{self.host}:{'/'.join(part for part in (self.folder.rstrip('/'), self.path) if part)}"


_mirrors: dict[str, tuple[str, str]] = {}


def mirrors(root: Path, host: str, folder: str) -> None:
    """What lies below `root` is a mirror, for this process, of what lies below a folder of another machine."""
    _mirrors[str(root)] = host, folder


def elsewhere(path: Path | str) -> Elsewhere | None:
    """Where a file really is, if what is here is a mirror of it."""
    for root, (host, folder) in _mirrors.items():
        if str(path).startswith(f"{root}/"):
            return Elsewhere(host, folder, str(path)[len(root) + 1 :])
    return None


def shown(path: Path) -> str:
    """A path as it is read most easily from here: relative below this folder, else absolute; of a mirror the original.
    """
    path = Path(path)
    if original := elsewhere(path):
        return str(original)
    try:
        relative = os.path.relpath(path)
        near = not relative.startswith("..") and os.getcwd() != os.sep  # where workers stand, whoever reads their words
    except (OSError, ValueError):
        return str(path)
    return relative if near else str(path)


def distinction(folder: str) -> str:
    """What tells a run from others of its name: its folder's name where somebody gave it, else the end of that."""
    return folder.rpartition("-")[2] if re.fullmatch(r"\d{8}-\d{4}-.+-[a-z0-9]{4}", folder) else folder


def called(run: Path) -> str:
    """What names a run in a command typed here: its folder's name where runs go by default, elsewhere its path."""
    import shlex

    if elsewhere(run):
        return shlex.quote(run.name)
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
