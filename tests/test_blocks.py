"""Blocks of wide weights, which two processes take from both ends."""

from __future__ import annotations

import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from tui_gen.train.tuned import blocks
from tui_gen.train.tuned.blocks import Block, Counter, Shared, counters, cuts
from tui_gen.train.tuned.handed_rows import Rows

linux = pytest.mark.skipif(sys.platform != "linux", reason="eventfd is Linux's")


@pytest.mark.parametrize("size", [blocks.LEAST - 64, blocks.LEAST, 3 * blocks.LEAST + 64 * 7])
@pytest.mark.parametrize("unit", [64, 1600, 40_000])
@pytest.mark.parametrize("rank", [0, 1])
def test_blocks_are_all_of_a_piece_and_begin_with_the_largest(size, unit, rank):
    start = 3 * unit
    found = cuts(start, start + size, unit, rank)
    assert found[0][0] == start and found[-1][1] == start + size
    assert all(one[1] == other[0] for one, other in itertools.pairwise(found))
    assert all(begin % unit == 0 for begin, _ in found) and all(begin < end for begin, end in found)
    if size < blocks.LEAST:
        assert len(found) == 1
    elif size > 8 * unit:
        sizes = [end - begin for begin, end in (found if rank == 0 else found[::-1])]
        assert len(sizes) == 3 and sizes[0] > 2 * max(sizes[1:])


@linux
def test_a_counter_gives_as_many_as_it_has_to_all_together():
    [descriptor] = counters(1)
    counter = Counter(descriptor)
    other = Counter(os.dup(descriptor))
    assert not counter.take()
    for number in (5, 0, 3):
        counter.reset(9)
        counter.reset(number)
        takes = [its.take() for its in (counter, other) * 5]
        assert takes == [True] * number + [False] * (10 - number)


def shared(rank: int, counter: Counter, numbers: int = 11) -> Shared:
    inputs, gradients = torch.randn(6, 4), torch.randn(6, 2 * numbers)
    rows = Rows(inputs, gradients, slice(0, 3), torch.zeros(2 * numbers, 4), set())
    nothing = torch.zeros(8)
    its = [Block(start, start + 8, nothing, nothing, nothing) for start in range(0, 8 * numbers, 8)]
    return Shared(0, rows, its, counter, rank)


@linux
def test_two_take_every_block_once_again_and_again():
    [descriptor] = counters(1)
    both = [shared(0, Counter(descriptor)), shared(1, Counter(os.dup(descriptor)))]
    every = [block.start for block in both[0].blocks]

    def taken(its: Shared) -> list[int]:
        return [block.start for block, _ in its.take()]

    for _ in range(30):
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(taken, both)
        assert first == every[: len(first)] and second == every[::-1][: len(second)]
        assert len(first) + len(second) == len(every)
        for its in both[::-1]:
            its.put_back()


@linux
def test_a_block_s_gradient_is_its_part_of_the_product():
    [descriptor] = counters(1)
    its = shared(0, Counter(descriptor))
    whole = its.rows.gradients.t() @ its.rows.inputs
    for block, gradient in its.take():
        torch.testing.assert_close(gradient, whole.flatten()[block.start : block.stop])


@linux
def test_descriptors_that_cannot_all_be_had_are_given_back(monkeypatch):
    made, real = [], os.eventfd

    def scarce(*args: Any) -> int:
        if len(made) == 3:
            raise OSError("too many open files")
        made.append(real(*args))
        return made[-1]

    monkeypatch.setattr(os, "eventfd", scarce)
    with pytest.raises(OSError, match="too many"):
        counters(4)
    for descriptor in made:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_without_eventfd_there_are_none(monkeypatch):
    monkeypatch.delattr(os, "eventfd", raising=False)
    with pytest.raises(OSError, match="no eventfd"):
        counters(1)
