"""Write one export, and read it back. OPTIONS are the format's, as JSON (see `tui_gen.exporting`). Of a format that is
two files, the place of the second follows, and the name that the first will have.

Notes and progress go to standard error, an event a line; a failure as one line that begins with `error: `, with status
1, or UNWRITABLE where it is the system's word on the file.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
import warnings
from pathlib import Path

from tui_gen import config as configs
from tui_gen import events
from tui_gen.exporting import UNWRITABLE
from tui_gen.train.data import DataError
from tui_gen.train.engine.building import TrainingError
from tui_gen.train.offline.exports.words import ExportError
from tui_gen.train.offline.restore import RestoreError


def tell(event: events.Event) -> None:
    """Say it to whoever asked for the export."""
    if isinstance(event, events.Progress) or (isinstance(event, events.Note) and event.level != "info"):
        print(events.encode(event).decode(), end="", file=sys.stderr, flush=True)


def main() -> int:
    """The exit status."""
    form, run, target, options, *beside = sys.argv[1:]
    second = (Path(beside[0]), beside[1]) if beside else ()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what somebody's model prints is nobody's answer
            importlib.import_module(f"tui_gen.train.offline.exports.{form}").export(
                Path(run), Path(target), options, tell, *second
            )
    except (
        ExportError, RestoreError, configs.ConfigError, DataError, TrainingError, ValueError, ImportError,
        RuntimeError,
    ) as error:  # fmt: skip
        words = [line for line in str(error).splitlines() if line.strip()]
        print(f"error: {words[0] if words else type(error).__name__}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.strerror or error}", file=sys.stderr)
        return UNWRITABLE
    return 0


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # of libraries, about themselves
    logging.disable(logging.CRITICAL)
    sys.exit(main())
