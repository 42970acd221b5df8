"""Starting the process that tells a run's hook, beside the run's worker. Imports next to nothing."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tui_gen import children
from tui_gen.notify import wishes


def start_teller(run: Path) -> None:
    """Have a run's hook told of it, where there is one. Quietly does nothing where that cannot be."""
    preferences = wishes.read()
    if not any(preferences.wants(event, "hook") for event in wishes.EVENTS):
        return
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    with contextlib.suppress(OSError):
        children.start("tui_gen.notify.teller", os.path.abspath(run), time.time(), start_new_session=True, **streams)
