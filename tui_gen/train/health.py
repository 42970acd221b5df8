"""Alerts: what in the numbers a person should look at, found after they left the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tui_gen import events

QUIET = 500
"""Steps before the same alert is given again."""


class Health:
    """Watches flushed metrics; `look` returns new alerts. Rules: not finite, spike, three kinds of collapse."""

    def __init__(self) -> None:
        self._recent: dict[str, list[float]] = {}
        self._given: dict[tuple[str, str], int] = {}
        self.broken = ""
        """The first loss that stopped being finite, or an empty string."""

    def look(self, columns: list[events.Metrics]) -> list[events.Alert]:
        """New alerts in these metrics."""
        alerts = []
        for event in columns:
            for name, column in event.values.items():
                alerts += self._one(name, event, column)
        return alerts

    def _one(self, name: str, event: events.Metrics, column: Sequence[float | None]) -> list[events.Alert]:
        found = []
        numbers = np.asarray(column, dtype=np.float64)  # None becomes NaN
        finite = np.isfinite(numbers)
        if not finite.all():
            bad = int(np.argmin(finite))
            step = event.start + bad * event.stride
            if name.endswith("/loss") and not name.startswith("val/") and not self.broken:
                self.broken = f"{name} is not finite at step {step}"
            advice = "Lower the learning rate, clip gradients (clip_norm = 1), or train in float32."
            found += self._give(step, "error", "the value is not finite (NaN or infinite)", name, advice)
        values = numbers[finite]
        if not len(values) or name.startswith("val/") or name.endswith("/lr"):
            return found
        last = event.start + (len(column) - 1) * event.stride
        recent = self._recent.setdefault(name, [])
        if name.endswith("/loss") and len(recent) >= 100:
            middle = float(np.median(recent))
            spread = float(np.median(np.abs(np.array(recent) - middle))) + 1e-6 * abs(middle) + 1e-9
            top = float(values.max())
            if top > middle + 30 * spread and top > middle + 2 * abs(middle):
                step = event.start + int(np.flatnonzero(numbers == top)[0]) * event.stride
                words = f"spike: {top:.4g}, the median of late is {middle:.4g}"
                found += self._give(step, "warning", words, name, "If it comes back: clip_norm = 1, or a lower lr.")
        recent += values[-200:].tolist()
        del recent[:-200]
        if name.endswith("/diversity") and last > 200 and len(recent) >= 50 and np.median(recent[-50:]) < 0.1:
            words = "mode collapse: generated images are nearly all alike"
            advice = "Try loss = wasserstein-gp, R1 (r1_weight = 1), or lower learning rates."
            found += self._give(last, "warning", words, name, advice)
        if name.endswith("/kl") and last > 200 and len(recent) >= 50 and abs(np.median(recent[-50:])) < 0.05:
            words = "posterior collapse: the code carries no information"
            found += self._give(last, "warning", words, name, "Lower beta, or make the decoder weaker.")
        if name.endswith("/active_codes") and last > 200 and len(recent) >= 50 and np.median(recent[-50:]) < 1.5:
            words = "codebook collapse: every place of every example has the same code"
            advice = "Let codes restart (restart_after = 20), lower the learning rate, or raise commitment."
            found += self._give(last, "warning", words, name, advice)
        return found

    def _give(self, step: int, level: str, what: str, where: str, advice: str) -> list[events.Alert]:
        kind = (what.split(":")[0], where)
        if step - self._given.get(kind, -QUIET) < QUIET:
            return []
        self._given[kind] = step
        return [events.Alert(step=step, level=level, what=what, where=where, advice=advice)]
