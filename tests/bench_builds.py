"""How fast this checkout trains beside another: `python -m tests.bench builds --beside DIR`.

Runs as people start them, from the command line, with previews, validation and checkpoints as shipped, not compiled:
each build trains the same recipe in turn, and steps are counted in what it writes to its log. The other checkout needs
a `.venv` of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.bench import Figure, Settings, ratio

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ("vae", "gan", "wgan-gp-ring", "dcgan-digits", "vq-vae-digits", "ddpm-digits", "flow-matching-ring",
           "mlp-classifier", "char-gru")  # fmt: skip
"""One of each family, and of each kind of data."""
ON_MNIST = ("vae", "gan", "mlp-classifier")
"""Those whose data is as large as MNIST: trained on that."""
WARM = 1.5
"""Seconds of steps that are not counted: buffers are made in them."""


def steps_a_second(checkout: Path, recipe: str, root: str, seconds: float) -> float:
    """Of a run that trains for so long after its warm-up. Raises RuntimeError where it ends before."""
    python = sys.executable if checkout == ROOT else str(checkout / ".venv" / "bin" / "python")
    command = [python, "-m", "tui_gen", "--run", recipe, "--json"]
    settings = ["train.compile=off", "train.steps=1000000", "train.epochs=0"]
    if recipe in ON_MNIST:
        settings += ["dataset.name=mnist", f"dataset.root={root}"]
    command += [word for setting in settings for word in ("--set", setting)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=checkout, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        first: tuple[float, int] | None = None
        begun = 0.0
        try:
            for line in process.stdout:
                event = json.loads(line)
                if event["type"] != "metrics" or any(name.startswith("val/") for name in event["values"]):
                    continue
                now, step = event["t"], event["start"] + event["stride"] * max(map(len, event["values"].values()))
                begun = begun or now
                if first is None and now - begun >= WARM:
                    first = now, step
                elif first is not None and now - first[0] >= seconds:
                    return float(step - first[1]) / float(now - first[0])
        finally:
            process.terminate()
            process.stdout.read()
        raise RuntimeError(f"{recipe} of {checkout.name} ended early: {process.stderr.read().strip()[-300:]}")


def builds(recipe: str, settings: Settings, base: Path, root: str) -> Iterator[Figure]:
    """Steps a second of this checkout ÷ those of the other."""
    if not settings.beside:
        return
    other = Path(settings.beside).resolve()
    measure = partial(steps_a_second, recipe=recipe, root=root, seconds=settings.seconds)
    pairs = []
    for turn in range(settings.pairs):
        order = (ROOT, other) if turn % 2 == 0 else (other, ROOT)
        rates = {checkout: measure(checkout) for checkout in order}
        pairs.append((rates[ROOT], rates[other]))
    yield ratio("builds", f"{recipe}, this ÷ the other", pairs, 0.97, "steps/s")


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Iterator[Figure]]] = {
    f"builds-{recipe}": partial(builds, recipe) for recipe in RECIPES
}
