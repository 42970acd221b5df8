"""Where a user's own files and things that can be made again are kept. Imports next to nothing."""

from __future__ import annotations

import os
from pathlib import Path


def config_dir() -> Path:
    """Where a user keeps models, recipes, themes and settings: `~/.config/tui-gen` (XDG_CONFIG_HOME)."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "tui-gen"


def cache_dir() -> Path:
    """Where things that can be made again are kept: `~/.cache/tui-gen` (XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tui-gen"


def default_root() -> Path:
    """Where runs go unless `--runs` says otherwise: `$TUI_GEN_RUNS`, else `runs` in the current folder."""
    return Path(os.environ.get("TUI_GEN_RUNS") or "runs")
