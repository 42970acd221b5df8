"""How fast this checkout trains beside another: `python -m tests.bench builds --beside DIR`.

Runs as people start them, from the command line, with previews, validation and checkpoints as shipped, not compiled.
Both train the same recipe at once, and a fifth of a second at a time one of them is held while the other computes:
processors change their speed for seconds, by more than what is looked for, and so both feel the same. Steps are counted
in what each writes to its log. The other checkout needs a `.venv` of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
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
TURN = 0.2
"""Seconds for which one of the two computes while the other is held."""
SETTLED = 0.2
"""Seconds in which what a worker wrote before it was held has been read."""
MARK = "TUI_GEN_BENCH"
"""In the environment of a run, so that its worker is found, whatever that build calls it."""


class Run:
    """A run of a checkout, from the command line; `step` is how far its log says that it is.

    Raises RuntimeError where it ends before its first step.
    """

    def __init__(self, checkout: Path, recipe: str, root: str) -> None:
        self.checkout, self.step, self._mark = checkout, 0, uuid.uuid4().hex
        python = sys.executable if checkout == ROOT else str(checkout / ".venv" / "bin" / "python")
        settings = ["train.compile=off", "train.steps=1000000", "train.epochs=0"]
        if recipe in ON_MNIST:
            settings += ["dataset.name=mnist", f"dataset.root={root}"]
        command = [python, "-m", "tui_gen", "--run", recipe, "--json"]
        command += [word for setting in settings for word in ("--set", setting)]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the run
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._errors, cwd=checkout, text=True,
            env=os.environ | {MARK: self._mark},
        )  # fmt: skip
        self._begun = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._begun.wait()
        try:
            self._check()
            self._worker = self._find()
        except RuntimeError:
            self._process.terminate()
            raise

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if event["type"] != "metrics" or any(name.startswith("val/") for name in event["values"]):
                continue
            self.step = max(self.step, event["start"] + event["stride"] * max(map(len, event["values"].values())))
            self._begun.set()
        self._begun.set()

    def _check(self) -> None:
        if self._process.poll() is not None or not self._reader.is_alive():
            self._errors.seek(0)
            raise RuntimeError(f"the run of {self.checkout.name} ended early: {self._errors.read().strip()[-300:]}")

    def _find(self) -> int:
        mark = f"{MARK}={self._mark}".encode()
        for path in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # it has ended, or is somebody else's
                if int(path.parent.name) != self._process.pid and mark in path.read_bytes().split(b"\0"):
                    return int(path.parent.name)
        raise RuntimeError(f"the worker of {self.checkout.name} is not found: this needs Linux's /proc")

    def compute(self, seconds: float) -> float:
        """Let it go on for so long; the seconds that it had."""
        self._check()
        os.kill(self._worker, signal.SIGCONT)
        begun = time.perf_counter()
        time.sleep(seconds)
        self.hold()
        return time.perf_counter() - begun

    def hold(self) -> None:
        """Let it compute nothing."""
        os.kill(self._worker, signal.SIGSTOP)

    def settled_step(self) -> int:
        """The last step that its log has, now that it is held."""
        time.sleep(SETTLED)
        return self.step

    def end(self) -> None:
        """Stop it, and wait until it is gone."""
        with suppress(OSError):
            os.kill(self._worker, signal.SIGCONT)
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        self._errors.close()


def steps_a_second(checkouts: tuple[Path, Path], recipe: str, root: str, seconds: float) -> dict[Path, float]:
    """Of two that train by turns, each for so long after its warm-up. Raises RuntimeError where one ends before."""
    both: list[Run] = []
    try:
        for checkout in checkouts:
            both.append(Run(checkout, recipe, root))
            both[-1].compute(WARM)
        first = [run.settled_step() for run in both]
        computed = [0.0, 0.0]
        while min(computed) < seconds:
            for side, run in enumerate(both):
                computed[side] += run.compute(TURN)
        last = [run.settled_step() for run in both]
    finally:
        for run in both:
            run.end()
    rates = [(after - before) / spent for before, after, spent in zip(first, last, computed, strict=True)]
    return dict(zip(checkouts, rates, strict=True))


def builds(recipe: str, settings: Settings, base: Path, root: str) -> Iterator[Figure]:
    """Steps a second of this checkout ÷ those of the other; each begins first in every other pair."""
    if not settings.beside:
        return
    other = Path(settings.beside).resolve()
    pairs = []
    for turn in range(settings.pairs):
        rates = steps_a_second((ROOT, other) if turn % 2 == 0 else (other, ROOT), recipe, root, settings.seconds)
        pairs.append((rates[ROOT], rates[other]))
    yield ratio("builds", f"{recipe}, this ÷ the other", pairs, 0.97, "steps/s")


BENCHMARKS: dict[str, Callable[[Settings, Path, str], Iterator[Figure]]] = {
    f"builds-{recipe}": partial(builds, recipe) for recipe in RECIPES
}
