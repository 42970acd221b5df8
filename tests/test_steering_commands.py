"""Live runs steered from the command line: `edit`, `edits` with undo and redo, and the same edits in another run."""

from __future__ import annotations

import json

import pytest
import torch

from tests import small_runs
from tests.loop_run import Run
from tests.waiting import wait_for
from tui_gen import catalog as catalogs
from tui_gen import cli, edits, events, runs
from tui_gen import config as configs
from tui_gen.train.engine.building import weights_of

LR, BETA = "train.phases.vae.lr", "model.beta"


def made(*changes):
    """A history of edits: (key, old, new)."""
    return edits.EditHistory([events.Edit(step, key, old, new) for step, (key, old, new) in enumerate(changes)])


@pytest.mark.parametrize(
    ("changes", "undone", "to_undo", "to_redo"),
    [
        ([], {}, None, None),
        ([("a", 1, 2)], {}, 0, None),
        ([("a", 1, 2), ("b", 5, 6), ("b", 6, 5)], {1: 2}, 0, 2),
        ([("a", 1, 2), ("b", 5, 6), ("b", 6, 5), ("a", 2, 1)], {1: 2, 0: 3}, None, 3),
        ([("a", 1, 2), ("b", 5, 6), ("b", 6, 5), ("a", 2, 1), ("a", 1, 2)], {1: 2, 0: 3}, 4, 2),  # made again
        ([("a", 1, 2), ("a", 2, 1), ("b", 5, 6)], {0: 1}, 2, None),  # something else since
        ([("a", 1, 2), ("a", 2, 3), ("a", 3, 2), ("a", 2, 1)], {1: 2, 0: 3}, None, 3),
        ([("a", 1, 2), ("a", 2, 3), ("a", 3, 1)], {}, 2, None),  # over two: an edit of its own
        ([("a", 1, True), ("a", True, 1)], {0: 1}, None, 1),
    ],
)
def test_an_edit_back_to_the_value_before_takes_the_last_one_back(changes, undone, to_undo, to_redo):
    history = made(*changes)
    assert history.undone == undone
    for number, edit in ((to_undo, history.to_undo), (to_redo, history.to_redo)):
        assert edit is (None if number is None else history.edits[number])


def test_planned_edits_are_in_the_list_until_they_are_made():
    plan = [{"step": step, "key": key, "value": value} for step, key, value in ((3, "a", 2), (9, "b", 1), (1, "c", 0))]
    history = edits.EditHistory([events.Edit(3, "a", 1, 2, t=5.0)])
    assert edits.rows(history, plan, 4) == [
        edits.EditRow(3, "a", 1, 2, 5.0, "made", 3), edits.EditRow(9, "b", None, 1, state="planned"),
    ]  # fmt: skip
    for nonsense in (None, 3, [4], [{"step": "x", "key": "b", "value": 1}]):
        assert len(edits.rows(history, nonsense, 4)) == 1


@pytest.fixture
def paused(tmp_path):
    """A run that a process (this one) has, paused before its first step."""
    path = small_runs.make_run(tmp_path, "vae", train__steps=24)
    hold = runs.claim(path)
    run = Run(tmp_path, path=path, train__steps=24, edits=[{"step": 20, "key": BETA, "value": 4.0}])
    run.loop.paused = True
    run.thread.start()
    wait_for(lambda: run.loop.state == "paused", what="the pause")
    yield run
    if run.thread.is_alive():
        run.loop.asked_to_stop = "the test is over"
        run.thread.join(60)
    run.server.close()
    hold.release()


def test_settings_are_changed_at_one_step_or_none_taken_back_and_made_again(paused, capsys):
    name, folder = paused.path.name, str(paused.path.parent)

    def said(*words, status=0):
        assert cli.main([*words, "--runs", folder]) == status
        told = capsys.readouterr()
        return told.err if status else told.out

    wrong = said("edit", name, f"{LR}=5e-4", "model.latent=7", "model.betta=1", status=1)
    assert "model.latent: cannot be changed while training" in wrong and "did you mean 'model.beta'" in wrong
    assert said("edits", name, "--undo", status=2) and not edits.made(paused.path)
    assert "must look like key=value" in said("edit", name, "model.beta", status=2)
    assert said("edit", name, f"{LR}=5e-4", "model.beta= 2 ").splitlines() == [
        f"{name}: {LR} 0.001 → 5e-4 from step 0", f"{name}: model.beta 1 → 2 from step 0",
    ]  # fmt: skip
    assert "is 2 already" in said("edit", name, "model.beta=2")
    assert "model.beta 2 → 1" in said("edits", name, "--undo")
    assert f"{LR} 5e-4 → 0.001" in said("edits", name, "--undo")
    assert "nothing was edited" in said("edits", name, "--undo", status=2)
    assert f"{LR} 0.001 → 5e-4" in said("edits", name, "--redo")
    rows = json.loads(said("edits", name, "--json"))
    assert [(row["key"], row["new"], row["state"]) for row in rows] == [
        (LR, 5e-4, "undone"), (BETA, 2.0, "undone"), (BETA, 1.0, "undoes"), (LR, 1e-3, "undoes"), (LR, 5e-4, "made"),
    ]  # fmt: skip
    assert "taken back at step 0" in said("edits", name).splitlines()[1]


def test_a_run_edited_by_hand_is_replayed_bit_for_bit_by_another_one(paused, tmp_path, capsys):
    folder = str(tmp_path)
    assert cli.main(["edit", str(paused.path), f"{LR}=5e-3", "--runs", folder]) == 0
    for step, change in ((7, f"{BETA}=3"), (13, f"{LR}=1e-3"), (16, "train.phases.vae.clip_norm=0.5")):
        stop_at(paused, step)
        assert cli.main(["edit", str(paused.path), change, "--runs", folder]) == 0
    paused.ask("resume")
    view = paused.finish()
    assert [edit.step for edit in view.edits] == [0, 7, 13, 16, 20]
    capsys.readouterr()
    small = tmp_path / "small.toml"
    plan = {"edits": [{"step": 20, "key": BETA, "value": 4.0}]}
    small.write_text(configs.dumps(configs.load(small_runs.tables("vae", train__steps=24), small_runs.built()[0])))
    config = catalogs.resolve(str(small), small_runs.built()[0], replay=paused.path)
    assert len(config.edits) == 4 + 1 and plan["edits"][0] in config.edits
    again = Run(tmp_path, tables=configs.to_tables(config))
    again.thread.start()
    replayed = again.finish()
    expected, found = weights_of(paused.trainer.model), weights_of(again.trainer.model)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert [(one.step, one.key, one.new) for one in replayed.edits] == [(e.step, e.key, e.new) for e in view.edits]
    assert cli.main(["--run", "dcgan-mnist", "--replay-edits", str(paused.path), "--runs", folder]) == 2
    assert "edits[0].train.phases.vae.lr" in capsys.readouterr().err  # of another model: said, and nothing made
    assert cli.main(["--replay-edits", "x"]) == 2 and "needs --run" in capsys.readouterr().err


def stop_at(run, step):
    """Let a paused run go on, and pause it before it makes a step."""
    due = run.loop._after_step

    def pause_then(*words):
        due(*words)
        run.loop.paused = run.loop.paused or run.trainer.step == step

    run.loop._after_step = pause_then
    run.ask("resume")
    wait_for(lambda: run.loop.state == "paused" and run.trainer.step == step, what="the pause")
    run.loop._after_step = due
