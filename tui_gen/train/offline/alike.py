"""Whether two runs ended with the same bits: `python -m tui_gen.train.offline.alike RUN OTHER`.

Looks at the newest checkpoint of each, and prints what differs as a JSON list of texts, empty where nothing does:
weights first, averaged weights, then optimisers, random state and all else that training goes on from.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import torch

from tui_gen import checkpoints as files
from tui_gen.train.run import checkpoints

WHATS = ("weights", "averaged weights", "state")


def main() -> int:
    """Print the differences; on failure one line on stderr that begins with `error: `, and status 1."""
    parser = argparse.ArgumentParser(prog="python -m tui_gen.train.offline.alike", description=__doc__)
    parser.add_argument("runs", type=Path, nargs=2)
    arguments = parser.parse_args()
    try:
        words = differences(*arguments.runs)
    except (files.DamagedError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(msgspec.json.encode(words).decode())
    return 0


def differences(one: Path, other: Path) -> list[str]:
    """Places where the newest checkpoints of two runs differ, by name. Raises DamagedError, OSError."""
    steps = [max(files.steps(run), default=None) for run in (one, other)]
    if None in steps or steps[0] != steps[1]:
        return [f"the last checkpoints (of steps {steps[0]} and {steps[1]})"]
    first, second = (checkpoints.load(files.directory(run, step or 0)) for run, step in zip((one, other), steps))
    pairs = (first.weights, second.weights), (first.average, second.average), (first.state, second.state)
    return [f"{what}: {place}" for what, pair in zip(WHATS, pairs) for place in unlike(*pair)]


def unlike(one: Any, other: Any, where: str = "") -> list[str]:
    """Places at which two nested structures differ, to the bit. Folders of other runs, which have names of their own,
    may."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            return [f"{where or 'the names'}: {sorted(map(str, one.keys() ^ other.keys()))[:3]} in one of them only"]
        return [words for key in one for words in unlike(one[key], other[key], f"{where}.{key}" if where else str(key))]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [words for n, (a, b) in enumerate(zip(one, other)) for words in unlike(a, b, f"{where}[{n}]")]
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        alike = one.dtype == other.dtype and one.shape == other.shape
        alike = alike and bits(one) == bits(other)
        return [] if alike else [f"{where} differs"]
    if isinstance(one, str) and isinstance(other, str) and one.startswith("/") and other.startswith("/"):
        return [] if one.partition("@")[2] == other.partition("@")[2] else [f"{where}: {one} and {other}"]
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return [] if type(one) is type(other) and (both_nan or one == other) else [f"{where}: {one!r} and {other!r}"]


def bits(tensor: torch.Tensor) -> bytes:
    """The bytes of a tensor's numbers, in order, of any type."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


if __name__ == "__main__":
    sys.exit(main())
