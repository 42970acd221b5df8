"""Samples from a run's checkpoint: `python -m tui_gen.train.offline.sample RUN -n 64 -o grid.png`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from tui_gen import config as configs
from tui_gen import files
from tui_gen.events import Event, Note
from tui_gen.train.data import DataError, denormalise
from tui_gen.train.engine.building import TrainingError
from tui_gen.train.offline.drawing import SampleError, drawn
from tui_gen.train.offline.restore import RestoreError, restore
from tui_gen.train.shown.plots import scatter
from tui_gen.train.shown.previews import plots_of, tiles, written

PNG = b"\x89PNG"


def warn(event: Event) -> None:
    """Say on standard error what is worth knowing."""
    if isinstance(event, Note) and event.level == "warning":
        print(f"warning: {' '.join(event.text.split())}", file=sys.stderr, flush=True)


def sample(run: Path, count: int, seed: int, step: int | None, label: str | None, device: str) -> bytes:
    """`count` samples of a run as a PNG, or as UTF-8 text where the run's data is text.

    Raises SampleError, RestoreError, or the errors of the config, data and device.
    """
    snapshot = restore(run, step, device, warn)
    model, spec = snapshot.model, snapshot.spec
    parts, labels = zip(*drawn(snapshot, count, seed, label))
    out = torch.cat(parts)
    if spec.kind == "text":
        return written(out, spec).encode()
    if spec.kind == "points":
        return plots_of([scatter(out.cpu().numpy(), None)], "samples").png()
    columns = max(1, round(count**0.5))
    if labels[0] is not None and label is None and count > len(spec.classes):
        columns = len(spec.classes)
    return tiles(denormalise(out, model.value_range), columns, "samples").png()


def main() -> int:
    """Write the PNG (or text) and print its path; on failure one line on stderr and status 1."""
    parser = argparse.ArgumentParser(prog="python -m tui_gen.train.offline.sample", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("-n", type=int, default=64)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--step", type=int)
    parser.add_argument("--label")
    parser.add_argument("--device", default="")
    arguments = parser.parse_args()
    try:
        data = sample(arguments.run, arguments.n, arguments.seed, arguments.step, arguments.label, arguments.device)
        if not data.startswith(PNG) and arguments.output.suffix == ".png":  # text: see how it is shown by its name
            arguments.output = arguments.output.with_suffix(".txt")
        with files.written_whole(arguments.output) as aside:
            aside.write_bytes(data)
    except (SampleError, RestoreError, configs.ConfigError, DataError, TrainingError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: cannot write {arguments.output}: {error.strerror or error}", file=sys.stderr)
        return 1
    print(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
