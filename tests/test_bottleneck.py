"""What holds a run up, from made numbers: each verdict on both sides of its bound, and what it advises."""

from __future__ import annotations

import math

import pytest

from tui_gen import events, runs
from tui_gen.log import event_log
from tui_gen.usage import Gpu, Load, Spent, processor_seconds
from tui_gen.verdicts import bottleneck
from tui_gen.verdicts.bottleneck import judge
from tui_gen.view import RunView, thinned

STEP = {"data": 0.4, "gradients": 7.0, "optimiser": 1.0}
SETTINGS = {
    "preview.every_steps": 0, "preview.every_seconds": 5.0, "train.validate_every": 0, "checkpoint.every_steps": 0,
    "checkpoint.every_minutes": 2.0, "quality.share": 0.2,
}  # fmt: skip
FREE = Load(host="here", cpus=8.0, cpu=7.5, all_cpus=0.95, memory=10**9, free=8 * 10**9, total=16 * 10**9)
PLAN = events.Plan(steps=10_000, steps_per_epoch=100, batch_size=64, threads=8)


def usage(parts=STEP, counts=None, load=FREE, steps=100, seconds=10.0, idle=0, looks=0) -> events.Usage:
    spent = Spent(seconds, steps, dict(parts), counts or {}, idle, looks)
    return events.Usage(steps, spent, load)


def verdict(*accounts, settings=None, plan=PLAN, **more):
    return judge(accounts or [usage()], SETTINGS | (settings or {}), plan, **more)


def test_processor_time_is_that_of_all_cores_however_few_accounts_tell():
    accounts = [usage(seconds=10.0, load=FREE)] * 4 + [usage(seconds=4.0, load=Load(cpu=0.5))] * 4
    assert processor_seconds(accounts) == 4 * 75 + 4 * 2
    assert processor_seconds(thinned(accounts)) == 4 * 75 + 4 * 2 and processor_seconds([]) == 0


def test_a_run_that_computes_has_nothing_to_mend():
    found = verdict()
    assert (found.kind, found.level, found.key) == ("compute", "good", "")
    assert found.sentence == "compute-bound: 84% of the time goes into steps" and found.advice == "Nothing to do."


def test_nothing_is_said_before_anything_is_known():
    assert judge([], SETTINGS) is None and verdict(usage(seconds=3.0)) is None and verdict(usage(steps=0)) is None


@pytest.mark.parametrize(
    "part, settings, key, value",
    [
        ("preview", {}, "preview.every_seconds", 30.0),
        ("preview", {"preview.every_steps": 20}, "preview.every_steps", 300),
        ("validation", {}, "train.validate_every", 300),
        ("validation", {"train.validate_every": 20}, "train.validate_every", 300),
        ("checkpoint", {"checkpoint.every_minutes": 0.05}, "checkpoint.every_minutes", 0.5),
        ("checkpoint", {"checkpoint.every_steps": 20}, "checkpoint.every_steps", 300),
    ],
)
def test_what_is_done_too_often_is_done_less(part, settings, key, value):
    """Half a second each: at most 2 % of the time is every 24.5 s, which is 292 steps of 84 ms."""
    costly = usage({**STEP, part: 2.0}, {part: 4})
    found = verdict(costly, settings=settings)
    assert (found.kind, found.key, found.value) == (part, key, value)
    assert f"{key} = " in found.advice and "2%" in found.advice and "20% of the time" in found.sentence
    after = verdict(usage({**STEP, part: 0.15}, {part: 4}), settings=settings)
    assert after.kind == "compute"
    by_themselves = verdict(usage({**STEP, part: 2.0}, {part: 1}), settings=settings)
    assert by_themselves.kind == "compute"


@pytest.mark.parametrize(
    "part, why, words", [("room", "the disk was full", "full disk 40%"), ("writable", "nothing could be", "not writ")]
)
def test_what_could_not_be_written_is_told_for_what_it_is(part, why, words):
    """And neither for a slow disk nor for costly checkpoints."""
    waits = usage({**STEP, part: 6.0, "checkpoint": 0.3, "log": 0.2}, {part: 2, "checkpoint": 4, "log": 80}, seconds=15)
    found = verdict(waits, settings={"checkpoint.every_minutes": 0.05})
    assert (found.kind, found.level, found.key) == (part, "bad", "")
    assert why in found.sentence and "40% of the time" in found.sentence and "--runs" in found.advice
    assert words in bottleneck.breakdown(waits.spent)
    assert verdict(usage({**STEP, part: 0.9}, {part: 2})).kind == "compute"


