"""Judge the digit recipes by their samples: `make quality`, or `python -m tests.quality --only vae-digits --minutes 3`.

Trains each recipe by a worker process, as `tui-gen --run` does, and measures the samples of its last checkpoint as
`tui-gen quality` does. R is the share of held-out real digits that the classifier is at least 0.9 confident about; a
recipe passes with `share / R` at its aim or above and no class below 3 %.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import launch, runs
from tui_gen.quality import Report
from tui_gen.train import discover, quality
from tui_gen.train.offline.restore import data_of, restore
from tui_gen.train.run import checkpoints

AIMS = {"vae-digits": 0.65, "dcgan-digits": 0.8, "ddpm-digits": 0.8, "vq-vae-digits": 0.8}
SMALLEST = 0.03
SAMPLES = 2500


@dataclass
class Result:
    recipe: str
    steps: int
    seconds: float
    report: Report


def train(run: Path, minutes: float) -> None:
    """Train a run to its end, or stop it with a checkpoint when it has trained that long."""
    command = [sys.executable, "-m", "tui_gen.train.run", str(run)]
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


def measure(recipe: str, root: Path, minutes: float, overrides: list[str], known: catalogs.Catalog) -> Result:
    """Train a recipe and measure its samples."""
    config = catalogs.resolve(recipe, known, overrides)
    run = runs.create(root, recipe, configs.dumps(config))
    train(run, minutes)
    _, _, meta = checkpoints.complete(run)[-1]
    found = restore(run, device="cpu")
    work = quality.measure(found.model, data_of(found), found.device, step=meta.step, samples=SAMPLES, seed=1)
    return Result(recipe, meta.step, meta.seconds, quality.finish(work))


def main() -> int:
    """Print the table; the status is 1 where a recipe misses its aim."""
    parser = argparse.ArgumentParser(prog="python -m tests.quality", description=__doc__)
    parser.add_argument("--only", action="append", metavar="RECIPE", help="this recipe alone; may be repeated")
    parser.add_argument("--minutes", type=float, default=3.0, help="stop training after this long (default 3)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a recipe's value")
    given = parser.parse_args()
    known, _ = discover.build()
    known.recipes = catalogs.read().recipes
    wanted = given.only or list(AIMS)
    unknown = [name for name in wanted if name not in known.recipes]
    if unknown:
        parser.error(f"no such recipe: {', '.join(unknown)}")
    print(f"{'recipe':<18}{'steps':>8}{'seconds':>9}{'share':>8}{'R':>8}{'share/R':>9}{'smallest class':>16}  pass")
    features = set()
    failed = False
    with tempfile.TemporaryDirectory(prefix="tui-gen-quality-") as folder:
        for name in wanted:
            one = measure(name, Path(folder), given.minutes, given.set, known)
            sure, smallest = (one.report.figure(figure) for figure in ("confident", "smallest_class"))
            if sure is None or smallest is None or not sure.real:
                raise SystemExit(f"{name} is not trained on labelled images with some held out")
            ratio = sure.value / sure.real
            passed = ratio >= AIMS.get(name, 0) and smallest.value >= SMALLEST
            failed |= not passed
            features.add(one.report.features)
            print(
                f"{name:<18}{one.steps:>8}{one.seconds:>9.0f}{sure.value:>8.3f}{sure.real:>8.3f}{ratio:>9.2f}"
                f"{smallest.value:>16.3f}  {'yes' if passed else 'NO'}",
                flush=True,
            )
    print("\n".join(sorted(features)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
