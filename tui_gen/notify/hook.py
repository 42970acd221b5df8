"""The user's own command that is told what happened: run by a shell as it is written, with all facts in variables.

What comes from runs is never part of a command line.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile

from tui_gen.children import apart
from tui_gen.notify.happenings import Happening
from tui_gen.quantities import span
from tui_gen.text import clean

PATIENCE = 30.0
"""Seconds that a command may take."""
MOST = 2000
"""Bytes of its last words that are looked at."""


def run(command: str, happening: Happening, patience: float = PATIENCE) -> str:
    """Run a command for what happened; why it failed, in words, or an empty text."""
    home = os.path.expanduser("~")
    env = {**apart(), **happening.environment()}
    env.pop("TUI_GEN_NOTIFY", None)  # what it starts is no run of ours that should tell of itself
    with tempfile.TemporaryFile() as words:
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command], env=env, cwd=home if os.path.isdir(home) else "/",
                stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            return f"it cannot be run: {error}"
        try:
            status = process.wait(patience)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"it took more than {span(patience)} and was ended"
        if not status:
            return ""
        words.seek(max(0, words.seek(0, os.SEEK_END) - MOST))
        last = [line for line in words.read(MOST).decode("utf-8", "replace").splitlines() if line.strip()]
    how = f"exit status {status}" if status > 0 else f"signal {-status}"
    return f"{how}{': ' + clean(last[-1])[:200] if last else ''}"
