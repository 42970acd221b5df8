"""Metrics on their way from the device to the log: every step's value kept, one copy per flush."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tui_gen import events


def row_of(values: Sequence[Tensor]) -> Tensor:
    """Numbers in tensors, () or (1,) of any type, as one float32 tensor (count,) without their graph."""
    with torch.no_grad():
        if any(value.dim() or value.dtype != torch.float32 for value in values):
            values = [value.float().reshape(()) for value in values]
        return torch.stack(tuple(values))


Row = Tensor | Callable[[], Tensor]
"""A step's values (count,), or what makes them of what is kept: between steps, that is done for many at a time."""


class Meter:
    """Collects each step's scalars on the device; `flush` brings them over in one copy.

    Nothing here waits for the device until `flush`. Floats (learning rates) may be recorded as well.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], list[tuple[int, Row]]] = {}
        self._floats: dict[str, list[tuple[int, float]]] = {}

    def record(self, step: int, names: tuple[str, ...], row: Row) -> None:
        """Keep what `row_of` made of step `step`'s values, or will."""
        self._rows.setdefault(names, []).append((step, row))

    def record_float(self, step: int, name: str, value: float) -> None:
        """Keep a number that the host already knows."""
        self._floats.setdefault(name, []).append((step, value))

    def flush(self) -> list[events.Metrics]:
        """Everything recorded since the last flush: columns of float32, NaN for what is not finite."""
        parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for names, rows in self._rows.items():
            steps = np.array([step for step, _ in rows])
            values = torch.stack([row if isinstance(row, Tensor) else row() for _, row in rows]).cpu().numpy()
            for place, name in enumerate(names):
                parts.setdefault(name, []).append((steps, values[:, place]))
        for name, pairs in self._floats.items():
            at, numbers = zip(*pairs, strict=True)
            parts.setdefault(name, []).append((np.array(at), np.array(numbers)))
        self._rows, self._floats = {}, {}
        # Metrics of the same steps share events; one that comes only at some steps has its own.
        together: dict[bytes, tuple[np.ndarray, dict[str, np.ndarray]]] = {}
        for name, pieces in parts.items():
            steps, values = pieces[0]
            if len(pieces) > 1:
                steps, values = (np.concatenate(column) for column in zip(*pieces, strict=True))
                order = np.argsort(steps, kind="stable")
                steps, values = steps[order], values[order]
            together.setdefault(steps.tobytes(), (steps, {}))[1][name] = values
        metrics = [event for steps, columns in together.values() for event in _stretches(steps.tolist(), columns)]
        return sorted(metrics, key=lambda event: event.start)


def _stretches(steps: list[int], columns: dict[str, np.ndarray]) -> list[events.Metrics]:
    """Columns as events, one for each stretch of evenly spaced steps."""
    metrics, start = [], 0
    while start < len(steps):
        end = start + 1
        stride = steps[end] - steps[start] if end < len(steps) else 1
        while end < len(steps) and steps[end] - steps[end - 1] == stride:
            end += 1
        values: dict[str, Any] = {name: _column(values[start:end]) for name, values in columns.items()}
        metrics.append(events.Metrics(start=steps[start], stride=stride, values=values))
        start = end
    return metrics


def _column(values: np.ndarray) -> array[float]:
    column = array("f")
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    column.frombytes(np.where(np.isfinite(single), single, np.float32(np.nan)).tobytes())
    return column
