"""Where processes of one machine meet: they read in memory what each is at, and wake who sleeps through a socket."""

from __future__ import annotations

import mmap
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from tests.waiting import wait_for
from tui_gen.train.order import Apart
from tui_gen.train.tuned import meeting
from tui_gen.train.tuned.meeting import PAUSE, WAKE, Delays, Meeting

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is shared on Linux")
WAYS = [pytest.param(True, id="memory"), pytest.param(False, id="sockets")]
"""By what processes know who is there: the second is for processors that show others stores in any order."""


def made(count: int, timeout: float = 60.0) -> list[Meeting]:
    memory = mmap.mmap(-1, 64 + meeting.room(count))
    peers: list[dict[int, socket.socket]] = [{} for _ in range(count)]
    for one in range(count):
        for other in range(one):
            ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            peers[one][other], peers[other][one] = ends
    all_of_them = [Meeting(rank, dict(sorted(its.items())), memory, 64, timeout) for rank, its in enumerate(peers)]
    for one in all_of_them:
        one._in_vain = 0  # however few cores there are
    return all_of_them


@pytest.fixture(params=WAYS)
def pair(request: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Meeting]]:
    monkeypatch.setattr(meeting, "IN_ORDER", request.param)
    both = made(2)
    yield both
    for one in both:
        one.close()


@pytest.mark.parametrize("in_order", WAYS)
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("awake", [0.0, meeting.SPIN])
def test_nobody_goes_on_before_all_are_there(monkeypatch, count, in_order, awake):
    monkeypatch.setattr(meeting, "IN_ORDER", in_order)
    monkeypatch.setattr(meeting, "SPIN", awake)
    all_of_them, written = made(count), [0] * count

    def go(rank: int) -> None:
        for number in range(1, 301):
            written[rank] = number
            all_of_them[rank].meet(f"sum {number}" if number % 7 == 0 else "a meeting")
            assert set(written) == {number}
            all_of_them[rank].meet("again")

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(go, range(count)))
    for one in all_of_them:
        one.close()


def test_who_is_at_something_else_is_told_in_both_words(pair):
    for one in pair:
        one.say("a meeting")
    for one in pair:
        one.hear()
    pair[0].say("a sum of 3 numbers")
    pair[1].say("é" * 300)
    with pytest.raises(Apart, match=r"^it is at exchange 2, a sum of 3 numbers, and rank 1 at exchange 2, éé+$"):
        pair[0].hear()
    with pytest.raises(Apart, match=r"^it is at exchange 2, éé+, and rank 0 at exchange 2, a sum of 3 numbers$"):
        pair[1].hear()


def test_what_was_said_before_somebody_left_is_heard_and_then_that_it_left(pair):
    pair[1].say("a meeting")
    pair[1].close()
    if meeting.IN_ORDER:
        pair[0].say("a meeting")
        pair[0].hear()
    with pytest.raises(RuntimeError, match=r"connection to rank 1 (closed: its process has ended|lost)"):
        pair[0].meet("a meeting")


def test_who_says_nothing_is_given_up_and_named(pair):
    pair[0].timeout = 0.02
    pair[0].say("a meeting")
    with pytest.raises(RuntimeError, match=r"Timed out: rank 1 has said nothing for 0\.02 s"):
        pair[0].hear()


def test_one_that_sleeps_is_woken_and_bytes_for_others_are_left_alone(monkeypatch):
    """Rank 0 hands memory over by the same socket as soon as it has heard rank 1, which may sleep still."""
    monkeypatch.setattr(meeting, "SPIN", 0.0)
    monkeypatch.setattr(meeting, "NAP", 60_000)
    first, second = made(2)
    asleep = threading.Thread(target=second.meet, args=("a meeting",))
    asleep.start()
    wait_for(lambda: first._numbers[meeting._NUMBERS + meeting._SLEEPS] == 1)
    begun = time.monotonic()
    first.meet("a meeting")
    first.peers[1].send(b"memory")
    asleep.join(30)
    assert time.monotonic() - begun < 30  # not by its own look after a minute
    words = [second.peers[0].recv(100) for _ in range(2 if meeting.IN_ORDER else 1)]
    assert words[-1] == b"memory" and set(words[:-1]) <= {WAKE}


def test_a_socket_that_is_full_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(meeting, "IN_ORDER", False)
    first, second = made(2)
    with pytest.raises(BlockingIOError):
        while True:
            first.peers[1].send(WAKE, socket.MSG_DONTWAIT)
    first.say("a meeting")
    second.close()


@pytest.mark.parametrize("part, in_vain", [(1.0, PAUSE), (0.0, 0)])
def test_who_waited_awake_in_vain_sleeps_at_once_for_a_while_where_others_want_the_cores(monkeypatch, part, in_vain):
    monkeypatch.setattr(meeting, "SPIN", 0.0)
    first, _ = made(2)
    monkeypatch.setattr(first._delays, "part", lambda: part)
    first.say("a meeting")
    for pause in (in_vain, 2 * in_vain, 4 * in_vain):
        assert not first._awake(1, 1, False) and first._in_vain == pause
        for left in range(pause - 1, -1, -1):
            assert not first._awake(1, 1, False) and first._in_vain == left
    for _ in range(20):
        first._in_vain = 0
        first._awake(1, 1, False)
    assert first._in_vain == (meeting.LONGEST if part else 0)


def test_waiting_awake_that_was_not_in_vain_forgets_how_often_it_was(monkeypatch):
    first, second = made(2)
    first._pause = 8 * PAUSE
    first.say("a meeting")
    second.say("a meeting")
    monkeypatch.setattr(meeting, "SPIN", 60.0)
    assert first._awake(1, 1, False) and first._pause == PAUSE


def test_delays_are_what_a_thread_waited_for_a_core(monkeypatch):
    """The kernel tells nanoseconds of running, of waiting, and how often."""
    told, times = iter([b"9 1000000000 1\n", b"9 1500000000 2\n", b"9 1500000000 2\n"]), iter([10.0, 12.0, 13.0])
    file = SimpleNamespace(seek=lambda place: None, read=lambda size: next(told))
    monkeypatch.setattr("builtins.open", lambda *args, **kwargs: file)
    monkeypatch.setattr(meeting.time, "perf_counter", lambda: next(times))
    delays = Delays()
    assert [delays.part() for _ in range(3)] == [0.0, 0.25, 0.0]


def test_the_kernel_tells_of_delays_here():
    delays = Delays()
    assert delays.part() == 0.0 and delays._last[0] > 0


def test_where_nobody_tells_of_delays_cores_count_as_wanted(monkeypatch):
    def missing(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", missing)
    assert Delays().part() == 1.0


@pytest.mark.skipif(not meeting.IN_ORDER, reason="only where memory tells who is there")
@pytest.mark.parametrize(
    "told, found", [((5, 5), 5), ((5, 6), 0), ((5, None), 0), ((None, 5), 0), ((None, None), 0)]
)
def test_what_all_can_read_early_is_known_if_all_told_the_same(told, found):
    both = made(2)
    for number in range(2):
        for one, parts in zip(both, told):
            if parts is not None and number == 0:
                one.early(parts)
            one.say("a meeting")
        assert [one.all_early() for one in both] == [found if number == 0 else 0] * 2
        for one in both:
            one.hear()


@pytest.mark.skipif(not meeting.IN_ORDER, reason="only where memory tells who is there")
def test_early_is_waited_for_but_not_the_rest():
    first, second = made(2)
    first.early(1)
    first.say("a meeting")
    second.early(1)
    assert first.all_early() == 1  # though the second is not there yet
    second.say("a meeting")
    first.hear()
    second.hear()
