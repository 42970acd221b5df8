"""What a run takes from the command line to its end beside `import torch`, in processor time, which a busy machine
changes least: `python -m tests.bench cold`, with `--beside DIR` for another checkout as well.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench import Figure, Settings, ratio

RUN = ["-m", "tui_gen", "--run", "vae-digits", "--set", "train.steps=12", "--plain"]


def processor_seconds(command: list[str]) -> float:
    """What a command and its children took. Raises CalledProcessError where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cold(settings: Settings, base: Path, root: str) -> Iterator[Figure]:
    """12 steps of `vae-digits` ÷ `import torch`, for this checkout and, in turn, for the other one."""
    pythons = {"this": sys.executable}
    if settings.beside:
        pythons["the other"] = str(Path(settings.beside) / ".venv" / "bin" / "python")
    pairs: dict[str, list[tuple[float, float]]] = {name: [] for name in pythons}
    for _ in range(settings.pairs):
        for name, python in pythons.items():
            pairs[name].append((processor_seconds([python, *RUN]), processor_seconds([python, "-c", "import torch"])))
    for name, measured in pairs.items():
        yield ratio("cold", f"a tiny run ÷ import torch, {name}", _thousandfold(measured), 2.0, "ms of a core", True)


def _thousandfold(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(1000 * ours, 1000 * theirs) for ours, theirs in pairs]


BENCHMARKS = {"cold": cold}
