"""A run's metrics over all of its validation examples: `python -m tui_gen.train.offline.validate RUN`.

Takes the newest checkpoint and prints one JSON object. While a run trains, a validation takes a part of the examples,
so that it stays a small part of the time: enough for a curve, too few to hold against a published figure.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec
import torch

from tui_gen import config as configs
from tui_gen.train.data import Data, DataError
from tui_gen.train.engine.building import TrainingError
from tui_gen.train.engine.trainer import validated
from tui_gen.train.offline.restore import RestoreError, data_of, restore
from tui_gen.train.quality import QualityError, finish, measure


def main(words: list[str] | None = None) -> int:
    """Print the metrics by name; on failure one line on stderr that begins with `error: `, and status 1."""
    parser = argparse.ArgumentParser(prog="python -m tui_gen.train.offline.validate", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--quality", action="store_true", help="the figures of its samples, too, as quality/NAME")
    arguments = parser.parse_args(words)
    try:
        snapshot = restore(arguments.run, averaged=False)  # as in the run's log
        if snapshot.config.train.threads:
            torch.set_num_threads(snapshot.config.train.threads)
        data = data_of(snapshot)
        values: dict[str, float | None] = dict(
            validated(snapshot.model, data, snapshot.config, snapshot.device, snapshot.step)
        )
        if arguments.quality:
            values |= _quality(arguments.run, data)
    except (QualityError, RestoreError, configs.ConfigError, DataError, TrainingError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(values).decode())
    return 0


def _quality(run: Path, data: Data) -> dict[str, float | None]:
    """Figures of the samples of a run's newest checkpoint, as `tui-gen quality` has them."""
    snapshot = restore(run)
    settings = snapshot.config.quality
    work = measure(
        snapshot.model, data, snapshot.device,
        step=snapshot.step, samples=settings.samples, seed=settings.seed, tell=lambda event: None,
    )  # fmt: skip
    return {f"quality/{figure.name}": figure.value for figure in finish(work, lambda words: None).figures}


if __name__ == "__main__":
    sys.exit(main())
