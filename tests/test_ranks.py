"""A group of processes: what they add, tell each other, and say when one is gone."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest
import torch

from tests import many
from tests.waiting import wait_for
from tui_gen import tuned
from tui_gen.train import order as order_of_steps
from tui_gen.train.engine.building import TrainingError
from tui_gen.train.engine.ranks import ALONE, RankLost, join, share_of
from tui_gen.train.order import BEGIN, END, At, Order, Whereabouts
from tui_gen.train.tuned import one_host


def test_shares_are_as_tensors_are_split():
    for total in (1, 7, 16, 128):
        for count in (1, 2, 3, 5, 8):
            parts = torch.arange(total).tensor_split(count)
            assert [list(share_of(rank, count, total)) for rank in range(count)] == [part.tolist() for part in parts]


@pytest.fixture(params=["memory", "network"])
def way(request):
    """Sums on CPUs go through shared memory, or through Gloo."""
    tuned.use(request.param == "memory")
    yield request.param
    tuned.use(None)


def test_ranks_add_gather_and_tell(tmp_path, way):
    def act(ranks):
        mixed = [torch.full((3,), ranks.rank + 1.0), torch.tensor([ranks.rank + 1]), torch.ones(2, 3).t() * ranks.rank]
        ranks.sum_(mixed)
        rows = ranks.gather(torch.full((ranks.rank, 2), ranks.rank))
        even = ranks.gather_known(torch.full((1, 2), ranks.rank), [1] * ranks.count)
        words = ranks.broadcast({"a": [1, None, "x"]} if ranks.rank == 1 else None, source=1)
        tensor = torch.full((2, 2), ranks.rank).t()
        ranks.broadcast_(tensor, source=2)
        ranks.flags[2] = ranks.rank
        heard = ranks.hear().tolist()
        ranks.tell(f"rank {ranks.rank}", "hello")
        ranks.wait()
        told = ranks.words_of("rank 1"), ranks.words_of("nobody")
        return [mixed, rows.tolist(), even.tolist(), words, tensor.tolist(), heard, told]

    answers = many.run(3, tmp_path, act)
    mixed, *others = answers[0]
    assert [tensor.tolist() for tensor in mixed] == [[6.0] * 3, [6], [[3.0] * 2] * 3]
    assert others == [
        [[1, 1], [2, 2], [2, 2]], [[0, 0], [1, 1], [2, 2]], {"a": [1, None, "x"]}, [[2, 2]] * 2,
        [0, 0, 3, 0, 0, 0, 0, 0], ("hello", None),
    ]  # fmt: skip
    for answer in answers[1:]:
        assert answer[1:] == others and all(torch.equal(a, b) for a, b in zip(answer[0], mixed))


def test_a_rank_that_dies_is_noticed(tmp_path, way):
    def act(ranks):
        ranks.wait()
        if ranks.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        with pytest.raises(RankLost, match=f"rank {ranks.rank} of 3: .*[Cc]onnection"):
            for _ in range(1000):
                ranks.wait()
        ranks.close()
        with pytest.raises(RankLost, match=f"rank {ranks.rank} has left"):
            ranks.wait()
        return "noticed"

    assert many.run(3, tmp_path, act) == ["noticed", None, "noticed"]


def test_a_rank_that_says_nothing_is_given_up(tmp_path, way):
    over = tmp_path / "over"

    def act(ranks):
        ranks.wait()
        if ranks.rank == 1:
            wait_for(over.exists)
            os._exit(0)
        with pytest.raises(RankLost, match=f"rank 0 of 2: Timed out{': rank 1' if way == 'memory' else ''}"):
            ranks.wait()
        ranks.close()
        over.touch()
        os._exit(0)

    many.run(2, tmp_path, act, timeout=1)
    assert over.exists()


def sums(ranks):
    """Of more than a place holds, of several types, more than once."""
    generator = torch.Generator().manual_seed(ranks.rank)
    tensors = [torch.randn(size, generator=generator) for size in ((one_host.PLACE // 4 + 77,), (3, 5))]
    tensors[1] = tensors[1].double()
    tensors += [torch.arange(9) * ranks.rank, torch.full((2, 2), ranks.rank + 0.5, dtype=torch.bfloat16)]
    for _ in range(3):
        ranks.sum_(tensors)
    for _ in range(600):
        ranks.wait()
    return ranks.host is not None, [tensor.float().numpy() for tensor in tensors]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is shared on Linux")
@pytest.mark.parametrize(
    "step, one, other",
    [
        (lambda ranks: ranks.sum_([torch.ones(3 + ranks.rank)]), "sum of 3 numbers", "sum of 4 numbers"),
        (lambda ranks: ranks.sum_([torch.ones(4).to((torch.float32, torch.int32)[ranks.rank])]), "float32", "int32"),
        (lambda ranks: ranks.gather_known(torch.ones(1, 2 + ranks.rank), [1, 1]), r"rows \(2,\)", r"rows \(3,\)"),
        (lambda ranks: ranks.meet() if ranks.first else ranks.wait(), "a meeting", "a sum of 1 numbers"),
    ],
    ids=["length", "type", "rows", "kind"],
)
def test_ranks_that_are_at_other_exchanges_say_so_and_read_nothing(tmp_path, step, one, other):
    def act(ranks):
        mine, theirs = (one, other) if ranks.first else (other, one)
        words = rf"rank {ranks.rank}: it is at exchange .*{mine}.*, and rank . at exchange .*{theirs}"
        with pytest.raises(TrainingError, match=f"the processes do not compute the same: {words}") as told:
            step(ranks)
        ranks.close()
        return type(told.value).__name__

    assert many.run(2, tmp_path, act) == ["TrainingError"] * 2  # not RankLost, whose cause another rank would tell


def a_step(ranks, *sums):
    ranks.come_to(BEGIN)
    for size in sums:
        ranks.sum_([torch.ones(size)])
    ranks.come_to(END)


@pytest.mark.parametrize(
    "goes_on",
    [
        lambda ranks: a_step(ranks, 3, 4),
        lambda ranks: a_step(ranks, 4),
        lambda ranks: a_step(ranks, 3, 4, 4, 5),
        lambda ranks: (ranks.come_to(BEGIN), ranks.sum_([torch.ones(3, dtype=torch.int32)])),
        lambda ranks: (ranks.come_to(BEGIN), ranks.broadcast_(torch.ones(3))),
        lambda ranks: (ranks.come_to(BEGIN), ranks.gather_known(torch.ones(1, 3), [1, 1])),
    ],
    ids=["fewer", "shorter", "more", "type", "sent", "rows"],
)
def test_over_a_network_one_that_goes_another_way_waits_until_that_is_seen(tmp_path, goes_on):
    """Gloo would add up what does not belong together, wait for ever, or end the process."""
    tuned.use(False)

    def act(ranks):
        for sums in ((3, 4, 4), (3, 4, 4), (3,), (3, 4, 4)):  # another way that all go is one
            a_step(ranks, *sums)
        with pytest.raises(RankLost, match=r"Timed out|Connection closed"):  # the other may give up first
            goes_on(ranks) if ranks.rank == 1 else a_step(ranks, 3, 4, 4)
            a_step(ranks, 3, 4, 4)
        ranks.close()
        return ranks.at

    try:
        first, second = many.run(2, tmp_path, act, timeout=1)
    finally:
        tuned.use(None)
    assert second.asks and not first.asks
    whereabouts = Whereabouts()
    assert whereabouts.note(0, first) is None
    assert (0, 1) in [whereabouts.note(1, second) for _ in range(2)]


@pytest.mark.parametrize("way, asked", [(False, True), (True, False)], ids=["network", "memory"])
def test_two_that_go_different_new_ways_say_so_at_once(tmp_path, way, asked):
    def act(ranks):
        a_step(ranks, 3)
        ranks.come_to(BEGIN)
        with pytest.raises(TrainingError, match=r"is at .* [56] numbers .*, and rank . at .* [56] numbers"):
            ranks.sum_([torch.ones(5 + ranks.rank)])
        ranks.close()
        return ranks.at.asks

    tuned.use(way)
    try:
        assert many.run(2, tmp_path, act) == [asked] * 2
    finally:
        tuned.use(None)


def test_a_way_that_was_gone_before_is_asked_for_only_where_the_last_was_another():
    asked = []

    def ask(words):
        asked.append(words.decode().split(", ")[1].strip())
        return [words] * 2

    order = Order(0, ask)
    for sums in ("ab", "ab", "a", "ab", "ab"):
        for words in (BEGIN, *sums, END):
            order.come_to(words)
    assert asked == [BEGIN, "a", "b", END, BEGIN, END, BEGIN, "b"]
    for step in range(order_of_steps.MOST + 3):  # something else in each: what is remembered is bounded
        for words in (BEGIN, str(step), END):
            order.come_to(words)
    assert order._crossings <= order_of_steps.MOST + 3 and len(order._begin.after) <= order_of_steps.MOST


def test_one_that_asks_while_another_is_further_is_seen_when_it_says_so_again():
    """Where a device computes later what it is asked to, those who go on as before wait much later."""
    whereabouts = Whereabouts()
    assert whereabouts.note(1, At(7, "a", True)) is None
    assert whereabouts.note(0, At(9, "c")) is None
    assert whereabouts.note(1, At(7, "a", True)) is None  # it may have been agreed on since it said so
    assert whereabouts.note(1, At(8, "b", True)) is None
    assert whereabouts.note(1, At(8, "b", True)) == (0, 1)
    assert str(whereabouts.of(1)) == "exchange 8, b"


def no_room(size):
    raise OSError("no space left")


def test_sums_through_memory_are_those_through_the_network(tmp_path, monkeypatch):
    memory = many.run(2, tmp_path, sums)
    monkeypatch.setattr(one_host, "_made", no_room)
    network = many.run(2, tmp_path, sums)
    assert [used for used, _ in network] == [False, False]
    assert [used for used, _ in memory] == [sys.platform == "linux"] * 2
    for _, other in (*memory, *network):
        assert all(np.array_equal(a, b) for a, b in zip(network[0][1], other))


def test_one_process_waits_for_nobody():
    tensor = torch.ones(2)
    ALONE.sum_([tensor])
    ALONE.flags[0] = 0
    assert tensor.tolist() == [1, 1] and ALONE.gather(tensor) is tensor and ALONE.broadcast(3) == 3 and ALONE.first
    assert join(0, 1, "nowhere", torch.device("cpu")) is ALONE


@pytest.mark.parametrize(
    "rank, address, device, words",
    [
        (2, "tcp://127.0.0.1:1", "cpu", "rank 2 of 2 processes: ranks go from 0 to 1"),
        (1, "nowhere", "cpu", "rank 1 of 2 could not join the others at nowhere: "),
        (0, "tcp://127.0.0.1:0", "mps", "on CPUs or on CUDA devices, not on mps"),
    ],
)
def test_a_group_that_cannot_be_joined_says_why(rank, address, device, words):
    with pytest.raises(TrainingError) as raised:
        join(rank, 2, address, torch.device(device), opening=1)
    assert words in str(raised.value) and "\n" not in str(raised.value)
