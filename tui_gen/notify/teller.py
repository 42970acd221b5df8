"""Tells a run's hook what happens to it, in a small process: `python -m tui_gen.notify.teller RUN SINCE`.

The worker starts it where somebody has a hook. It has a session of its own: when the worker is killed, or hangs, it is
this process that says so. It ends with the run.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from tui_gen.notify import hook, wishes
from tui_gen.notify.happenings import HappeningWatch
from tui_gen.notify.notice_record import NoticeRecord
from tui_gen.view import RunView

LOOK = 0.5
"""Seconds between two looks at the run."""
POINTS = 20_000
"""Values that are kept of the run."""
LEAVING = 5.0
"""Seconds for which an ended run is looked at once more: a resume may follow at once."""


def tell(run: Path, since: float) -> None:
    """Tell what happens to a run after a moment, until it has ended."""
    view = RunView(run, POINTS)

    def live() -> bool:
        view.read_all()
        return view.live

    try:
        record = NoticeRecord(run, lambda: live() or view.last_event_time < since)
    except (OSError, TimeoutError):
        return
    try:
        known_keys = record.told_since(since)
        watch, quiet = HappeningWatch(view, since), 0.0
        while quiet < LEAVING and (run / "config.toml").exists():
            begun = time.monotonic()
            is_live = live()
            for happening in watch.look():
                if happening.key in known_keys or not wishes.read().wants(happening.event, "hook"):
                    continue
                known_keys.add(happening.key)
                record.add(happening.event, happening.key, hook.run(wishes.read().command, happening))
            time.sleep(max(0.0, LOOK - (time.monotonic() - begun)))
            quiet = 0.0 if is_live else quiet + LOOK
    finally:
        record.close()


def main() -> int:
    """Tell of the run that is named."""
    with contextlib.suppress(OSError):
        os.nice(10)  # whoever trains goes first
    tell(Path(sys.argv[1]), float(sys.argv[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
