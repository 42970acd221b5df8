"""One run in this process: cadences, requests from another thread, alerts, waiting for room on the disk."""

from __future__ import annotations

import errno
import threading

import numpy as np
import pytest

from tests import small_runs
from tests.loop_run import Run, all_ended
from tests.waiting import wait_for
from tui_gen import control, events
from tui_gen.log import event_log
from tui_gen.train.engine.building import weights_of
from tui_gen.train.run import checkpoints, continuing, showing


@pytest.fixture
def start(tmp_path):
    made = []

    def begin(family="vae", **kwargs):
        run = Run(tmp_path, family, **kwargs)
        made.append(run)
        run.thread.start()
        return run

    yield begin
    all_ended(made)


def test_a_run_leaves_everything_a_reader_needs(start):
    view = start(train__steps=25, preview__every_steps=10, checkpoint__every_steps=10, train__validate_every=5).finish()
    assert (view.state, view.step, view.plan.steps) == ("finished", 25, 25)
    loss = view.series["vae/loss"]
    assert list(loss.steps) == list(range(1, 26)) and np.isfinite(loss.values).all()
    assert len(view.series["val/vae/loss"].steps) == 5
    assert sorted({one.step for one in view.samples}) == [0, 10, 20, 25]
    assert {one.kind for one in view.samples} == {"samples", "reconstructions", "codes", "code"}
    assert [one.step for one in view.checkpoints] == [10, 20, 25]
    for one in (one for one in view.samples if one.kind != "code"):
        assert (view.path / one.path).read_bytes().startswith(b"\x89PNG")
    assert not view.garbage and view.fraction == 1.0


def test_a_picture_of_the_untrained_model_that_would_take_long_is_left_off_and_the_others_are_drawn(start, monkeypatch):
    monkeypatch.setattr(showing, "UNTRAINED_PATIENCE", 0.0)
    view = start(train__steps=25, preview__every_steps=10).finish()
    assert (view.state, view.step) == ("finished", 25)
    assert sorted({one.step for one in view.samples}) == [10, 20, 25]
    (words,) = (text for _, _, text in view.log if "untrained" in text)
    assert words == "samples take more than 0 s to draw: those of the untrained model are left off"


def test_pause_edit_and_resume_take_effect_where_they_say(start):
    run = start(train__steps=200_000)
    wait_for(lambda: run.trainer.step > 3, what="some steps")
    paused_at = run.ask("pause").data["step"]
    wait_for(lambda: run.loop.state == "paused", what="the pause")
    assert run.trainer.step == paused_at
    reply = run.ask("edit", key="train.phases.vae.lr", value=5e-4).data
    assert reply["step"] == paused_at and reply["new"] == 5e-4
    assert run.ask("edit", key="model.beta", value=2).data["new"] == 2.0
    path = run.ask("checkpoint").data["path"]
    assert checkpoints.load(run.path / path).meta.step == paused_at
    assert (run.path / run.ask("sample").data["path"]).exists()
    run.ask("resume")
    wait_for(lambda: run.trainer.step > paused_at, what="more steps")
    run.ask("stop")
    view = run.finish()
    assert view.state == "stopped" and view.checkpoints[-1].step == view.step
    assert [(edit.key, edit.new, edit.step) for edit in view.edits] == [
        ("train.phases.vae.lr", 5e-4, paused_at),
        ("model.beta", 2.0, paused_at),
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"key": "model.latent", "value": 3}, "cannot be changed while training"),
        ({"key": "model.betta", "value": 3}, "did you mean"),
        ({"key": "train.phases.vae.lr", "value": -1}, "0 < x"),
        ({"key": "train.phases.vae.lr", "value": "fast"}, "a number"),
        ({}, "no such setting"),
    ],
)
def test_edits_that_cannot_be_made_are_refused_with_a_reason(start, fields, words):
    run = start(train__steps=200_000)
    with pytest.raises(control.ControlError, match=words):
        run.ask("edit", **fields)
    with pytest.raises(control.ControlError, match="does not know"):
        run.ask("dance")


def test_an_edit_that_the_model_cannot_train_with_is_refused_with_its_reason(start):
    run = start("ddpm", train__steps=200_000, model__conditional=True)
    with pytest.raises(control.ControlError, match="also learns to do without the label"):
        run.ask("edit", key="model.guidance", value=2.0)
    assert run.ask("edit", key="model.eta", value=0.5).data["new"] == 0.5


def test_stopping_without_a_checkpoint_leaves_none(start):
    run = start(train__steps=200_000)
    wait_for(lambda: run.trainer.step > 2, what="some steps")
    run.ask("stop", checkpoint=False)
    view = run.finish()
    assert view.state == "stopped" and not view.checkpoints


def test_a_loss_that_is_not_finite_ends_the_run_and_says_what_to_try(start):
    phases = {"vae": {"optimizer": "sgd", "lr": 10.0}}
    view = start(train__steps=100_000, train__phases=phases, model__likelihood="gaussian").finish()
    assert view.state == "failed" and "not finite" in view.reason
    assert any("learning rate" in alert.advice for alert in view.alerts)
    assert not [one for one in view.checkpoints if one.step >= view.alerts[0].step]