def test_a_setting_that_was_mended_already_is_left_alone():
    """The last minute was costly, but what is set now is not."""
    costly = usage({**STEP, "preview": 2.0}, {"preview": 4})
    assert verdict(costly, settings={"preview.every_seconds": 30.0}).kind == "compute"
    assert verdict(costly, settings={"preview.every_seconds": 0.0}).kind == "compute"  # there are none by time


def test_the_dearest_comes_first_and_is_bad_where_it_takes_a_fifth():
    both = usage({**STEP, "preview": 1.6, "validation": 2.5}, {"preview": 4, "validation": 4})
    found = verdict(both)
    assert (found.kind, found.level) == ("validation", "bad")
    assert verdict(usage({**STEP, "preview": 1.6}, {"preview": 4})).level == "watch"


def test_quality_and_the_log():
    found = verdict(usage({**STEP, "quality": 1.5}, {"quality": 300}))
    assert (found.kind, found.key, found.value) == ("quality", "quality.share", 0.05)
    assert verdict(usage({**STEP, "quality": 0.9}, {"quality": 300})).kind == "compute"
    as_asked = verdict(usage({**STEP, "quality": 1.5}, {"quality": 300}), settings={"quality.share": 0.05})
    assert as_asked.kind == "compute"
    assert verdict(usage({**STEP, "log": 1.5}, {"log": 100})).kind == "log"
    assert verdict(usage({**STEP, "log": 0.9}, {"log": 100})).kind == "compute"


@pytest.mark.parametrize(
    "data, expected", [(2.0, ("compute", "good")), (4.0, ("input", "watch")), (9.0, ("input", "bad"))]
)
def test_waiting_for_batches(data, expected):
    found = verdict(usage({**STEP, "data": data}))
    assert (found.kind, found.level) == expected and not found.key
    turned = verdict(usage({**STEP, "data": data}), settings={"dataset.rotate": 15.0})
    assert (turned.key, turned.later) == (("dataset.rotate", True) if found.kind == "input" else ("", False))


def test_launches_on_a_gpu():
    gpu = Load(cpus=8.0, cpu=1.0, all_cpus=0.2, gpu=Gpu("G", busy=0.35, used=10**9, total=10**10))
    plan = events.Plan(steps=1, steps_per_epoch=1, batch_size=1, compiled=True)
    assert verdict(usage(load=gpu, idle=10, looks=80), plan=plan).kind == "compute"
    found = verdict(usage(load=gpu, idle=70, looks=80), plan=plan)
    assert found.kind == "launch" and "35% busy" in found.sentence and "compile" not in found.advice
    assert verdict(usage(load=gpu, idle=7, looks=7), plan=plan).kind == "compute"  # of too few
    plan = events.Plan(steps=1, steps_per_epoch=1, batch_size=1)
    found = verdict(usage(load=gpu, idle=70, looks=80), plan=plan)
    assert "train.compile" in found.advice and (found.key, found.value, found.later) == ("train.compile", "on", True)
    plan = events.Plan(steps=1, steps_per_epoch=1, batch_size=8, compiled=True, accumulate=4)
    found = verdict(usage(load=gpu, idle=70, looks=80), plan=plan)
    assert "train.accumulate = 2" in found.advice and (found.key, found.value) == ("train.accumulate", 2)


def test_launches_on_a_cpu():
    """Steps of 0.84 ms that keep one of eight CPUs busy; as long ones are what they are."""
    idle = Load(cpus=8.0, cpu=1.0, all_cpus=0.2)
    found = verdict(usage(load=idle, steps=10_000))
    assert found.kind == "launch" and "0.84 ms" in found.sentence
    assert verdict(usage(load=idle)).kind == "compute"
    assert verdict(usage(load=FREE, steps=10_000)).kind == "compute"


def test_others_that_take_the_cpu():
    crowded = Load(cpus=8.0, cpu=3.0, all_cpus=0.99)
    assert verdict(usage(load=crowded)).kind == "crowded"
    assert verdict(usage(load=Load(cpus=8.0, cpu=3.0, all_cpus=0.5))).kind == "compute"
    assert verdict(usage(load=crowded), plan=events.Plan(steps=1, steps_per_epoch=1, batch_size=1, threads=4)).kind == (
        "compute"
    )
    assert verdict(usage(load=Load(cpus=8.0, cpu=3.0))).kind == "compute"  # nobody tells of the others


