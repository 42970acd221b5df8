"""Measuring while a run trains: between steps, within its share of the time, without changing a bit of it."""

import pytest
import torch

from tests import small_runs
from tests.test_run_loop import Run
from tests.waiting import wait_for
from tui_gen import control, quality
from tui_gen.control import Request
from tui_gen.train.cutting import Cut
from tui_gen.train.engine.building import weights_of
from tui_gen.train.quality import WAITING, schedule

SMALL = {"dataset__limit": 120, "quality__samples": 60}


@pytest.fixture
def start(tmp_path):
    """Begin a small run in a thread; one that is still going on at the end of the test is stopped."""
    made = []

    def begin(family, **overrides):
        made.append(run := Run(tmp_path, family, **overrides))
        run.thread.start()
        return run

    yield begin
    for run in made:
        run.loop.asked_to_stop = "the test is over"
        run.thread.join(120)
        run.server.close()


def trained(family, measured):
    """A trainer after 25 steps, with some slices of a measurement after each, and the reports."""
    trainer = small_runs.trainer(family, **SMALL)
    plan, reports = schedule.QualitySchedule(trainer, lambda event: None), []
    trainer.config.quality.every_seconds = 1.0
    for step in range(25):
        trainer.train_step()
        reports += [plan.turn(step, idle=True) for _ in range(6 if measured else 0)]
    return trainer, [report for report in reports if report]


@pytest.mark.parametrize("family", ["gan", "ddpm"])
def test_a_run_that_is_measured_trains_to_the_same_bits(family):
    """Dropped-out, augmented, averaged: the random state and every number are those of a run without measurements."""
    (plain, _), (measured, reports) = trained(family, False), trained(family, True)
    assert reports and reports[0].step < 25
    for mine, theirs in ((plain.model, measured.model), (plain.average, measured.average)):
        mine, theirs = weights_of(mine), weights_of(theirs)
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert torch.equal(plain.state()["rng"], measured.state()["rng"])
    assert plain.state()["stream"] == measured.state()["stream"]


def test_measurements_become_events_curves_and_a_panel(start):
    view = start("vae", train__steps=30, quality__at_end=True, **SMALL).finish()
    [report] = view.quality
    assert report.step == 30 and report.samples == 60 and report.seconds > 0
    assert view.series["quality/fid"].steps.tolist() == [30] and "val/quality/fid" in view.series
    [panel] = [one for one in view.samples if one.kind == "quality"]
    assert panel.step == 30 and (view.path / panel.path).read_text() == quality.table(report)


def test_nothing_is_measured_unless_it_is_asked_for(start):
    view = start("vae", train__steps=20, **SMALL).finish()
    assert not view.quality and not any(name.startswith("quality/") for name in view.series)


def test_who_asks_gets_the_figures_of_that_step_while_training_goes_on(start):
    run = start("vae", train__steps=10_000_000, **SMALL)
    wait_for(lambda: run.trainer.step > 3, what="some steps")
    data = run.ask("quality").data
    report = quality.Report(**{**data["report"], "figures": []})
    assert data["step"] == report.step >= 3 and {one["name"] for one in data["report"]["figures"]} >= {"fid", "recall"}
    assert run.trainer.step > report.step
    run.ask("pause")
    wait_for(lambda: run.loop.state == "paused", what="the pause")
    assert run.ask("quality").data["step"] == run.trainer.step
    run.ask("stop")
    view = run.finish()
    assert [one.step for one in view.quality] == [report.step, view.step]


def test_models_without_samples_refuse_and_go_on(start):
    run = start("autoencoder", train__steps=10_000_000)
    with pytest.raises(control.ControlError, match="makes no samples"):
        run.ask("quality")
    run.ask("stop")
    assert run.finish().state == "stopped"


def test_a_schedule_that_a_model_cannot_keep_is_told_once(start):
    view = start("autoencoder", train__steps=60, quality__every_seconds=1e-6, quality__at_end=True).finish()
    assert view.state == "finished"
    assert sum("quality was not measured: autoencoder makes no samples" in text for _, _, text in view.log) == 1


def test_who_waits_when_the_run_is_stopped_hears_of_it(start, monkeypatch):
    run = start("vae", train__steps=10_000_000, **SMALL)
    monkeypatch.setattr(schedule, "measure", endless)
    wait_for(lambda: run.trainer.step > 3, what="some steps")
    request = Request({"op": "quality"})
    run.server.inbox.put(request)
    wait_for(lambda: run.loop.measuring.busy, what="the measurement")
    run.ask("stop")
    data, _ = request.wait()
    assert not data["ok"] and "tui-gen quality" in data["error"]
    assert run.finish().state == "stopped"


def endless(*given, **more):
    while True:
        yield "sampling"


# -- by a clock of its own


@pytest.fixture
def clock(monkeypatch):
    """A schedule's clock, which stands still unless it is set."""

    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    made = Clock()
    monkeypatch.setattr(schedule.time, "perf_counter", made)
    return made


