"""Alerts: what in the numbers a person should look at, found after they left the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tui_gen import events, remedy
from tui_gen.config import TrainConfig

QUIET = 500
"""Steps before the same alert is given again."""


class Health:
    """Watches flushed metrics; `look` returns new alerts. Rules: not finite, spike, three kinds of collapse."""

    def __init__(self, train: TrainConfig | None = None) -> None:
        self._train = train or TrainConfig()
        self._recent: dict[str, list[float]] = {}
        self._last_alerts: dict[tuple[str, str], int] = {}
        self.failure = ""
        """Which loss stopped being finite first, and when, or an empty string."""

    def look(self, columns: list[events.Metrics]) -> list[events.Alert]:
        """New alerts in these metrics."""
        alerts = []
        first_steps: dict[str, int] = {}
        columns = [event for event in columns if not next(iter(event.values), "").startswith("health/")]
        for event in columns:
            for name, column in event.values.items():
                finite = np.isfinite(np.asarray(column, dtype=np.float64))  # None becomes NaN
                if not finite.all():
                    step = event.start + int(np.argmin(finite)) * event.stride
                    first_steps[name] = min(step, first_steps.get(name, step))
        if first_steps:  # one alert, however many figures it shows in; what comes of it needs none of its own
            return self._not_finite(first_steps)
        for event in columns:
            for name, column in event.values.items():
                alerts += self._one(name, event, column)
        return alerts

    def _not_finite(self, first_steps: dict[str, int]) -> list[events.Alert]:
        """The alert for metrics that stopped being finite, each with the first step where it was not."""
        losses = [name for name in first_steps if name.endswith("/loss") and not name.startswith("val/")]
        first = min(losses or first_steps, key=first_steps.__getitem__)
        step = first_steps[first]
        where = first if len(first_steps) == 1 else f"{first} and {len(first_steps) - 1} more"
        if not losses:
            words = "a value is not finite (NaN or infinite)"
            return self._give(step, "warning", words, where, "Training goes on: its loss is finite.")
        self.failure = self.failure or f"{first} is not finite at step {events.made(step)}"
        phases = [name.removesuffix("/loss") for name in losses]
        return self._loss_broke(step, "the loss is not finite (NaN or infinite)", where, phases if step else [])

    def weights_broke(self, step: int) -> list[events.Alert]:
        """The alert for weights that an update made not finite, after so many steps: no loss has told it yet."""
        if self.failure:
            return []
        self.failure = f"the weights are not finite after step {step}"
        words = "the weights are not finite any more (NaN or infinite)"
        return self._loss_broke(step, words, "", list(self._train.phases))

    def _loss_broke(self, step: int, what: str, where: str, phases: list[str]) -> list[events.Alert]:
        rates = {f"train.phases.{name}.lr": optim.lr for name, optim in self._train.phases.items() if name in phases}
        advice = remedy.advice(rates, step, self._train.on_nan != "continue")
        return self._give(step, "error", what, where, advice, rates)

    def _one(self, name: str, event: events.Metrics, column: Sequence[float | None]) -> list[events.Alert]:
        alerts: list[events.Alert] = []
        numbers = values = np.asarray(column, dtype=np.float64)
        if not len(values) or name.startswith("val/") or name.endswith("/lr"):
            return alerts
        last = event.start + (len(column) - 1) * event.stride
        recent = self._recent.setdefault(name, [])
        if name.endswith("/loss") and len(recent) >= 100:
            middle = float(np.median(recent))
            spread = float(np.median(np.abs(np.array(recent) - middle))) + 1e-6 * abs(middle) + 1e-9
            top = float(values.max())
            if top > middle + 30 * spread and top > middle + 2 * abs(middle):
                step = event.start + int(np.flatnonzero(numbers == top)[0]) * event.stride
                words = f"spike: {top:.4g}, the recent median is {middle:.4g}"
                alerts += self._give(step, "warning", words, name, "If it comes back: clip_norm = 1, or a lower lr.")
        recent += values[-200:].tolist()
        del recent[:-200]
        if name.endswith("/diversity") and last > 200 and len(recent) >= 50 and np.median(recent[-50:]) < 0.1:
            words = "mode collapse: generated images are nearly all alike"
            advice = "Try loss = wasserstein-gp, R1 (r1_weight = 1), or lower learning rates."
            alerts += self._give(last, "warning", words, name, advice)
        if name.endswith("/kl") and last > 200 and len(recent) >= 50 and abs(np.median(recent[-50:])) < 0.05:
            words = "posterior collapse: the code carries no information"
            alerts += self._give(last, "warning", words, name, "Lower beta, or make the decoder weaker.")
        if name.endswith("/active_codes") and last > 200 and len(recent) >= 50 and np.median(recent[-50:]) < 1.5:
            words = "codebook collapse: every place of every example has the same code"
            advice = "Let codes restart (restart_after = 20), lower the learning rate, or raise commitment."
            alerts += self._give(last, "warning", words, name, advice)
        return alerts

    def _give(
        self, step: int, level: str, what: str, where: str, advice: str, rates: dict[str, float] | None = None
    ) -> list[events.Alert]:
        kind = (what.split(":")[0], where.split(" and ")[0] if rates is None else "")  # a run has one loss that broke
        if step - self._last_alerts.get(kind, -QUIET) < QUIET:
            return []
        self._last_alerts[kind] = step
        return [events.Alert(step=step, level=level, what=what, where=where[:200], advice=advice, rates=rates or {})]
