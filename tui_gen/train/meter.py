"""Metrics on their way from the device to the log: every step's value kept, one copy per flush."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from tui_gen import events


class Meter:
    """Collects each step's scalars on the device; `flush` brings them over in one copy.

    Nothing here waits for the device until `flush`. Floats (learning rates) may be recorded as well.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], list[tuple[int, Tensor]]] = {}
        self._floats: dict[str, list[tuple[int, float]]] = {}

    def record(self, step: int, metrics: dict[str, Tensor]) -> None:
        """Keep scalar tensors (detached here) as step `step`'s values; copied, so a graph may reuse their memory."""
        row = torch.stack([value.detach().float().reshape(()) for value in metrics.values()])
        self._rows.setdefault(tuple(metrics), []).append((step, row))

    def record_float(self, step: int, name: str, value: float) -> None:
        """Keep a number that the host already knows."""
        self._floats.setdefault(name, []).append((step, value))

    def flush(self) -> list[events.Metrics]:
        """Everything recorded since the last flush, columnar; values with 7 significant digits, not finite as None."""
        found = []
        for names, rows in self._rows.items():
            values = torch.stack([row for _, row in rows]).cpu().numpy()
            found += _columns([step for step, _ in rows], names, values)
        for name, pairs in self._floats.items():
            values = np.array([[value] for _, value in pairs])
            found += _columns([step for step, _ in pairs], (name,), values)
        self._rows, self._floats = {}, {}
        return sorted(found, key=lambda event: event.start)


def _columns(steps: list[int], names: tuple[str, ...], values: np.ndarray) -> list[events.Metrics]:
    """Rows as events, one for each stretch of evenly spaced steps."""
    found, start = [], 0
    while start < len(steps):
        end = start + 1
        stride = steps[end] - steps[start] if end < len(steps) else 1
        while end < len(steps) and steps[end] - steps[end - 1] == stride:
            end += 1
        part = values[start:end]
        columns = {name: [_rounded(value) for value in part[:, i].tolist()] for i, name in enumerate(names)}
        found.append(events.Metrics(start=steps[start], stride=stride, values=columns))
        start = end
    return found


def _rounded(value: float) -> float | None:
    return float(f"{value:.7g}") if math.isfinite(value) else None
