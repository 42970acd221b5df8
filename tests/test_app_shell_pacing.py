"""How often live data is drawn, on fast, slow, blocked and silent links."""

from __future__ import annotations

import itertools

import pytest

from tests.painted import painted_strips
from tests.shell import until, workbench
from tui_gen.app.terminal.pacing import CpuBudget, Pacer


def frames(pacer, trip, seconds, more=()):
    """Times of the frames drawn in `seconds` over a link on which each answer takes `trip(now)` (None: none comes)."""
    drawn, answer = [], None
    now = 0.0
    while now < seconds:
        if answer is not None and now >= answer:
            answer = None
            pacer.answered(now)
        if pacer.may_draw(now):
            drawn.append(now)
            pacer.drawing(now)
            if pacer.may_ask:
                pacer.ask(now)
                took = trip(now)
                answer = None if took is None else now + took
        now += 0.01
    return drawn


def test_a_fast_link_is_drawn_at_the_fastest_rate():
    drawn = frames(Pacer(), lambda now: 0.001, 10)
    assert 10 / Pacer.FASTEST * 0.7 < len(drawn) <= 10 / Pacer.FASTEST + 1


def test_a_slow_link_rests_as_long_as_it_carries():
    drawn = frames(Pacer(), lambda now: 0.5, 30)
    gaps = [after - before for before, after in itertools.pairwise(drawn[2:])]
    assert all(0.98 <= gap < 1.1 for gap in gaps)


def test_a_blocked_link_gets_no_heap_of_frames_and_recovers():
    pacer = Pacer()
    drawn = frames(pacer, lambda now: 0.01 if now < 10 or now > 70 else None, 140)
    blocked = [one for one in drawn if 10 < one < 70]
    assert len(blocked) <= 5
    assert len([one for one in drawn if one > 131]) > 20


def test_a_terminal_that_never_answers_is_drawn_at_a_modest_rate_and_asked_no_more():
    pacer = Pacer()
    drawn = frames(pacer, lambda now: None, 20)
    assert not pacer.may_ask and pacer.round_trip is None
    assert len([one for one in drawn if one > 10]) > 5 / Pacer.UNKNOWN


def test_a_terminal_that_was_exchanged_is_waited_for_no_longer_than_somebody_notices():
    pacer = Pacer()
    drawn = frames(pacer, lambda now: 0.01, 1.0)
    assert not pacer.overdue(1.0)
    pacer.ask(1.0)  # and then nobody is there to answer
    assert not pacer.overdue(1.5) and pacer.overdue(2.1) and not pacer.may_draw(2.1) and drawn
    pacer.drop()
    assert pacer.may_draw(2.1) and not pacer.overdue(9.0) and pacer.may_ask
    slow = Pacer()
    frames(slow, lambda now: 2.0, 20)
    slow.drop()
    slow.ask(20.0)
    assert not slow.overdue(26.0) and slow.overdue(29.0), "an answer that takes long is not overdue"


def test_what_followed_a_frame_counts_as_its_time():
    pacer = Pacer(0.01)
    pacer.drawing(0.0)
    pacer.ask(0.0)
    pacer.answered(0.1, more=True)
    pacer.ask(0.1)
    pacer.answered(0.9)
    assert not pacer.may_draw(1.7) and pacer.may_draw(1.81)


def test_an_answer_to_nobody_changes_nothing():
    pacer = Pacer(0.05)
    pacer.answered(3.0)
    assert pacer.round_trip == 0.05 and pacer.interval == 0.1 and pacer.answers


def test_frames_take_their_share_of_a_core_and_no_more():
    budget = CpuBudget()
    assert budget.left(0.0, 5.0) == 0.0
    budget.drawing(10.0, 5.0)
    assert budget.left(10.0, 5.0 + 0.6 * CpuBudget.SHARE) == pytest.approx(0.6)
    assert budget.left(10.5, 5.0 + 0.6 * CpuBudget.SHARE) == pytest.approx(0.1)
    assert budget.left(10.6, 5.0 + 0.6 * CpuBudget.SHARE) == pytest.approx(0.0)
    assert budget.left(10.0, 99.0) == CpuBudget.LONGEST


def test_where_a_core_is_spare_frames_rest_for_what_they_took_and_for_what_they_sent():
    budget = CpuBudget()
    assert budget.left(0.0, 5.0, 0) == 0.0
    budget.drawing(10.0, 5.0, 1000)
    assert budget.left(10.0, 5.0 + 0.3 * CpuBudget.SPARE, 1000) == pytest.approx(0.3)
    assert budget.left(10.1, 5.0, 1000 + int(0.4 * CpuBudget.RATE)) == pytest.approx(0.3)
    assert budget.left(10.0, 99.0, 10**9) == pytest.approx(CpuBudget.CALM)
    assert budget.left(10.0 + CpuBudget.CALM, 99.0, 10**9) == 0.0
    budget.touched(10.1)
    assert budget.left(10.2, 99.0, 10**9) == 0.0


def test_who_presses_keys_waits_for_no_frame():
    budget = CpuBudget()
    budget.drawing(10.0, 5.0)
    assert budget.touched(10.1)
    assert budget.left(10.2, 99.0) == 0.0
    assert not budget.touched(11.0)
    assert budget.left(10.9 + CpuBudget.HANDS_ON, 99.0) == 0.0
    budget.drawing(13.0, 99.0)
    assert budget.left(13.1, 100.0) > 0.8
    assert budget.touched(13.2)


def test_with_a_budget_a_live_frame_waits_until_all_that_was_sent_is_paid_for():
    sent = 0
    pacer = Pacer(0.01, 20_000, lambda: sent)
    pacer.drawing(0.0)
    sent += 10_000
    assert not pacer.may_draw(0.4) and pacer.may_draw(0.5)
    pacer.drawing(0.5)
    assert pacer.may_draw(0.51 + Pacer.FASTEST), "nothing was sent since"
    sent += 60_000  # a picture, and what keys caused
    assert not pacer.may_draw(3.4) and pacer.may_draw(3.5)


@pytest.mark.parametrize(("round_trip", "limit", "slow"), [
    (0.01, None, False), (0.15, None, True), (None, 20_000.0, True),
])  # fmt: skip
async def test_over_a_slow_link_a_dialog_does_not_dim_what_lies_below(monkeypatch, round_trip, limit, slow):
    async with workbench(monkeypatch) as (app, pilot):
        below = str(painted_strips(app)[0])
        app.pacer = Pacer(round_trip, limit)
        await pilot.press("f1")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.pause()
        assert app.screen.has_class("-bare") == slow
        assert (str(painted_strips(app)[0]) == below) == slow
