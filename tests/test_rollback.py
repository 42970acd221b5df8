"""Going back: a batch that breaks the loss is passed over, a rate is made smaller; resumed and replayed to the bit."""

from __future__ import annotations

import errno
import shutil
import threading

import msgspec
import numpy as np
import pytest
import torch
from safetensors import safe_open

from tests import small_runs
from tests.loop_run import Run, all_ended
from tests.waiting import wait_for
from tui_gen import catalog as catalogs
from tui_gen import checkpoints, control, events, rollbacks, runs
from tui_gen import config as configs
from tui_gen.history import run_summary
from tui_gen.log import event_log, log_prefix
from tui_gen.marks import marks_of
from tui_gen.train.offline import alike
from tui_gen.train.run.offences import Offence
from tui_gen.view import RunView

LR = "train.phases.vae.lr"
SETTINGS = {"train__steps": 20, "train__on_nan": "rollback", "checkpoint__every_steps": 5, "checkpoint__keep_last": 9}


@pytest.fixture
def start(tmp_path):
    """Start a run; `bad` are positions in the data whose batch gives a loss that is no number."""
    made = []

    def begin(bad=(), go=True, **kwargs):
        run = Run(tmp_path, **{**SETTINGS, **kwargs})
        made.append(run)
        batches = [run.trainer.stream.at(position)[0] for position in bad]
        plain = dict(run.trainer.compute)

        def poisoned(name):
            def compute(batch):
                names, row, gradients = plain[name](batch)
                if any(torch.equal(batch.x, x) for x in batches):
                    return names, row * torch.nan, [gradient * torch.nan for gradient in gradients]
                return names, row, gradients

            return compute

        run.trainer.compute = {name: poisoned(name) for name in plain}
        if go:
            run.thread.start()
        return run

    yield begin
    all_ended(made)


def copied(run, to, steps):
    """The run as it would be had it been killed when its newest checkpoint was of step `steps`."""
    shutil.copytree(run.path, to)
    for step in checkpoints.steps(to):
        if step > steps:
            shutil.rmtree(checkpoints.directory(to, step))
    return to


def test_a_batch_that_breaks_the_loss_is_passed_over_resumed_and_replayed_to_the_same_bits(start, tmp_path):
    run = start(bad=[12])
    view = run.finish()
    assert view.state == "finished" and list(view.series["vae/loss"].steps) == list(range(1, 21))
    assert np.isfinite(view.series["vae/loss"].values).all()
    (event,) = view.rollbacks
    assert (event.to, event.skipped, event.skips, event.rates, event.by_hand) == (10, [12], [12], {}, False)
    assert run.trainer.stream.position == 21  # a batch more than steps
    with safe_open(run.path / event.kept, "pt") as file:
        x, _, places = run.trainer.stream.at(12)
        assert torch.equal(file.get_tensor("x"), x) and torch.equal(file.get_tensor("indices"), places)
        offence = msgspec.json.decode(file.metadata()["offence"], type=Offence)
    assert (offence.step, offence.position, offence.checkpoint) == (12, 12, 10)
    assert offence.loss == {"vae": None} and set(offence.gradients.values()) == {None}
    assert offence.gradients.keys() <= offence.weights.keys()

    # The config of the run, trained again, never meets the batch; a resume from before or after the rollback does
    # what the log says.
    again = catalogs.resolve(str(run.path), small_runs.built()[0])
    assert again.skips == [12]
    for begun, more in ((None, {"skips": [12]}), (10, {"resume": True}), (15, {"resume": True})):
        path = None if begun is None else copied(run, tmp_path / f"killed-{begun}", begun)
        other = start(bad=[12], path=path, **more)  # one at a time: random numbers are the process's
        view = other.finish()
        assert view.state == "finished" and [resume.step for resume in view.resumes] == ([begun] if begun else [])
        assert alike.differences(run.path, other.path) == []


def test_a_smaller_rate_by_hand_is_an_edit_that_is_made_again(start, tmp_path):
    run = start(train__steps=200_000, train__on_nan="stop", checkpoint__every_steps=0)
    wait_for(lambda: run.trainer.step > 3, what="some steps")
    run.ask("pause")
    wait_for(lambda: run.loop.state == "paused", what="the pause")
    step = run.ask("checkpoint").data["step"]
    for value in (2e-3, 3e-3):  # the second is made in what is done again
        run.ask("edit", key=LR, value=value)
        run.ask("edit", key="model.beta", value=1000 * value)
        run.ask("resume")
        wait_for(lambda here=run.trainer.step: run.trainer.step > here + 3, what="more steps")
        run.ask("pause")
        wait_for(lambda: run.loop.state == "paused", what="the pause")
    run.ask("checkpoint")
    run.loop.config.train.steps = run.loop.agenda.total = run.trainer.total = run.trainer.step + 10
    reply = run.ask("rollback", to=step, rate=0.1).data
    assert reply["step"] == step == run.trainer.step and reply["was"] > step and "× 0.1" in reply["change"]
    assert [path.name for path in (run.path / "checkpoints").glob("undone-*")]
    run.ask("resume")
    view = run.finish()
    rates = [(edit.step, edit.new) for edit in view.edits if edit.key == LR]
    assert rates == [(step, 3e-4)]  # of the rate in force; those that were made after it are not gone back to
    assert [edit.new for edit in view.edits if edit.key == "model.beta"] == [2.0, 3.0]
    more = {"train__steps": view.step, "train__on_nan": "stop", "checkpoint__every_steps": 0}
    tables = configs.to_tables(catalogs.resolve(str(run.path), small_runs.built()[0]))
    straight = start(**more, edits=tables["edits"])
    straight.finish()
    resumed = start(path=copied(run, tmp_path / "killed", step), resume=True, **more)
    resumed.finish()
    for other in (straight, resumed):
        assert [words for words in alike.differences(run.path, other.path) if "live" not in words] == []


