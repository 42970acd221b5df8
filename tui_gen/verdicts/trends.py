"""What can be told from the numbers of one curve: whether it over- or underfits, rises, is stuck, explodes, and where
it leads.

Curves of every step are put together to blocks of steps first, so that what is told is of the trend, not the noise.
"""

from __future__ import annotations

import numpy as np

RECENT = 50
"""Values of every step whose median is the value of now."""
FEW = 4
"""Validations without which nothing is said of overfitting."""
PATIENCE = 3
"""Validations in a row that must be worse than the best one."""
MOST = 4000
"""Values of a curve that are looked at, evenly spread: a verdict is to be cheap however long a run is."""


def settled(values: np.ndarray, last: int | None = None) -> float:
    """The value of now: the median of the last few, NaN where none of them is a number.

    Of a curve of hundreds of values these are `RECENT`, of one of few (measured seldom) the last one.
    """
    last = last or (min(RECENT, max(1, len(values) // 4)) if len(values) > 200 else 1)
    late = values[-last:]
    late = late[np.isfinite(late)]
    return float(np.median(late)) if len(late) else float("nan")


def blocks(steps: np.ndarray, values: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `most` blocks of a curve, from its first to its last: each block's last step and its median."""
    if len(values) <= most:
        return steps, values.astype(np.float64)
    stride = max(1, len(values) // MOST)
    steps, values = steps[::-stride][::-1], values[::-stride][::-1]
    edges = np.linspace(0, len(values), most + 1).astype(int)
    sizes = np.diff(edges)
    table = np.full((most, sizes.max()), np.nan)  # a row for each block: hundreds of medians one by one take 5 ms
    places = np.arange(len(values)) - np.repeat(edges[:-1], sizes)
    table[np.repeat(np.arange(most), sizes), places] = np.where(np.isfinite(values), values, np.nan)
    table.sort(axis=1)  # NaN comes last
    row, count = np.arange(most), np.isfinite(table).sum(axis=1)
    return steps[edges[1:] - 1], (table[row, (count - 1) // 2] + table[row, count // 2]) / 2


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _spread(values: np.ndarray) -> float:
    """How much one value differs from the next by chance: the median of the differences, as a standard deviation."""
    steps = np.abs(np.diff(values[np.isfinite(values)]))
    return 1.05 * float(np.median(steps)) if len(steps) else 0.0


def overfits(
    steps: np.ndarray, values: np.ndarray, val_steps: np.ndarray, val_values: np.ndarray
) -> dict[str, float] | None:
    """Whether a validation loss has risen since its best by more than its noise, while that of training fell.

    `step` is that of the best validation, `best` and `value` are the best one and that of now.
    """
    fine = np.isfinite(val_values)
    val_steps, val_values = val_steps[fine], val_values[fine]
    if len(val_values) < FEW + PATIENCE:
        return None
    place = int(np.argmin(val_values))
    late = val_values[-PATIENCE:]
    if len(val_values) - place <= PATIENCE:
        return None
    best, now = float(val_values[place]), float(np.median(late))
    gain = float(np.max(val_values[: place + 1])) - best
    if float(late.min()) - best <= max(3 * _spread(val_values[place:]), 0.05 * gain, 0.005 * abs(best)):
        return None
    at_best = values[max(0, int(steps.searchsorted(val_steps[place])) - RECENT) :][: 2 * RECENT]
    train_gain, noise = _median(at_best) - _median(values[-RECENT:]), _spread(values[-RECENT:]) / RECENT**0.5
    return {"step": int(val_steps[place]), "best": best, "value": now} if train_gain > noise else None


def underfits(values: np.ndarray, val_values: np.ndarray) -> dict[str, float] | None:
    """Whether a loss of validation is no worse than that of training, but for noise and a fiftieth of what training has
    gained: it has learnt nothing by heart.

    `best` and `value` are those of training and of validation now.
    """
    val_values = val_values[np.isfinite(val_values)]
    now, late = _median(values[-RECENT:]), val_values[-PATIENCE:]
    if len(val_values) < FEW or not np.isfinite(now):
        return None
    noise = max(_spread(values[-RECENT:]) / RECENT**0.5, _spread(late))
    value = float(np.median(late))
    enough = value - now <= max(3 * noise, 0.02 * abs(_first(values) - now))
    return {"best": now, "value": value} if enough else None


def rises(steps: np.ndarray, values: np.ndarray) -> dict[str, float] | None:
    """Whether a loss has lost more than half of what it had gained: `step` is that of its lowest, `best` that value."""
    at, medians = blocks(steps, values, 20)
    if len(medians) < 5 or not np.isfinite(medians).any():
        return None
    start, place = _first(values), int(np.nanargmin(medians))
    best, now = float(medians[place]), float(np.median(medians[-2:]))
    gain = start - best
    if gain <= 0 or len(medians) - place <= 2 or now - best <= max(0.5 * gain, 4 * _spread(medians)):
        return None
    return {"step": int(at[place]), "best": best, "value": now}


def _first(values: np.ndarray) -> float:
    return _median(values[:3])


def stuck(values: np.ndarray) -> dict[str, float] | None:
    """Whether a loss has not become lower since its first values by more than it differs from step to step."""
    now = _median(values[-RECENT:])
    lower = _first(values) - now
    return {"value": now} if len(values) >= 4 * RECENT and lower < _spread(values[-RECENT:]) else None


def explodes(values: np.ndarray, times: float) -> dict[str, float] | None:
    """Whether what is measured seldom is now so many times what it was at its lowest: the median of three, each."""
    medians = _thirds(values)
    if medians is None:
        return None
    least, now = float(medians.min()), float(medians[-1])
    return {"value": now, "best": least} if least > 0 and now > times * least else None


def vanishes(values: np.ndarray, share: float) -> dict[str, float] | None:
    """Whether what is measured seldom is now less than a share of what it was at its highest."""
    medians = _thirds(values)
    if medians is None:
        return None
    most, now = float(medians.max()), float(medians[-1])
    return {"value": now, "best": most} if now < share * most else None


def _thirds(values: np.ndarray) -> np.ndarray | None:
    """Running medians of three; None of too few."""
    finite = values[np.isfinite(values)][-MOST:]
    if len(finite) < 6:
        return None
    medians: np.ndarray = np.median(np.stack([finite[:-2], finite[1:-1], finite[2:]]), axis=0)
    return medians


def projected(steps: np.ndarray, values: np.ndarray, end: float) -> float | None:
    """Where a curve leads at step `end`: the line through its later half over the steps' logarithm; None of too few."""
    at, medians = blocks(steps, values, 40)
    fine = np.isfinite(medians) & (at > 0)
    at, medians = at[fine][len(medians) // 2 :], medians[fine][len(medians) // 2 :]
    if len(at) < 3 or end <= 0:
        return None
    x = np.log(at)
    if x[-1] <= x[0]:
        return None
    slope, offset = np.polyfit(x, medians, 1)
    return float(offset + slope * np.log(end))
