"""Faults of the workbench itself: where they happened, and a file with what is needed to mend them."""

from __future__ import annotations

import contextlib
import time
import traceback
from pathlib import Path

from textual._context import active_message_pump
from textual.message_pump import MessagePump

from tui_gen import __version__
from tui_gen.places import cache_dir

KEPT = 1 << 18
"""Bytes of the file after which it begins anew."""


def pump_of() -> MessagePump | None:
    """The app, screen or widget that was handling a message."""
    try:
        return active_message_pump.get()
    except LookupError:
        return None


def report(error: BaseException) -> Path:
    """Append a fault's traceback to the file of faults; that file."""
    path = cache_dir() / "faults.log"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = not path.exists() or path.stat().st_size > KEPT
        with open(path, "w" if fresh else "a", encoding="utf-8") as file:
            file.write(f"\n{time.strftime('%Y-%m-%d %H:%M:%S')} tui-gen {__version__}\n")
            file.writelines(traceback.format_exception(error))
    return path