def test_it_stops_where_going_back_does_not_help(start):
    phases = {"vae": {"optimizer": "sgd", "lr": 10.0}}
    run = start(train__phases=phases, model__likelihood="gaussian", train__rollbacks=1, train__steps=100_000)
    view = run.finish()
    assert view.state == "failed" and "after 1 rollback (train.rollbacks = 1)" in view.reason
    (event,) = view.rollbacks
    assert event.to == 0 and event.rates == {LR: 1.0} and not event.skipped
    # Somebody who resumes it with more of them is not sent to the same place for nothing.
    assert [(edit.step, edit.new) for edit in view.edits] == [(0, 1.0)]


def test_a_run_that_has_ended_goes_back_and_is_the_same_as_one_that_was_live(start, tmp_path):
    run = start()
    run.finish()
    back = copied(run, tmp_path / "back", 20)
    event = rollbacks.go_back(back, run.loop.config, to=10, factor=0.5, skip=14)
    assert (event.step, event.to, event.rates) == (20, 10, {LR: 5e-4})
    assert runs.state_of(back) == ("stopped", 10, "rolled back") and checkpoints.steps(back) == [0, 5, 10]
    resumed = start(path=back, resume=True)
    view = resumed.finish()
    assert view.state == "finished" and list(view.series["vae/loss"].steps) == list(range(1, 21))
    straight = start(skips=[14], edits=[{"step": 10, "key": LR, "value": 5e-4}])
    straight.finish()
    assert alike.differences(back, straight.path) == []
    assert not runs.doubts(back)  # all of it is ours to delete


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"to": 3}, "has no checkpoint of step 3"),
        ({"to": "x"}, "to must be a step"),
        ({"rate": 2}, "rate must be a factor"),
        ({"skip": True}, "no alert names a batch"),
        ({"skip": 10**6}, "is not made yet"),
        ({}, "has no checkpoint to go back to"),
    ],
)
def test_what_cannot_be_gone_back_to_is_refused_and_the_run_goes_on(start, fields, words):
    run = start(train__steps=200_000, train__on_nan="stop", checkpoint__every_steps=0)
    wait_for(lambda: run.trainer.step > 3, what="some steps")
    with pytest.raises(control.ControlError, match=words):
        run.ask("rollback", **fields)
    here = run.trainer.step
    wait_for(lambda: run.trainer.step > here, what="more steps")


def test_a_run_that_measures_its_end_is_not_gone_back_with(start):
    """It would be over at the earlier step: what was trained since would be undone, and never made again."""
    run = start(go=False)
    refused = []

    def ask():
        with pytest.raises(control.ControlError) as error:
            run.ask("rollback", to=10)
        refused.append(str(error.value))

    def measure():
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        while asking.is_alive():
            run.loop.answer_requests(timeout=0.05)

    run.loop.measurements.rest = measure
    run.thread.start()
    view = run.finish()
    assert refused == ["the run has made its last step, and is about to end; ask again when it has"]
    assert (view.state, view.step) == ("finished", 20) and 20 in checkpoints.steps(run.path)


def test_a_disk_that_is_full_meanwhile_is_waited_for(start, monkeypatch):
    run = start(train__steps=200_000, train__on_nan="stop", checkpoint__every_steps=0)
    step = run.ask("checkpoint").data["step"]
    wait_for(lambda: run.trainer.step > step + 3, what="more steps")
    set_aside, tries = checkpoints.set_aside, []

    def full(*given):
        tries.append(given)
        if len(tries) < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return set_aside(*given)

    monkeypatch.setattr(checkpoints, "set_aside", full)
    assert run.ask("rollback", timeout=60, to=step, rate=0.5).data["step"] == step
    assert len(tries) == 3 and rollbacks.of(run.path)[0].to == step