def grown(sizes, gpu=False):
    def load(size):
        if gpu:
            return Load(memory=10**9, gpu=Gpu("G", used=size, total=20 * 10**9, own=size))
        return Load(memory=size, free=4 * 10**9, total=16 * 10**9)

    return [usage(load=load(round(size * 1e9))) for size in sizes]


@pytest.mark.parametrize("gpu", [False, True], ids=["memory", "GPU memory"])
def test_memory_that_creeps(gpu):
    steady = [1 + 0.1 * n for n in range(16)]
    found = verdict(*grown(steady, gpu))
    assert (found.kind, found.level) == ("memory", "bad") and "36 GB more in an hour" in found.sentence
    assert found.sentence.startswith("GPU memory" if gpu else "memory")
    assert verdict(*grown(steady, gpu), remaining=60.0).level == "watch"  # it ends before
    assert verdict(*grown(steady, gpu), live=False).kind == "compute"
    for sizes in ([1.0] * 4 + [3.0] * 12, [1 + 0.001 * n for n in range(16)], steady[:7], [2.0, 1.0] * 8):
        assert verdict(*grown(sizes, gpu)).kind == "compute", sizes


def test_memory_that_is_nearly_full():
    found = verdict(usage(load=Load(memory=10**9, free=3 * 10**8, total=16 * 10**9)))
    assert (found.kind, found.level) == ("memory", "bad") and "300 MB of 16 GB" in found.sentence
    assert (found.key, found.value, found.later) == ("train.accumulate", 2, True)
    assert verdict(usage(load=Load(memory=10**9, free=10**9, total=16 * 10**9))).kind == "compute"
    assert verdict(usage(load=Load(memory=10**9, total=16 * 10**9))).kind == "compute"  # nobody tells what is free


def test_a_silent_run_has_stalled():
    assert verdict(silent=19.0).kind == "compute" and verdict(silent=21.0).kind == "stalled"
    assert judge([], SETTINGS, silent=21.0).kind == "stalled"
    slow = usage({"gradients": 9.0}, steps=2)
    assert verdict(slow, silent=80.0).kind == "compute" and verdict(slow, silent=95.0).kind == "stalled"
    costly = usage({**STEP, "preview": 30.0}, {"preview": 1}, seconds=40.0)
    assert verdict(costly, silent=80.0).kind != "stalled" and verdict(costly, silent=95.0).kind == "stalled"
    assert verdict(silent=90.0, live=False).kind == "compute"


def test_a_live_run_is_judged_by_the_last_minute_and_one_that_is_over_by_all():
    costly, fine = usage({**STEP, "preview": 2.0}, {"preview": 4}), usage()
    assert verdict(*[costly] * 8, *[fine] * 6).kind == "compute"
    assert verdict(*[costly] * 8, *[fine] * 6, live=False).kind == "preview"
    assert bottleneck.recent([costly, fine, fine], 15.0) == fine.spent + fine.spent
    assert bottleneck.recent([costly, fine], math.inf).seconds == 20.0


def test_where_the_time_went_in_one_line():
    spent = Spent(10.0, 100, {**STEP, "preview": 0.6, "log": 0.01}, {"preview": 2, "log": 9})
    assert bottleneck.breakdown(spent) == "forward/backward 70%, optimiser 10%, previews 6%, data 4%, rest 10%"
    assert bottleneck.breakdown(Spent()) == ""


def test_the_settings_are_those_that_are_in_force(tmp_path, monkeypatch):
    run = runs.create(tmp_path, "r", 'name = "r"\n[preview]\nevery_seconds = 9.0\n[train]\nvalidate_every = "x"\n')
    writer = event_log.EventWriter(run / "events.jsonl")
    writer.write(events.Edit(step=3, key="checkpoint.every_minutes", old=2.0, new=7.0), usage(STEP, {"log": 3}))
    view = RunView.read(run)
    assert bottleneck.settings_of(view) == {
        "preview.every_steps": 0, "preview.every_seconds": 9.0, "train.validate_every": 0, "checkpoint.every_steps": 0,
        "checkpoint.every_minutes": 7.0, "quality.share": 0.05,
    }  # fmt: skip
    assert bottleneck.of_view(view).kind == "compute"
    writer.close()


def test_many_accounts_become_fewer_and_no_second_is_lost():
    accounts = [usage(seconds=float(n)) for n in range(1, 11)]
    fewer = thinned(accounts)
    assert [account.spent.seconds for account in fewer] == [3.0, 7.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    assert sum(account.spent.steps for account in fewer) == 1000
