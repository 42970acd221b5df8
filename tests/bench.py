"""What it costs and what it gains: `python -m tests.bench [NAME …] [--quick]`, or `make bench`.

Every figure is a ratio of two things measured in turn (A B A B …) in one run, so that what else the machine does falls
on both. The turns are many and last seconds, as other programs' changes do. Prints a table with the aim beside each
figure; never fails because of a figure.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("PYTHONWARNINGS", "ignore")
HERE = Path(__file__).parent


@dataclass
class Settings:
    """How long to measure: `pairs` times `seconds` a side."""

    pairs: int = 10
    seconds: float = 2.5
    beside: str = ""
    """Another checkout, which `builds`, `viewer` and `cold` measure beside this one."""
    leet: str = "wandb"
    """The command whose `leet` it measures as well."""


@dataclass
class Figure:
    """One line of the table: `value` is the median over the pairs, `low` and `high` the ends of their middle half.

    `limit` is the share of the fastest matrix product of this machine, measured beside it, that the steps reach.
    """

    name: str
    what: str
    value: float
    low: float
    high: float
    aim: str
    met: bool
    detail: str
    unit: str = "×"
    digits: int = 0
    limit: float | None = None

    def __str__(self) -> str:
        digits = self.digits if self.unit != "×" else max(2, len(self.aim.partition(".")[2]))
        spread = "" if self.low == self.high else f"{self.low:.{digits}f}–{self.high:.{digits}f}"
        value = f"{self.value:.{digits}f} {self.unit}"
        mark = "yes" if self.met else "NO"
        limit = "" if self.limit is None else f"{self.limit:.0%}"
        columns = f"{self.name:<13}{value:>10}  {spread:>13}  {self.aim:>9}  {mark:>3}  {limit:>8}"
        return f"{columns}  {self.what}: {self.detail}"


def ratio(
    name: str, what: str, pairs: list[tuple[float, float]], aim: float, unit: str, at_most: bool = False
) -> Figure:
    """The figure of paired measurements (ours, theirs): the median of the pairs' ratios."""
    ratios = sorted(ours / theirs for ours, theirs in pairs)
    value = statistics.median(ratios)
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    words = "≤" if at_most else "≥"
    met = value <= aim if at_most else value >= aim
    detail = f"{ours:,.0f} to {theirs:,.0f} {unit}"
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return Figure(name, what, value, low, high, f"{words} {aim:g}", met, detail)


@contextlib.contextmanager
def private_world() -> Iterator[Path]:
    """Settings, caches, runs and sockets of the benchmark's own."""
    base = Path(tempfile.mkdtemp(prefix="tgb-", dir="/tmp"))
    before = dict(os.environ)
    for variable, name in (
        ("XDG_CONFIG_HOME", "config"),
        ("XDG_CACHE_HOME", "cache"),
        ("XDG_RUNTIME_DIR", "run"),
        ("TUI_GEN_RUNS", "runs"),
    ):
        (base / name).mkdir(mode=0o700)
        os.environ[variable] = str(base / name)
    for variable in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "NO_COLOR", "TMUX"):
        os.environ.pop(variable, None)
    # From bytecode, as installed programs run, even where the environment forbids to write it.
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(base / "bytecode")}
    try:
        yield base
    finally:
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(base, ignore_errors=True)


def mnist_folder(base: Path) -> tuple[str, str]:
    """(folder with MNIST/raw, what it is): the real one, else random images in its form and number."""
    from tests import mnist

    if (found := mnist.root()) is not None:
        return str(found), "the real MNIST"
    import numpy as np

    raw = base / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 60_000), ("t10k", 10_000)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", (np.arange(count) % 10).astype(np.uint8))):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">u4").tobytes()
            (raw / f"{prefix}-{name}-ubyte").write_bytes(head + array.tobytes())
    return str(base / "mnist"), "random images in MNIST's form"


def benchmarks() -> dict[str, Callable[[Settings, Path, str], Figure | Iterable[Figure]]]:
    """Name → what measures it, in the order of the table: each `bench_….py` beside this file may have BENCHMARKS."""
    parts = map(importlib.import_module, (f"tests.{path.stem}" for path in sorted(HERE.glob("bench_*.py"))))
    return {name: measure for part in parts for name, measure in getattr(part, "BENCHMARKS", {}).items()}


def grouped(word: str, known: Mapping[str, object]) -> list[str]:
    """The benchmarks that a word names: one by its name, or all that have it before a dash."""
    return [word] if word in known else [name for name in known if name.startswith(f"{word}-")] or [word]


def main() -> int:
    """Run the benchmarks that are named, or all."""
    known = benchmarks()
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    words = f"any of: {', '.join(known)}; health is all that begin with it"
    parser.add_argument("names", nargs="*", metavar="NAME", help=words)
    parser.add_argument("--quick", action="store_true", help="three pairs of each; a rough idea")
    parser.add_argument("--pairs", type=int, default=Settings.pairs)
    parser.add_argument("--seconds", type=float, default=Settings.seconds, help="measured on each side of a pair")
    parser.add_argument("--beside", default="", metavar="DIR", help="another checkout (builds, viewer, cold)")
    parser.add_argument("--leet", default="wandb", metavar="COMMAND", help="the wandb whose LEET is measured (viewer)")
    given = parser.parse_args()
    given.names = [name for word in given.names for name in grouped(word, known)]
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}")
    settings = Settings(*((3, 1.0) if given.quick else (given.pairs, given.seconds)), given.beside, given.leet)
    with private_world() as base:
        root, words = mnist_folder(base)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        machine = f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}"
        print(f"{machine}, {words}")
        if load > 0.5 * (os.cpu_count() or 1):
            print("other programs keep this machine busy: threads that wait for each other suffer, figures mean little")
        print(f"{settings.pairs} pairs of {settings.seconds:g} s a side, 2 threads")
        print("figures are medians of the pairs' ratios; the spread is that of their middle half")
        print(f"{'benchmark':<13}{'figure':>10}  {'spread':>13}  {'aim':>9}  met  of limit  what")
        started = time.monotonic()
        for name in given.names or known:
            try:
                found = known[name](settings, base, root)
                for figure in found if isinstance(found, Iterable) else [found]:
                    print(figure, flush=True)
            except Exception as error:  # the others are still worth having
                print(f"{name:<13}{'failed':>10}  {type(error).__name__}: {error}", flush=True)
                traceback.print_exc()
        print(f"\n{time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