def test_a_spike_keeps_its_batch_and_the_checkpoint_from_before_it(start):
    run = start(go=False, train__on_nan="stop")
    loop = run.loop
    loop._prepare()
    loop.agenda.begin(0, 0.0)
    for _ in range(12):
        if run.trainer.step == 5:
            loop.checkpoint("test")
        run.trainer.train_step()
    loop.rollbacks.taken([alert := events.Alert(step=7, level="warning", what="spike: 9, the recent median is 1")], [])
    assert alert.kept == "offences/000007.safetensors" and loop.rollbacks.good == [5]
    before = {name: tensor.clone() for name, tensor in run.trainer.model.state_dict().items()}
    with safe_open(run.path / alert.kept, "pt") as file:
        assert torch.equal(file.get_tensor("x"), run.trainer.stream.at(7)[0])
    assert all(torch.equal(before[name], tensor) for name, tensor in run.trainer.model.state_dict().items())
    for step in (12, 13, 14):  # of two that are kept and the protected one
        run.trainer.train_step()
        loop.config.checkpoint.keep_last, loop.config.checkpoint.keep_best = 2, 0
        loop.checkpoint("test")
        del step
    assert checkpoints.steps(run.path) == [5, 14, 15]
    run.writer.close()
    run.server.close()


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"dataset__limit": 10},
        {"dataset": {"name": "moons"}, "model__likelihood": "gaussian"},
        {"dataset__shift": 0, "train__batch_size": 7},
    ],
)
def test_the_batch_at_a_position_is_the_one_that_comes_there(more):
    stream = small_runs.trainer("vae", **more).stream
    for position in (0, 1, stream.steps_per_epoch - 1, stream.steps_per_epoch + 3):
        epoch, cursor = divmod(position, stream.steps_per_epoch)
        stream.load_state_dict({"epoch": epoch, "cursor": cursor})
        assert stream.position == position
        x, labels, places = stream.at(position)
        there, its = stream.next()
        assert torch.equal(x, there) and len(places) == len(x) and stream.position == position + 1
        assert (labels is None and its is None) or torch.equal(labels, its)


def test_what_is_no_rollback_is_no_event():
    good = events.Rollback(step=9, to=5, edits=[{"step": 5, "key": LR, "value": 1e-3}], skips=[7])
    assert events.decode(events.encode(good)) == good
    for change in (
        {"to": 10}, {"edits": [{"step": -1, "key": LR, "value": 1}]}, {"edits": [{"key": LR}]}, {"kept": "../x"},
        {"plan": [{"step": True, "key": LR, "value": 1}]},
    ):  # fmt: skip
        assert events.decode(events.encode(msgspec.structs.replace(good, **change))) is None


def test_edits_and_skips_ahead_are_what_the_last_rollback_says(tmp_path):
    run = small_runs.make_run(tmp_path, "vae")
    log = event_log.EventWriter(run / "events.jsonl")
    plan = [{"step": 3, "key": LR, "value": 0.1}, {"step": 30, "key": LR, "value": 0.2}]

    def edit(step, value, key=LR):
        log.write(events.Edit(step=step, key=key, old=0, new=value))
        return {"step": step, "key": key, "value": value}

    first, lost = edit(3, 0.1), edit(12, 0.5)
    other = edit(13, 2.0, "model.beta")
    rollback = rollbacks.decided(run, plan, [4, 11], step=20, to=10, rates={LR: 0.05}, skipped=[14])
    assert rollback.skips == [11, 14] and lost not in rollback.edits
    log.write(rollback)
    ahead = [{"step": 10, "key": LR, "value": 0.05}, other, plan[1]]
    assert rollbacks.planned(run, plan) == [first, *ahead]
    assert rollbacks.skips(run, [4, 11]) == [4, 11, 14]
    newer = {"step": 12, "key": LR, "value": 0.7}  # set at a resume: newer than the rollback
    assert newer in rollbacks.planned(run, [*plan, newer])
    assert rollbacks.last_alert(run) is None
    log.close()


def test_what_a_rollback_undid_is_of_no_fork_and_of_no_summary(tmp_path):
    run = small_runs.make_run(tmp_path, "vae")
    log = event_log.EventWriter(run / "events.jsonl")
    log.write(events.Plan(steps=30, steps_per_epoch=9, batch_size=16))
    log.write(events.Metrics(start=0, values={"vae/loss": [5.0] * 10, "vae/kl": [1.0] * 10}))
    log.write(events.Metrics(start=10, values={"vae/loss": [1.0] * 10}))
    log.write(events.Rollback(step=20, to=10))
    log.write(events.Metrics(start=10, values={"vae/loss": [4.0] * 4}))
    log.close()
    losses = [
        value
        for event in map(events.decode, log_prefix.lines(run / "events.jsonl", 12))
        for value in (event.values["vae/loss"] if isinstance(event, events.Metrics) else ())
    ]
    assert losses == [5.0] * 10 + [4.0] * 2
    view = RunView.read(run)
    assert view.step == 14 and list(view.series["vae/loss"].values) == [5.0] * 10 + [4.0] * 4
    assert [mark.step for mark in marks_of(view) if mark.kind == "rollback"] == [10]
    assert runs.state_of(run)[1] == 14
    assert run_summary.summary_of(run).best == 4.0
