"""The process that keeps a search going: `python -m tui_gen.search RUNS NAME`. Ends when it is over, or is told to."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from tui_gen.batch import status_of
from tui_gen.config import ConfigError
from tui_gen.runs import RunError
from tui_gen.search import keeper, specs
from tui_gen.signals import Signals


def main() -> int:
    """0 where it came to its end, 1 where it cannot go on, 130 or 143 where a signal came."""
    root, name = Path(sys.argv[1]), sys.argv[2]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            spec = specs.read(root, name)
            last, signal_number = keeper.keep(
                root, spec, lambda words, _: print(words, flush=True), signals.wait, signals.take
            )
    except (RunError, ConfigError) as error:
        print(f"error: {error}", flush=True)
        return 1
    return status_of(signal_number) if signal_number else int(bool(last.problem))


if __name__ == "__main__":
    sys.exit(main())
