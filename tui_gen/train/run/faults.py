"""Where a fault in a model file is: its line, for those who read no traceback."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback

HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The folder of this package."""


def line_of(error: BaseException) -> str:
    """`flow.py, line 33`: the last line on the way to a fault that is neither ours, nor Python's or a library's.

    Empty where there is none.
    """
    models = sys.modules.get("tui_gen.models")
    others = {os.path.join(HERE, ""), *(os.path.join(folder, "") for folder in sysconfig.get_paths().values())}
    others |= {os.path.join(folder, "") for folder in getattr(models, "__path__", ())}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = os.path.abspath(frame.filename)
        library = path.startswith(tuple(others)) or f"{os.sep}site-packages{os.sep}" in path
        if not library and not frame.filename.startswith("<"):
            return f"{os.path.basename(path)}, line {frame.lineno}"
    return ""


def words_of(error: BaseException) -> str:
    """A fault in one line: what it is and where, and where to read more."""
    where = line_of(error)
    return f"{type(error).__name__}: {error} ({f'{where}; ' if where else ''}worker.log has the traceback)"