@pytest.fixture
def scheduled(monkeypatch, clock):
    """A schedule whose measurements have ten slices of two seconds, and the slices done."""
    done = []

    def slices(model, data, device, *, step, samples, seed, tell, sampler):
        for number in range(10):
            clock.now += 2.0
            done.append((step, number))
            yield "sampling"
        clock.now += 2.0
        return quality.Report(step, samples, 1, 1, "", [])

    monkeypatch.setattr(schedule, "measure", slices)
    trainer = small_runs.trainer("vae", quality__every_seconds=100.0, quality__share=0.1)
    return schedule.QualitySchedule(trainer, lambda event: None), done


def test_it_takes_no_more_than_its_share_of_the_time(scheduled, clock):
    plan, done = scheduled
    begun = clock.now
    reports = []
    for _ in range(5000):
        clock.now += 0.5  # a training step
        reports.append(plan.turn(clock.now - begun))
    spent, elapsed = 2.0 * len(done), clock.now - begun
    assert any(reports)
    assert spent <= 0.1 * elapsed + 2.0
    assert spent >= 0.06 * elapsed  # and it does not sleep either: 220 s for 22 s of work, then up to 100 s until next


def test_it_begins_only_when_its_time_has_come_and_measures_one_step(scheduled, clock):
    plan, done = scheduled
    for elapsed in (0.0, 50.0, 99.0):
        assert plan.turn(elapsed) is None and not done
    plan.trainer.step = 7
    plan.turn(100.5)
    assert done == [(7, 0)]
    plan.trainer.step = 8
    plan.turn(101.0)  # two seconds were spent: no slice before 120.5
    assert len(done) == 1
    plan.turn(121.0)
    assert done == [(7, 0), (7, 1)]
    plan.trainer.config.quality.every_seconds = 0.0  # edited: what has begun is finished, nothing else begins
    for elapsed in range(130, 2000, 25):
        plan.turn(float(elapsed))
    assert len(done) == 10


def test_who_asks_waits_for_half_of_the_time_at_most(scheduled, clock):
    plan, _ = scheduled
    request = Request({"op": "quality"})
    plan.ask(request)
    begun = clock.now
    report = None
    while report is None:
        clock.now += 0.1
        report = plan.turn(clock.now - begun)
    assert 2 * 22 - 2 <= clock.now - begun <= 2 * 22 + 4
    assert request.wait()[0]["report"]["step"] == 0


def test_a_fault_in_a_sampler_ends_the_measurement_and_not_the_run(scheduled, monkeypatch):
    plan, _ = scheduled

    def broken(*given, **more):
        yield "sampling"
        raise ValueError("odd")

    monkeypatch.setattr(schedule, "measure", broken)
    request = Request({"op": "quality"})
    plan.ask(request)
    assert plan.turn(0.0, idle=True) is None and plan.turn(0.0, idle=True) is None
    assert request.wait()[0] == {"ok": False, "error": "ValueError: odd"} and not plan.busy
    assert plan.trouble == "ValueError: odd"


def test_who_asked_for_what_was_cut_is_answered_where_the_stop_is_refused(scheduled, monkeypatch):
    plan, done = scheduled
    stopping, measure = [True], schedule.measure

    def cut(*given, **more):
        if stopping:
            raise Cut
        return (yield from measure(*given, **more))

    monkeypatch.setattr(schedule, "measure", cut)
    request = Request({"op": "quality"})
    plan.ask(request)
    with pytest.raises(Cut):
        plan.turn(0.0, idle=True)
    assert plan.busy
    stopping.clear()
    while plan.busy:
        plan.turn(0.0, idle=True)
    assert request.wait()[0]["ok"] and len(done) == 10


def test_the_last_measurement_is_of_the_last_step(scheduled):
    plan, done = scheduled
    plan.turn(0.0)
    plan.trainer.step = 5
    plan.turn(150.0)
    plan.trainer.step = 9
    plan.trainer.config.quality.at_end = True
    reports = [report for report in plan.rest() if report is not None]
    assert [report.step for report in reports] == [9] and done[0] == (5, 0)
    assert [report for report in plan.rest() if report is not None] == []  # that step has its figures
    plan.went_back()  # and comes to it again, with other weights
    assert [report.step for report in plan.rest() if report is not None] == [9]


def test_while_another_process_prepares_the_same_nothing_is_spent_on_waiting(scheduled, monkeypatch):
    plan, _ = scheduled

    def waiting(*given, **more):
        while True:
            yield WAITING

    monkeypatch.setattr(schedule, "measure", waiting)
    plan.ask(Request({"op": "quality"}))
    assert plan.turn(0.0, idle=True) is None and plan.blocked and plan.busy


def test_settings_of_quality_can_be_edited_and_are_in_the_checkpoint():
    trainer = small_runs.trainer("vae")
    trainer.edit("quality.every_seconds", 30.0)
    again = small_runs.trainer("vae")
    again.restore(trainer.state(), weights_of(trainer.model), None)
    assert again.config.quality.every_seconds == 30.0
