"""Editing a text in the person's own editor: `$VISUAL`, `$EDITOR`, else the first of nano, vim and vi there is."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path


def command() -> list[str]:
    """The editor and its arguments. Raises ValueError, with what to do, where there is none or it cannot be read."""
    line = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ValueError(f"$EDITOR cannot be read ({error}): {line}") from None
    words = words or [name for name in ("nano", "vim", "vi") if shutil.which(name)][:1]
    if not words:
        raise ValueError("no editor found: set EDITOR to the command of one")
    return words


def draft(text: str, suffix: str = ".toml") -> Path:
    """A new file of the person's own with this text, to be edited."""
    handle, name = tempfile.mkstemp(prefix="tui-gen-", suffix=suffix, text=True)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)


def edit(path: Path) -> str:
    """Run the editor on a file, in this terminal, until it is closed. Returns what went wrong, or an empty string."""
    try:
        words = command()
        code = subprocess.run([*words, str(path)], check=False).returncode
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"{words[0]} cannot be started ({error.strerror}); set EDITOR to the command of an editor"
    return f"{words[0]} ended with status {code}" if code else ""
