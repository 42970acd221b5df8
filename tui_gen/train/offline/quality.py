"""Figures of a run's samples from a checkpoint: `python -m tui_gen.train.offline.quality RUN --samples 2000`.

Prints one JSON object; says on standard error what it does. `tui-gen quality` shows it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path

import msgspec

from tui_gen import config as configs
from tui_gen.events import Event, Note, Progress
from tui_gen.quality import Report
from tui_gen.train.data import DataError
from tui_gen.train.engine.building import TrainingError
from tui_gen.train.offline.restore import RestoreError, data_of, restore
from tui_gen.train.quality import QualityError, finish, measure

EVERY = 2.0
"""Seconds between two words on what it does."""


class _Telling:
    """Says what is done, every so often."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, words: str) -> None:
        if time.monotonic() - self._last >= EVERY:
            self._last = time.monotonic()
            print(words, file=sys.stderr, flush=True)

    def event(self, event: Event) -> None:
        """What loading the data has to say."""
        if isinstance(event, Note) and event.level != "info":
            print(f"{event.level}: {event.text}", file=sys.stderr, flush=True)
        elif isinstance(event, Progress):
            self(f"{event.what}: {event.done:,} of {event.total:,} {event.unit}")


def main() -> int:
    """Print the report; on failure one line on stderr that begins with `error: `, and status 1."""
    parser = argparse.ArgumentParser(prog="python -m tui_gen.train.offline.quality", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--step", type=int)
    parser.add_argument("--device", default="")
    parser.add_argument("--root", default="")
    arguments = parser.parse_args()
    tell = _Telling()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what somebody's model prints is no part of the report
            report = _measured(arguments, tell)
    except (QualityError, RestoreError, configs.ConfigError, DataError, TrainingError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(report).decode())
    return 0


def _measured(arguments: argparse.Namespace, tell: _Telling) -> Report:
    snapshot = restore(arguments.run, arguments.step, arguments.device, tell.event)
    snapshot.config.dataset.root = arguments.root or snapshot.config.dataset.root
    data = data_of(snapshot, tell.event)
    settings = snapshot.config.quality
    work = measure(
        snapshot.model,
        data,
        snapshot.device,
        step=snapshot.step,
        samples=arguments.samples or settings.samples,
        seed=settings.seed if arguments.seed is None else arguments.seed,
        tell=tell.event,
    )
    return finish(work, tell)


if __name__ == "__main__":
    sys.exit(main())
