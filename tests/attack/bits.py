"""Whether two runs ended with the same bits: weights, averages, optimisers, random state, curves, last pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tui_gen import runs
from tui_gen.train.offline.alike import unlike
from tui_gen.view import RunView


def differences(expected: Path, found: Path) -> list[str]:
    """What is not the same in two finished runs of one config, in words; nothing where all is."""
    one, two = _read(expected), _read(found)
    if one.state != "finished":
        return [f"the undisturbed run is {one.state}: {one.reason}"]
    if two.state != "finished":
        last = " | ".join(runs.last_log_lines(found, 3))
        return [f"it ended {two.state} at step {two.step}: {two.reason or last}"]
    wrong = [f"step {two.step}, not {one.step}"] if one.step != two.step else []
    wrong += _different_checkpoints(expected, found)
    for name in sorted(one.series.keys() | two.series.keys()):
        left, right = one.series.get(name), two.series.get(name)
        if left is None or right is None:
            wrong.append(f"the curve {name} is in one of them only")
        elif list(left.steps) != list(right.steps):
            wrong.append(f"the steps of {name} differ ({len(left.steps)} and {len(right.steps)})")
        elif not all(_same(a, b) for a, b in zip(left.values.tolist(), right.values.tolist(), strict=True)):
            wrong.append(f"the values of {name} differ")
    # A table of quality says how long it took; its figures are among the curves.
    last = {sample.path for sample in one.samples if sample.step == one.step and sample.kind != "quality"}
    for path in sorted(last):
        if not (found / path).is_file() or (found / path).read_bytes() != (expected / path).read_bytes():
            wrong.append(f"{path} differs")
    return wrong


def _read(run: Path) -> RunView:
    view = RunView(run)
    view.read_all()
    return view


def _different_checkpoints(expected: Path, found: Path) -> list[str]:
    """What differs between the last checkpoints of two runs."""
    one, two = newest(expected), newest(found)
    if one is None or two is None or one.name != two.name:
        return [f"the last checkpoints are {one and one.name} and {two and two.name}"]
    wrong = []
    for name in ("model.safetensors", "ema.safetensors"):
        if (one / name).exists() != (two / name).exists():
            wrong.append(f"{name} is in one of them only")
        elif (one / name).exists():
            wrong += [f"{name}: {words}" for words in unlike(load_file(one / name), load_file(two / name))]
    states = [torch.load(path / "state.pt", map_location="cpu", weights_only=True) for path in (one, two)]
    return wrong + [f"state.pt: {words}" for words in unlike(*states)][:5]


def newest(run: Path) -> Path | None:
    """The newest complete checkpoint's folder."""
    found = [path for path in (run / "checkpoints").glob("[0-9]*") if path.name.isdecimal()]
    return max((path for path in found if (path / "meta.json").exists()), key=lambda path: int(path.name), default=None)


def _same(one: Any, two: Any) -> bool:
    both_nan = isinstance(one, float) and isinstance(two, float) and math.isnan(one) and math.isnan(two)
    return both_nan or one == two
