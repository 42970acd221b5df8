"""Samples from a run's checkpoint: `python -m tui_gen.train.offline.sample RUN -n 64 -o grid.png`."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tui_gen import config as configs
from tui_gen import files
from tui_gen.events import Event, Note
from tui_gen.train.data import DataError, denormalise
from tui_gen.train.engine.building import TrainingError
from tui_gen.train.offline.drawing import SampleError, drawn
from tui_gen.train.offline.restore import RestoreError, restore
from tui_gen.train.shown.plots import scatter
from tui_gen.train.shown.png import SIGNATURE, png
from tui_gen.train.shown.previews import GAP, plots_of, tiles, written


def warn(event: Event) -> None:
    """Say on standard error what is worth knowing."""
    if isinstance(event, Note) and event.level == "warning":
        print(f"warning: {' '.join(event.text.split())}", file=sys.stderr, flush=True)


def sample(
    run: Path,
    count: int,
    seed: int,
    step: int | None,
    label: str | None,
    device: str,
    tell: Callable[[int], None] = lambda done: None,
) -> Iterator[bytes]:
    """`count` samples of a run as the bytes of a PNG, or of UTF-8 text where the run's data is text, piece by piece.

    Images are written as they are made, so that any number takes the memory of a few. `tell` gets how many are made.
    Raises SampleError, RestoreError, or the errors of the config, data and device.
    """
    snapshot = restore(run, step, device, warn)
    model, spec = snapshot.model, snapshot.spec
    parts = _told(drawn(snapshot, count, seed, label), tell)
    if spec.kind != "image":
        out = torch.cat([part for part, _ in parts]).cpu()
        text = spec.kind == "text"
        yield written(out, spec).encode() if text else plots_of([scatter(out.numpy(), None)], "samples").png()
        return
    columns = max(1, round(count**0.5))
    if model.conditional and label is None and count > len(spec.classes):
        columns = len(spec.classes)
    pixels = (denormalise(part, model.value_range).cpu() for part, _ in parts)
    side = spec.size + GAP
    size = columns * side - GAP, -(-count // columns) * side - GAP
    yield from png(*size, 3 if spec.channels > 1 else 1, _ahead(_rows(pixels, count, columns)))


def _told(
    parts: Iterator[tuple[Tensor, Tensor | None]], tell: Callable[[int], None]
) -> Iterator[tuple[Tensor, Tensor | None]]:
    done = 0
    for part in parts:
        done += len(part[0])
        tell(done)
        yield part


def _rows(parts: Iterable[Tensor], count: int, columns: int) -> Iterator[np.ndarray]:
    """Images (n, C, H, W) uint8, `count` in all, as the rows of pixels of their grid, some rows of tiles at a time."""
    waiting, done = [], 0
    for part in parts:
        waiting.append(part)
        held = sum(map(len, waiting))
        full = held if done + held == count else held // columns * columns
        if not full:
            continue
        images = torch.cat(waiting)
        waiting, done = [images[full:]], done + full
        rows = tiles(images[:full], columns, "samples").pixels
        if done < count:
            rows = np.concatenate([rows, np.zeros((GAP, *rows.shape[1:]), np.uint8)])
        yield rows


def _ahead(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The blocks as they are; the next is made, in a thread, while one is packed."""
    with ThreadPoolExecutor(1, "sampling") as thread:
        coming = thread.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = thread.submit(next, blocks, None)
            yield block


def progress(handle: int, count: int) -> Callable[[int], None]:
    """Tells on a terminal how many of `count` samples are made; its line is empty again at the end."""

    def tell(done: int) -> None:
        words = f"sampling: {done:,} of {count:,}" if done < count else ""
        with contextlib.suppress(OSError):
            os.write(handle, f"\r{words:<40}{'' if words else chr(13)}".encode())

    return tell


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
    parser.add_argument("--progress", type=int, metavar="FD", help="a terminal that is told how many are made")
    args = parser.parse_args()
    try:
        tell = [] if args.progress is None else [progress(args.progress, args.n)]
        pieces = sample(args.run, args.n, args.seed, args.step, args.label, args.device, *tell)
        first = next(pieces)
        is_text, suffix = not first.startswith(SIGNATURE), args.output.suffix.lower()
        if is_text and suffix == ".png":  # see how it is shown by its name
            args.output = args.output.with_suffix(".txt")
        if not is_text and suffix == ".txt":
            raise SampleError(f"this run's samples are a picture, and {args.output.name} would be text: name a .png")
        with files.written_whole(args.output) as aside, open(aside, "wb") as file:
            file.writelines(itertools.chain([first], pieces))
    except (SampleError, RestoreError, configs.ConfigError, DataError, TrainingError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: cannot write {args.output}: {error.strerror or error}", file=sys.stderr)
        return 1
    print(args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
