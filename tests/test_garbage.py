"""Garbage that only a search finds: nobody looks for it while keys are pressed, the beat does so in calm moments."""

from __future__ import annotations

import gc
import weakref

import pytest

from tui_gen.app import garbage
from tui_gen.app.workbench import Workbench


@pytest.fixture
def settled():
    before = gc.get_threshold()
    garbage.settle()
    yield
    gc.set_threshold(*before)


class Ring:
    """One of several that hold each other: no count of references says that they are gone."""


def _ring(size: int) -> weakref.ref[Ring]:
    rings = [Ring() for _ in range(size)]
    for ring, other in zip(rings, rings[1:] + rings[:1]):
        ring.other = other
    return weakref.ref(rings[0])


def test_it_is_looked_for_between_keys_and_not_while_a_dialog_is_made(settled, monkeypatch):
    class Hands:
        hands_on = True

    class Quiet:
        view = session = None
        announcer = None
        follower = Hands()
        runs = conductor = stock = type("Part", (), {"view": None, "beat": lambda *_: None})()

    few = _ring(garbage.DUE // 2)
    Workbench.beat(Quiet(), 0.0)
    many = _ring(2 * garbage.DUE)
    Workbench.beat(Quiet(), 0.0)
    assert few() is not None and many() is not None
    monkeypatch.setattr(Hands, "hands_on", False)
    Workbench.beat(Quiet(), 0.0)
    assert few() is None and many() is None
