"""What the checks of a device have in common: their results, trainers on it, and what tells two of them apart."""

from __future__ import annotations

import contextlib
import statistics
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch

from tests import small_runs
from tui_gen import config as configs
from tui_gen import runs
from tui_gen.train.data import dataset_of, load
from tui_gen.train.engine import devices
from tui_gen.train.engine.building import weights_of
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.offline.alike import unlike
from tui_gen.train.run import checkpoints
from tui_gen.train.run.checkpoints import Meta


class Result(msgspec.Struct):
    """One line of the table: whether it held (None where it is only a figure), a figure, and words on it."""

    name: str
    held: bool | None
    figure: str = ""
    words: str = ""


class Setting(msgspec.Struct):
    """On what the checks run, how long, and a folder of their own with data in MNIST's form."""

    device: str
    quick: bool
    folder: str
    root: str = ""

    @property
    def place(self) -> torch.device:
        """The device."""
        return devices.pick_device(self.device)

    def steps(self, many: int) -> int:
        """So many steps, or the fewest that say anything."""
        return min(many, 4) if self.quick else many


Check = Callable[[Setting], Iterator[Result]]


def trainer(made: configs.RunConfig, place: torch.device) -> Trainer:
    """A trainer of a config on a device."""
    _, classes = small_runs.built()
    data = load(dataset_of(made.dataset, classes.datasets), place, seed=made.train.seed)
    parts = small_runs.parts_of(made, data.spec)
    return Trainer(classes.models[made.model.name], made, data, place, lambda _: made.train.steps or None, parts)


def small(family: str, place: torch.device, **overrides: Any) -> Trainer:
    """A trainer of a small config on a device."""
    return trainer(small_runs.config(family, **overrides), place)


def advanced(made: Trainer, steps: int) -> Trainer:
    """The same, so many steps further."""
    for _ in range(steps):
        made.train_step()
    return made


def held_state(made: Trainer) -> dict[str, Any]:
    """All that a trainer goes on from, to be held against another's."""
    return {"weights": weights_of(made.model), "average": weights_of(made.eval_model), "state": made.state()}


def differing(one: Trainer, other: Trainer) -> str:
    """Where two trainers differ, in words; empty where they are the same bits."""
    return "; ".join(unlike(held_state(one), held_state(other))[:3])


def losses(made: Trainer) -> dict[str, list[float]]:
    """Every loss since the last look, by name."""
    found: dict[str, list[float]] = {}
    for event in made.meter.flush():
        for name, column in event.values.items():
            if name.endswith("/loss"):
                found.setdefault(name, []).extend(float("nan") if value is None else value for value in column)
    return found


def finite(found: dict[str, list[float]]) -> bool:
    """Whether there are losses, and all of them are numbers."""
    return bool(found) and all(abs(value) < float("inf") for column in found.values() for value in column)


def checkpoint(made: Trainer, folder: Path) -> checkpoints.Loaded:
    """A trainer's state as it comes back from a checkpoint on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    return checkpoints.load(checkpoints.save(folder, made.snapshot(), Meta(made.step, 0.0, "")))


def restored(made: Trainer, past: checkpoints.Loaded) -> Trainer:
    """A new trainer that goes on from a checkpoint."""
    made.restore(past.state, past.weights, past.average)
    return made


@contextlib.contextmanager
def deterministic() -> Iterator[list[str]]:
    """Inside, PyTorch takes the algorithms that give the same bits each time; the list gets what has none."""
    have_none: list[str] = []
    before = torch.are_deterministic_algorithms_enabled()
    devices.be_deterministic(True, only_warn=True)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield have_none
        told = {str(warning.message) for warning in caught}
        have_none += sorted({words.split(" ")[0] for words in told if "determin" in words})
    finally:
        devices.be_deterministic(before)


def median_of(pairs: list[tuple[float, float]]) -> tuple[float, float, float]:
    """The median, least and largest ratio of paired figures."""
    ratios = sorted(ours / theirs for ours, theirs in pairs)
    return statistics.median(ratios), ratios[0], ratios[-1]


def make_run(setting: Setting, family: str, **overrides: Any) -> Path:
    """A run directory with a small config for the device."""
    made = small_runs.config(family, train__device=setting.device, **overrides)
    return runs.create(Path(setting.folder) / "runs", made.name, configs.dumps(made))