def test_edits_after_the_last_checkpoint_are_made_again_at_their_step(start, tmp_path):
    planned = [{"step": 12, "key": "train.phases.vae.lr", "value": 0.01}]
    whole = start(train__steps=20, edits=planned)
    expected = {name: t.clone() for name, t in weights_of(whole.finish() and whole.trainer.model).items()}

    path = small_runs.make_run(tmp_path, "vae", train__steps=20)
    cut = Run(tmp_path, path=path, train__steps=20)
    cut.loop._prepare()
    for _ in range(15):  # the first session: a checkpoint at 10, an edit at 12, killed at 15
        if cut.trainer.step == 10:
            cut.loop.checkpoint("test")
        if cut.trainer.step == 12:
            cut.loop.apply_edit("train.phases.vae.lr", 0.01)
        cut.trainer.train_step()
    cut.server.close()
    cut.writer.close()
    again = Run(tmp_path, path=path, train__steps=20, resume=True)
    assert again.trainer.step == 10
    again.thread.start()
    view = again.finish()
    found = weights_of(again.trainer.model)
    assert all(bool((expected[name] == found[name]).all()) for name in expected)
    assert [(edit.step, edit.new) for edit in view.edits] == [(12, 0.01)]


def test_a_full_disk_holds_the_run_and_loses_nothing(start, monkeypatch):
    full = threading.Event()
    run = start(train__steps=200_000)
    wait_for(lambda: run.trainer.step > 3, what="some steps")
    import os as real_os

    write = real_os.write

    def no_room(handle, data):
        if full.is_set() and handle == run.writer._file:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(handle, data)

    monkeypatch.setattr(event_log.os, "write", no_room)
    full.set()
    wait_for(lambda: run.loop.trouble, what="the trouble to be noticed")
    assert "No space left" in run.loop.trouble
    held = run.trainer.step
    with pytest.raises(control.ControlError, match="Make room"):
        run.ask("stop")
    assert run.trainer.step == held
    full.clear()
    wait_for(lambda: run.trainer.step > held, what="training to go on")
    run.ask("stop")
    view = run.finish()
    assert view.state == "stopped"
    assert list(view.series["vae/loss"].steps) == list(range(1, view.step + 1))


def test_a_run_by_time_ends_by_time(start):
    view = start(train__steps=0, train__minutes=0.005).finish()
    assert view.state == "finished" and view.step > 0 and view.plan.steps is None and view.fraction == 1.0


def test_data_that_changed_since_the_checkpoint_is_told(tmp_path):
    path = small_runs.make_run(tmp_path, "vae", train__steps=6)
    first = Run(tmp_path, path=path, train__steps=6)
    first.trainer.train_step()
    first.loop.checkpoint("test")
    first.server.close()
    first.writer.close()
    again = Run(tmp_path, path=path, train__steps=6, dataset__limit=120, resume=True)
    again.thread.start()
    assert any("the data changed" in text for _, _, text in again.finish().log)


@pytest.mark.parametrize("best, sign", [("vae/elbo", -1), ("val/vae/elbo", -1), ("", 1), ("vae/loss", 1)])
def test_the_best_checkpoint_is_the_one_with_the_better_figure(start, best, sign):
    run = start(train__steps=20, checkpoint__every_steps=5, train__validate_every=5, checkpoint__best=best)
    view = run.finish()
    metas = {meta.step: meta for _, _, meta in checkpoints.complete(view.path)}
    curve = view.series["val/vae/elbo" if "elbo" in best else "val/vae/loss"]
    for step, meta in metas.items():
        at = list(curve.steps).index(step)
        assert meta.ranked == pytest.approx(sign * curve.values[at], rel=1e-5)
    assert {meta.ranked_by for meta in metas.values()} == {"val/vae/elbo" if "elbo" in best else "val/vae/loss"}


def test_a_metric_that_is_not_there_is_said_once(start):
    view = start(train__steps=12, train__validate_every=4, checkpoint__best="vae/elbow").finish()
    said = [text for _, _, text in view.log if "vae/elbow" in text]
    assert len(said) == 1 and "vae/elbo" in said[0].replace("vae/elbow", "")


def test_what_was_made_again_since_counts_as_not_yet_seen(tmp_path):
    """A run that stops just there has its validation and its pictures after the next resume."""
    validated, drawn = events.Metrics(start=19, values={"val/vae/loss": [1.0]}), events.Sample(step=20, path="a.png")
    cases = [
        ((validated, drawn), (True, True)),
        ((validated, drawn, events.Resume(step=20)), (True, True)),
        ((validated, drawn, events.Resume(step=10)), (False, False)),
        ((validated, drawn, events.Resume(step=10), drawn), (False, True)),
        ((validated, events.Rollback(step=20, to=10)), (False, False)),
    ]
    for number, (told, expected) in enumerate(cases):
        (tmp_path / str(number)).mkdir()
        writer = event_log.EventWriter(tmp_path / str(number) / "events.jsonl")
        writer.write(*told)
        writer.close()
        assert continuing.shown_at(tmp_path / str(number), 20) == expected, told
