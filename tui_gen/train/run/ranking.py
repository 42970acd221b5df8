"""How good a run is by the metric that ranks its checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection


class Rank:
    """The value of the validation metric that ranks checkpoints, less is better; `higher` are those where more is."""

    def __init__(self, higher: Collection[str]) -> None:
        self._higher = higher
        self.value: float | None = None
        self.metric = ""

    def take(self, values: dict[str, float], best: str, note: Callable[[str, str], None]) -> None:
        """Remember it of a validation: `best` names the metric, as configs do, or is empty for the first."""
        rank_metric = best or next(iter(values))
        name = next((metric for metric in (rank_metric, f"val/{rank_metric}") if metric in values), "")
        if not name and rank_metric != self.metric:
            names = ", ".join(metric.removeprefix("val/") for metric in values)
            words = f"checkpoint.best = {rank_metric}: validation has no such metric, so none is the best"
            note(f"{words} (it has {names})", "warning")
        value = values.get(name, math.nan)
        if name.rpartition("/")[2] in self._higher:
            value = -value
        self.value, self.metric = value if math.isfinite(value) else None, name or rank_metric

    def forget(self) -> None:
        """Nothing is known: the weights are others."""
        self.value = None
