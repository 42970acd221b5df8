"""How a recorded run is replayed: how fast, and from which step to which. Plain data."""

from __future__ import annotations

from typing import NamedTuple

SPEEDS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Speeds that keys go through."""
SLOWEST, FASTEST = 0.1, 10_000.0


class Pace(NamedTuple):
    """`speed` is how many times as fast as it was; `first` the step from which it is played (what came before is there
    at once), `last` the one after which it ends, None for the run's own end.
    """

    speed: float = 20.0
    first: int = 0
    last: int | None = None


def next_speed(speed: float, direction: int) -> float:
    """The next speed of SPEEDS that is faster (1) or slower (-1); the same where there is none."""
    if direction > 0:
        return next((other for other in SPEEDS if other > speed), speed)
    return next((other for other in reversed(SPEEDS) if other < speed), speed)


def shown(speed: float) -> str:
    """`20×`."""
    return f"{speed:g}×"


USUAL = Pace()
"""What is meant where nothing is said."""
