"""Planned edits and those made by hand: none is lost, the newest wins, and what will override one is said."""

from __future__ import annotations

import pytest

from tests import fake_worker, small_runs
from tests.test_run_loop import Run
from tests.waiting import wait_for
from tui_gen import catalog as catalogs
from tui_gen import config as configs
from tui_gen import events, toml_writer
from tui_gen.edits import merged, overriding
from tui_gen.log import event_log
from tui_gen.report import headless
from tui_gen.train.engine.building import weights_of
from tui_gen.train.run import checkpoints

LR = "train.phases.vae.lr"


def edit(step, value, key=LR):
    return {"step": step, "key": key, "value": value}


@pytest.mark.parametrize(
    ("planned", "made", "together"),
    [
        ([], [], []),
        ([edit(5, 1), edit(9, 2)], [edit(5, 1)], [edit(5, 1), edit(9, 2)]),  # the second is still ahead
        ([edit(9, 2)], [edit(5, 3), edit(9, 2)], [edit(5, 3), edit(9, 2)]),
        ([edit(9, 2)], [edit(12, 3)], [edit(9, 2), edit(12, 3)]),
        # --resume --set twice at one step: the newer one counts, though only the older was made yet
        ([edit(5, 1), edit(5, 2)], [edit(5, 1)], [edit(5, 1), edit(5, 2)]),
        ([edit(5, 1), edit(5, 2), edit(5, 1)], [edit(5, 1), edit(5, 2)], [edit(5, 1), edit(5, 2), edit(5, 1)]),
        # by hand, while paused before the planned one
        ([edit(5, 1)], [edit(5, 7), edit(5, 1)], [edit(5, 7), edit(5, 1)]),
        ([3], [edit(5, 1)], [3]),
        ({}, [edit(5, 1)], {}),
    ],
)
def test_a_plan_and_a_log_are_one_list(planned, made, together):
    assert merged(planned, made) == together


def test_the_edit_that_overrides_a_newer_one_is_found():
    ahead = [edit(3, 9), edit(5, 1), edit(9, 2), edit(9, 4, "model.beta")]
    assert "until step 9" in overriding(ahead, LR, 5, 1) and "sets it to 2" in overriding(ahead, LR, 5, 1)
    assert overriding(ahead, LR, 9, 1) == overriding(ahead, "model.kl", 0, 1) == overriding([], LR, 0, 1) == ""
    assert overriding([edit(9, 2)], LR, 5, 2) == ""


PLAN = [edit(60, 5e-4), edit(500, 1e-4)]


@pytest.fixture
def steered():
    """A run that stopped at step 100: the first of its planned edits is in the log, and one made by hand."""
    run = fake_worker.make_run(None, "vae-digits", "train.steps=1000")
    tables = configs.read_toml(run / "config.toml") | {"edits": PLAN}
    (run / "config.toml").write_text(toml_writer.dump_toml(tables))
    fake_worker.record(run, steps=100, state="stopped")
    writer = event_log.EventWriter(run / "events.jsonl")
    writer.write(events.Edit(step=60, key=LR, old=1e-3, new=5e-4), events.Edit(80, "model.beta", 1.0, 2.0))
    writer.close()
    return run


def test_a_run_that_is_run_again_has_what_was_made_and_what_is_still_planned(steered):
    again = catalogs.resolve(str(steered), catalogs.read())
    assert again.edits == [PLAN[0], edit(80, 2.0, "model.beta"), PLAN[1]]


def test_a_resume_with_a_setting_keeps_the_plan_and_says_what_overrides_it(steered, capsys):
    new = headless.continued(steered, [f"{LR}=2e-3", "model.beta=3"], "", [])
    assert new.edits == [*PLAN, edit(100, 2e-3), edit(100, 3.0, "model.beta")]
    assert configs.read_toml(steered / "config.toml")["edits"] == new.edits
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and f"{LR} = 0.002 counts until step 500" in warnings[0] and "to 1e-4" in warnings[0]


def test_what_overrides_a_setting_of_a_run_that_is_run_again_is_said(steered, tmp_path, capsys):
    headless.resolve(str(steered), [f"{LR}=2e-3", "train.seed=4"], [], tmp_path, headless.stdout.standard()[1])
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1 and f"{LR} = 0.002 counts until step 60" in warnings[0]


def test_an_edit_by_hand_that_a_planned_one_overrides_says_so_and_when(tmp_path):
    path = small_runs.make_run(tmp_path, "vae", train__steps=40)
    run = Run(tmp_path, path=path, train__steps=40, edits=[edit(20, 0.01), edit(30, 0.02)])
    run.loop.paused = True
    run.thread.start()
    wait_for(lambda: run.loop.state == "paused", what="the pause")
    assert run.ask("edit", key="model.beta", value=2).data["words"] == ""
    words = run.ask("edit", key=LR, value=0.5e-3).data["words"]
    assert "counts until step 20" in words and "0.01" in words
    run.ask("resume")
    view = run.finish()
    assert [text for _, level, text in view.log if level == "warning"] == [words]  # none for those of the plan
    assert [(one.step, one.new) for one in view.edits if one.key == LR] == [(0, 0.5e-3), (20, 0.01), (30, 0.02)]


def test_a_plan_is_kept_to_by_a_run_that_was_killed_and_resumed_with_a_setting(tmp_path):
    """The bits are those of a run that was never killed and was told the same at the same steps."""
    plan = [edit(4, 5e-4), edit(14, 2e-3)]
    whole = Run(tmp_path, train__steps=20, edits=[plan[0], edit(8, 1e-4), plan[1]])
    whole.thread.start()
    whole.finish()
    path = small_runs.make_run(tmp_path, "vae", train__steps=20, edits=plan)
    cut = Run(tmp_path, path=path, train__steps=20, edits=plan)
    cut.loop._prepare()
    for _ in range(11):
        for one in plan:
            if one["step"] == cut.trainer.step:
                cut.loop.apply_edit(one["key"], one["value"])
        if cut.trainer.step == 8:
            cut.loop.checkpoint("test")
        cut.trainer.train_step()
    cut.server.close()
    cut.writer.close()
    (path / "worker.json").unlink()
    new = headless.continued(path, [f"{LR}=1e-4"], "", [])
    assert new.edits == [*plan, edit(8, 1e-4)]
    again = Run(tmp_path, path=path, train__steps=20, edits=new.edits, resume=True)
    again.thread.start()
    view = again.finish()
    assert [(one.step, one.new) for one in view.edits] == [(4, 5e-4), (8, 1e-4), (14, 2e-3)]
    for name, tensor in weights_of(whole.trainer.model).items():
        assert bool((weights_of(again.trainer.model)[name] == tensor).all()), name


def test_an_edit_planned_for_the_end_is_in_the_last_checkpoint_as_one_by_hand_after_the_last_step_is(tmp_path):
    planned = edit(6, 0.25, "model.beta")
    run = Run(tmp_path, train__steps=6, edits=[planned, edit(7, 1e-4)])
    run.thread.start()
    view = run.finish()
    assert [(one.step, one.key, one.new) for one in view.edits] == [(6, "model.beta", 0.25)]
    assert run.trainer.step == 6 and run.trainer.current("model.beta") == 0.25
    assert checkpoints.load(view.path / "checkpoints" / "000006", False).state["values"]["beta"] == 0.25
