"""Judge the digit recipes by their samples: `make quality`, or `python -m tests.quality --only vae-digits --minutes 3`.

Trains each recipe by a worker process, as `tui-gen --run` does, draws samples from its last checkpoint, and shows them
to a classifier that was trained on real digits (`tests/judge.py`). R is the share of held-out real digits that the
judge is at least 0.9 confident about; a recipe passes with `share / R` at its aim or above and no class below 3 %.
"""

from __future__ import annotations

import argparse
import io
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from PIL import Image

from tests.judge import Judge, Verdict, judge
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import launch, runs
from tui_gen.train import catalogue, checkpoints
from tui_gen.train.previews import GAP
from tui_gen.train.sample import sample

AIMS = {"vae-digits": 0.65, "dcgan-digits": 0.8, "ddpm-digits": 0.8}
SMALLEST = 0.03
SIDE = 50
"""Samples judged: SIDE × SIDE."""


@dataclass
class Result:
    recipe: str
    steps: int
    seconds: float
    verdict: Verdict


def train(run: Path, minutes: float) -> None:
    """Train a run to its end, or stop it with a checkpoint when it has trained that long."""
    command = [sys.executable, "-m", "tui_gen.train.worker", str(run)]
    worker = subprocess.Popen(command, env=launch.environment())
    try:
        worker.wait(60 * minutes)
    except subprocess.TimeoutExpired:
        worker.send_signal(signal.SIGTERM)
        worker.wait(60)
    except BaseException:
        worker.kill()
        raise
    if worker.returncode:
        raise SystemExit(f"{run.name} failed:\n" + "\n".join(runs.last_log_lines(run)))


def draw(run: Path, seed: int) -> torch.Tensor:
    """SIDE² samples of the newest checkpoint, (N, 1, S, S) in [0, 1], by way of the PNG that people get."""
    png = sample(run, SIDE**2, seed, None, None, "cpu")
    grid = torch.from_numpy(numpy.array(Image.open(io.BytesIO(png)).convert("L"))).float() / 255
    grid = torch.nn.functional.pad(grid, (0, GAP, 0, GAP))
    pitch = grid.shape[0] // SIDE
    tiles = grid.reshape(SIDE, pitch, SIDE, pitch).transpose(1, 2).reshape(-1, 1, pitch, pitch)
    return tiles[..., : pitch - GAP, : pitch - GAP]


def measure(
    recipe: str, root: Path, minutes: float, overrides: list[str], known: catalogs.Catalog, by: Judge
) -> Result:
    """Train a recipe and judge its samples."""
    config = catalogs.resolve(recipe, known, overrides)
    run = runs.create(root, recipe, configs.dumps(config))
    train(run, minutes)
    _, _, meta = checkpoints.complete(run)[-1]
    return Result(recipe, meta.step, meta.seconds, by.look(draw(run, seed=1)))


def main() -> int:
    """Print the table; the status is 1 where a recipe misses its aim."""
    parser = argparse.ArgumentParser(prog="python -m tests.quality", description=__doc__)
    parser.add_argument("--only", action="append", metavar="RECIPE", help="this recipe alone; may be repeated")
    parser.add_argument("--minutes", type=float, default=3.0, help="stop training after this long (default 3)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a recipe's value")
    given = parser.parse_args()
    known, _ = catalogue.build()
    known.recipes = catalogs.read().recipes
    wanted = given.only or list(AIMS)
    unknown = [name for name in wanted if name not in known.recipes]
    if unknown:
        parser.error(f"no such recipe: {', '.join(unknown)}")
    started = time.monotonic()
    by = judge()
    print(f"judge: held-out accuracy {by.accuracy:.3f}, R = {by.real:.3f} ({time.monotonic() - started:.0f} s)")
    print(f"{'recipe':<18}{'steps':>8}{'seconds':>9}{'share':>8}{'R':>8}{'share/R':>9}{'smallest class':>16}  pass")
    failed = False
    with tempfile.TemporaryDirectory(prefix="tui-gen-quality-") as folder:
        for name in wanted:
            one = measure(name, Path(folder), given.minutes, given.set, known, by)
            ratio = one.verdict.share / by.real
            passed = ratio >= AIMS.get(name, 0) and one.verdict.smallest >= SMALLEST
            failed |= not passed
            print(
                f"{name:<18}{one.steps:>8}{one.seconds:>9.0f}{one.verdict.share:>8.3f}{by.real:>8.3f}{ratio:>9.2f}"
                f"{one.verdict.smallest:>16.3f}  {'yes' if passed else 'NO'}",
                flush=True,
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
