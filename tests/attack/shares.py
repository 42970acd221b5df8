"""Batches and weights that processes share: every family against one process, with even and with uneven shares."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import many, small_runs, test_many_processes, test_one_copy
from tests.attack.outcome import Attack, Outcome, Plan
from tui_gen.train.engine.ranks import ALONE

COUNTS = (2, 3, 4)
"""Of batches of 16: 8 each; 6, 5 and 5; 4 each."""


def shares(plan: Plan) -> Iterator[Outcome]:
    """Weights, metrics, validation and random numbers are one process's, and the same bits on all ranks."""
    small_runs.built()
    alone = test_many_processes.everything(ALONE)
    for count in COUNTS:
        row = Outcome("shares", f"16 examples, {count} processes")
        answers = many.run(count, plan.folder("shares"), test_many_processes.everything, timeout=300)
        for name, expected in alone.items():
            row.take(_wrong(name, expected, [answer[name] for answer in answers]), f"{name}, {count} processes")
        yield row


def one_copy(plan: Plan) -> Iterator[Outcome]:
    """Processes that keep one copy of the weights have the bits of those that keep one each."""
    small_runs.built()
    for count in COUNTS:
        row = Outcome("one copy", f"{count} processes")
        with pytest.MonkeyPatch.context() as patch:
            try:
                test_one_copy.assert_one_copy_is_enough(count, plan.folder("copy"), patch)
                wrong = []
            except AssertionError as error:
                wrong = [str(error)]
        row.take(wrong, f"{count} processes")
        yield row


def _wrong(name: str, expected: dict[str, Any], answers: list[dict[str, Any]]) -> list[str]:
    try:
        test_many_processes.assert_alike(expected, answers[0], name)
        for answer in answers[1:]:
            test_many_processes.assert_same_bits(answers[0], answer, name)
    except AssertionError as error:
        return [str(error)]
    return []


ATTACKS: dict[str, Attack] = {"shares": shares, "one-copy": one_copy}
