"""The process that keeps a search going: `python -m tui_gen.search RUNS NAME`. Ends when it is over, or is told to."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from tui_gen.config import ConfigError
from tui_gen.runs import RunError
from tui_gen.search import keeper
from tui_gen.search import spec as specs


def main() -> int:
    """0 where it came to its end, 1 where it cannot go on, 128 + the signal's number where one came."""
    root, name = Path(sys.argv[1]), sys.argv[2]
    came: list[int] = []
    woken = threading.Event()

    def note(number: int, _: object) -> None:
        came.append(number)
        woken.set()

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)

    def wait(seconds: float) -> None:
        woken.wait(seconds)
        woken.clear()

    def signals() -> list[int]:
        taken = came.copy()
        del came[: len(taken)]
        return taken

    try:
        spec = specs.read(root, name)
        last, signal_number = keeper.keep(root, spec, lambda words, _: print(words, flush=True), wait, signals)
    except (RunError, ConfigError) as error:
        print(f"error: {error}", flush=True)
        return 1
    return 128 + signal_number if signal_number else int(bool(last.problem))


if __name__ == "__main__":
    sys.exit(main())
