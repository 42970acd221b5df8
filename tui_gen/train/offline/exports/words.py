"""What an export that fails says, and what one that is made says of itself."""

from __future__ import annotations

from typing import Any

from tui_gen import __version__
from tui_gen.params import describe
from tui_gen.train.offline.restore import Restored


class ExportError(Exception):
    """Why there is no export, in words for people."""


def described(snapshot: Restored, weights: str) -> dict[str, Any]:
    """What is worth knowing of an export's origin: nothing of the machine or its folders."""
    config = snapshot.config
    others = {param.name for param in describe(type(snapshot.model).Config) if param.run}
    averaged = weights == "ema" and config.train.ema > 0
    return {
        "format": "tui-gen",
        "version": __version__,
        "model": config.model.name,
        "settings": {name: value for name, value in config.model.values.items() if name not in others},
        "dataset": config.dataset.name,
        "shape": list(snapshot.spec.shape),
        "classes": list(snapshot.spec.classes),
        "value_range": snapshot.model.value_range,
        "step": snapshot.step,
        "weights": "ema" if averaged else "raw",
    }
