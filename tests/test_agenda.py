"""What is due in a run, decided as plain data by its step and by times that are handed in."""

from __future__ import annotations

import msgspec
import pytest

from tui_gen import config as configs
from tui_gen.train.run.agenda import Agenda, Due

START = 1000.0
FLUSHED = Due(flush=True)


def agenda(total=100, per_epoch=7, step=0, **tables):
    """The agenda of a run that begins now, after `step` steps; nothing is due but metrics where nothing is given."""
    quiet = {"preview": {"every_seconds": 0}, "checkpoint": {"every_minutes": 0}, "train": {"validate_every": 10**6}}
    given = {name: quiet.get(name, {}) | tables.get(name, {}) for name in ("train", "preview", "checkpoint", "quality")}
    made = msgspec.convert({"model": {"name": "vae"}, "dataset": {"name": "digits"}, **given}, configs.RunConfig)
    found = Agenda(made, total, per_epoch, START)
    found.begin(step, START)
    return found


def dues(plan, what, moments):
    """The moments (step, seconds since the start) of those given at which something is due; it is done at once."""
    found = []
    for step, since in moments:
        now = START + since
        due = plan.due(step, now)
        if due.flush:
            plan.flushed(step, now)
        if due.untrained:
            plan.previewed(now, 0.0, untrained=True)
        if due.preview:
            plan.previewed(now, 0.0)
        if due.checkpoint:
            plan.checkpointed(now)
        found += [(step, since)] if getattr(due, what) else []
    return found


def test_metrics_leave_after_the_first_step_and_then_ten_times_a_second():
    plan = agenda()
    plan.flushed(0, START)  # by a checkpoint, before there is anything to tell
    moments = [(1, 0.01), (2, 0.05), (3, 0.1), (4, 0.12), (5, 0.5), (6, 0.59)]
    assert dues(plan, "flush", moments) == [(1, 0.01), (4, 0.12), (5, 0.5)]


def test_the_untrained_model_is_drawn_once_and_no_other_picture_by_the_clock_then():
    plan = agenda(preview={"every_seconds": 0.05})
    assert plan.due(1, START + 9) == Due(flush=True, untrained=True)
    plan.flushed(1, START + 9)
    assert plan.due(2, START + 9.2).untrained, "left off for now: it is still owed"
    plan.previewed(START + 9.3, 0.0, untrained=True)
    assert plan.due(2, START + 9.4) == Due(flush=True, preview=True)
    assert not agenda(step=5).due(6, START).untrained


@pytest.mark.parametrize(
    ("table", "what", "steps"),
    [
        ({"preview": {"every_steps": 3, "every_seconds": 0.001}}, "preview", [3, 6, 9]),
        ({"checkpoint": {"every_steps": 4}}, "checkpoint", [4, 8]),
        ({"train": {"validate_every": 5}}, "validate", [5, 10]),
        ({"train": {"validate_every": 0}}, "validate", [7]),
    ],
)
def test_what_goes_by_steps_falls_on_them_whatever_the_clock_says(table, what, steps):
    for seconds in (0.0, 1.0, 1e6):
        assert [step for step, _ in dues(agenda(**table), what, [(n, n * seconds) for n in range(1, 11)])] == steps


@pytest.mark.parametrize(
    ("table", "what", "times"),
    [
        ({"preview": {"every_seconds": 5.0}}, "preview", [6, 12, 18]),
        ({"checkpoint": {"every_minutes": 0.1}}, "checkpoint", [6, 12, 18]),
        ({"checkpoint": {"every_minutes": 0.1, "every_steps": 2}}, "checkpoint", [4, 8, 12, 16]),
    ],
)
def test_what_goes_by_the_clock_counts_from_the_last_time(table, what, times):
    assert [since for _, since in dues(agenda(step=1, **table), what, [(n, 2 * n) for n in range(2, 10)])] == times


def test_slow_pictures_take_a_tenth_of_the_time_at_most():
    plan = agenda(step=5, preview={"every_seconds": 5.0})
    plan.previewed(START, 3.0)
    assert not plan.due(6, START + 29.9).preview and plan.due(6, START + 30).preview


def test_an_edited_cadence_counts_at_once():
    plan = agenda(step=5)
    assert not plan.due(6, START + 9).preview and not plan.due(8, START + 9).checkpoint
    plan.config.preview.every_seconds, plan.config.checkpoint.every_steps = 2.0, 4
    assert plan.due(6, START + 9).preview and plan.due(8, START + 9).checkpoint


def test_a_run_is_over_by_its_steps_or_by_its_training_time():
    plan = agenda(total=10)
    assert plan.fraction(START + 9e9) is None
    assert [plan.over(step, START + 9e9) for step in (9, 10, 11)] == [False, True, True]
    plan = agenda(total=None, train={"minutes": 2.0, "steps": 0})
    plan.seconds = 30.0  # of an earlier session
    assert plan.fraction(START + 30) == 0.5
    plan.halt(START + 40)
    assert plan.elapsed(START + 1000) == 70, "the clock stands still while a run is paused"
    plan.go(5, START + 1000)
    assert not plan.over(10**9, START + 1049) and plan.over(5, START + 1050)


def test_the_speed_is_that_since_the_last_figure_and_leaves_pauses_out():
    plan = agenda()
    assert plan.flushed(3, START + 0.9) is None
    assert plan.flushed(6, START + 1.5) == 4
    plan.halt(START + 2)
    plan.go(8, START + 100)
    assert plan.flushed(9, START + 100.5) is None and plan.flushed(18, START + 102) == 5


def test_what_a_stop_left_off_is_made_up_for():
    plan = agenda(step=6, train={"validate_every": 3}, preview={"every_steps": 2})
    assert plan.missed(6, False, False) == Due(validate=True, preview=True)
    assert plan.missed(6, True, False) == Due(preview=True) and plan.missed(6, True, True) == Due()
    assert plan.missed(7, False, False) == Due(), "nothing was due then"


def test_the_end_of_a_run_that_has_its_length_and_of_one_that_is_stopped():
    plan = agenda(train={"validate_every": 5})
    everything = Due(flush=True, validate=True, preview=True, checkpoint=True, quality=True)
    assert plan.last(12) == everything
    assert plan.last(10) == msgspec.structs.replace(everything, validate=False), "that step had its validation"
    assert plan.last(12, finished=False) == Due(flush=True, checkpoint=True)
    assert plan.last(12, finished=False, kept=False) == FLUSHED


def test_a_validation_takes_a_fiftieth_of_the_examples_that_were_trained_on():
    assert agenda(train={"validate_every": 100, "batch_size": 128}).validation_examples == 256
    assert agenda(train={"validate_every": 469, "batch_size": 128}).validation_examples == 9 * 128
    assert agenda(train={"validate_every": 3, "batch_size": 8}).validation_examples == 256, "too few tell nothing"


def test_what_is_due_can_be_told_to_another_process():
    due = agenda(checkpoint={"every_steps": 2}).due(2, START, quality=True)
    assert due.checkpoint and due.quality
    assert msgspec.json.decode(msgspec.json.encode(due), type=Due) == due
