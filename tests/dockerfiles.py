"""The Dockerfile as a builder reads it: its instructions, and the files that an ignore file leaves of a folder."""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from pathlib import Path


def instructions(path: Path | str) -> list[tuple[str, str]]:
    """(name in capitals, words) of each, lines that `\\` continues put together and comments left out."""
    lines = [line for line in Path(path).read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    parts = [line.partition(" ") for line in whole.splitlines() if line.strip()]
    return [(name.upper(), words.strip()) for name, _, words in parts]


def context(root: Path | str) -> list[str]:
    """Every file that COPY may copy, relative to `root`: the last pattern of `.dockerignore` that fits decides."""
    root = Path(root)
    lines = [line.strip() for line in (root / ".dockerignore").read_text().splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    left: list[str] = []
    for folder, folders, names in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if not _ignored(str(here / name), patterns)]
        left += [path for name in names if not _ignored(path := str(here / name), patterns)]
    return sorted(left)


def _ignored(path: str, patterns: list[str]) -> bool:
    ignored = False
    for pattern in patterns:
        wanted = pattern.removeprefix("!").strip("/")
        parts = path.split("/")
        fits = any(fnmatchcase("/".join(parts[:count]), wanted) for count in range(1, len(parts) + 1))
        if wanted.startswith("**/"):
            fits = fits or any(fnmatchcase(part, wanted[3:]) for part in parts)
        if fits:
            ignored = not pattern.startswith("!")
    return ignored
