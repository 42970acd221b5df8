"""The x axis in time: which step was reached after how many seconds of training, and ticks at round times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DISTANCES = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
    3600, 7200, 3 * 3600, 6 * 3600, 12 * 3600, 86400, 2 * 86400, 5 * 86400, 10 * 86400, 30 * 86400,
)  # fmt: skip
"""Seconds between two ticks that people find round."""


class Clock:
    """Steps to seconds of training and back: straight between measurements, at the latest speed beyond them.

    `steps` ascend; `seconds` are the time by then: of training, pauses left out, or since the run began. Step 0 is at
    0 s, unless it was measured.
    """

    def __init__(self, steps: Sequence[float] | np.ndarray, seconds: Sequence[float] | np.ndarray) -> None:
        x, t = np.asarray(steps, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
        valid = np.isfinite(x) & np.isfinite(t) & (x >= 0) & (t > 0)
        self._steps = np.concatenate(([0.0], x[valid]))
        self._seconds = np.maximum.accumulate(np.concatenate(([0.0], t[valid])))
        back = 3 * (len(self._steps) - 1) // 4
        span = self._seconds[-1] - self._seconds[back]
        self._speed = float((self._steps[-1] - self._steps[back]) / span) if span > 0 else 0.0

    def __bool__(self) -> bool:
        """Whether anything was measured."""
        return self._speed > 0

    def seconds(self, step: float) -> float:
        """The training time when a step was, or will be, reached."""
        ahead = step - self._steps[-1]
        if ahead > 0 and self._speed:
            return float(self._seconds[-1] + ahead / self._speed)
        return float(np.interp(step, self._steps, self._seconds))

    def step(self, seconds: float) -> float:
        """The step reached after so much training."""
        ahead = seconds - self._seconds[-1]
        if ahead > 0:
            return float(self._steps[-1] + ahead * self._speed)
        return float(np.interp(seconds, self._seconds, self._steps))

    def times(self, steps: np.ndarray) -> np.ndarray:
        """`seconds` of many steps."""
        times = np.interp(steps, self._steps, self._seconds)
        ahead = np.maximum(steps - self._steps[-1], 0.0)
        return times + ahead / self._speed if self._speed else times

    def steps(self, times: np.ndarray) -> np.ndarray:
        """`step` of many times."""
        return np.interp(times, self._seconds, self._steps) + np.maximum(times - self._seconds[-1], 0.0) * self._speed

    def ticks(self, first: float, last: float, count: int, log: bool = False) -> list[tuple[float, str]]:
        """About `count` round times between two steps: the step where each was reached, and its label.

        With `log` they are for a logarithmic axis: each a multiple of the one before.
        """
        lo, hi = self.seconds(first), self.seconds(last)
        if not hi > lo:
            return []
        if log:
            lo = max(lo, hi * 1e-6)
            times = [time for time in DISTANCES if lo <= time <= hi]
            every = max(1, -(-len(times) // max(1, count)))
            return [(self.step(time), time_label(time, time)) for time in times[::every]]
        target = (hi - lo) / max(1, count)
        distance = next((round_time for round_time in DISTANCES if round_time >= target), DISTANCES[-1])
        while (hi - lo) / distance > 2 * count:  # a year or more
            distance *= 2
        numbers = range(int(np.ceil(lo / distance - 1e-9)), int(np.floor(hi / distance + 1e-9)) + 1)
        return [(self.step(number * distance), time_label(number * distance, distance)) for number in numbers]


def time_label(seconds: float, distance: float = 1.0) -> str:
    """A time in its two largest units, as short as can be read: `0`, `0.5s`, `45s`, `1m30`, `12m`, `1h05`, `2d6h`."""
    if seconds == 0:
        return "0"
    if distance < 1 and seconds < 60:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m" + (f"{whole % 60:02}" if whole % 60 else "")
    if whole < 86400:
        return f"{whole // 3600}h" + (f"{whole % 3600 // 60:02}" if whole % 3600 >= 60 else "")
    return f"{whole // 86400}d" + (f"{whole % 86400 // 3600}h" if whole % 86400 >= 3600 else "")
