"""Turns of benchmarks: the speed of what is held in between."""

from __future__ import annotations

import pytest

from tests.bench_trainer import Racer


class Told(Racer):
    """Something whose progress is told beforehand."""

    def __init__(self, marks: list[tuple[float, int]]) -> None:
        self.marks = marks

    def poll(self) -> list[tuple[float, int]]:
        """All of it at once."""
        return self.marks


def test_a_speed_counts_the_time_of_turns_alone():
    """From the first mark on to the last: 0.2 + 0.25 + 0.1 seconds of three turns, however long it is held between."""
    turns = [(10.0, 10.25), (17.0, 17.25), (30.0, 30.25)]
    marks = [(10.05, 1_000), (10.15, 1_100), (17.2, 1_350), (30.1, 1_550)]
    assert Told(marks).speed_in(turns) == pytest.approx(550 / 0.55)


def test_a_mark_that_comes_as_a_turn_ends_counts_as_of_its_end():
    assert Told([(1.0, 0), (2.1, 100), (6.0, 300)]).speed_in([(1.0, 2.0), (5.0, 6.0)]) == pytest.approx(150)
