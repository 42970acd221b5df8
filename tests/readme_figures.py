"""Puts the table of figures into the README: `python -m tests.readme_figures README.md`, or `make figures`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PLACE = re.compile(r"(<!-- figures -->\n).*(<!-- /figures -->)", re.S)


def table() -> str:
    """What `tui-gen zoo table --markdown` prints."""
    command = [sys.executable, "-m", "tui_gen", "zoo", "table", "--markdown"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def with_table(text: str) -> str:
    """The README's text with the table as it is now. Raises ValueError where it has no place for one."""
    if not PLACE.search(text):
        raise ValueError("the text has no <!-- figures --> … <!-- /figures -->")
    return PLACE.sub(lambda found: f"{found[1]}\n{table()}\n{found[2]}", text)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
