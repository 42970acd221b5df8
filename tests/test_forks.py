"""Where a run comes from, by the first lines of its log; and how it is forked from another."""

from __future__ import annotations

import os
import shutil

import pytest
import torch

from tests import fake_worker, small_runs
from tests.loop_run import Run
from tui_gen import catalog as catalogs
from tui_gen import cli, events, forking, forks, runs
from tui_gen import config as configs
from tui_gen.app.steering.session import Session
from tui_gen.log import event_log, log_prefix
from tui_gen.marks import marks_of
from tui_gen.train.engine.building import weights_of
from tui_gen.train.run import warm
from tui_gen.view import RunView

pytestmark = pytest.mark.xdist_group("forks")  # one run to fork, for all


def fork_of(root, name, *origins):
    """A folder with a log that tells of these forks."""
    (root / name).mkdir()
    writer = event_log.EventWriter(root / name / "events.jsonl")
    writer.write(*[events.Fork(t=1.0, run=run, step=step) for run, step in origins], events.State("stopped", 3))
    writer.close()
    return root / name


def test_the_first_lines_of_a_log_tell_where_the_run_comes_from(tmp_path):
    first = fork_of(tmp_path, "first")
    second = fork_of(tmp_path, "second", ("first", 30))
    third = fork_of(tmp_path, "third", ("second", 40), ("first", 30))
    (tmp_path / "being-made").mkdir()
    assert forks.origin(first) is None and forks.origin(tmp_path / "nowhere") is None
    assert forks.origin(third) == forks.ForkOrigin("second", 40, start=40)
    assert [(one.run, one.step) for one in forks.lineage(third)] == [("second", 40), ("first", 30)]
    assert forks.children(first) == [(second, 30)] and forks.children(second) == [(third, 40)]
    later = fork_of(tmp_path, "later", ("first", 10))
    fork = events.Fork(run="first", step=70, start=60, changes={"train.seed": [0, list(range(2000))]})
    (tmp_path / "being-made" / "events.jsonl").write_bytes(events.encode(fork))
    assert forks.children(first) == [(later, 10), (second, 30), (tmp_path / "being-made", 70)]
    found = forks.origin(tmp_path / "being-made")
    assert (found.start, found.changes["train.seed"][1][-1], found.folder(second)) == (60, 1999, first)
    (tmp_path / "later" / "events.jsonl").write_bytes(b'{"type":"fork","t":1,"run":"../first","step":4}\n')
    assert forks.origin(later) is None  # a folder's name is no path


def test_a_view_tells_of_forks(tmp_path):
    run = fake_worker.make_run(tmp_path)
    event = events.Fork(t=5.0, run="other", step=20, changes={"train.batch_size": [128, 64]})
    (run / "events.jsonl").write_bytes(events.encode(event))
    view = RunView.read(run)
    assert [(one.run, one.step) for one in view.forks] == [("other", 20)]
    assert view.log[0][2] == "forked from other at step 20, train.batch_size 128 → 64"


def test_a_fork_that_has_not_begun_is_as_long_as_its_own_config_says(tmp_path):
    run = fake_worker.make_run(tmp_path, "vae-digits", "train.steps=400")
    fork = events.Fork(run="other", step=20, changes={"train.steps": [300, 400]})
    past = [events.Fork(run="first", step=5), events.Plan(steps=300, steps_per_epoch=25, batch_size=64)]
    stopped = events.State("stopped", 20, "forked from other at step 20")
    (run / "events.jsonl").write_bytes(b"".join(map(events.encode, [fork, *past, stopped])))
    assert RunView.read(run).plan.steps == 400
    plans = [fork, *past, stopped, events.Plan(steps=350, steps_per_epoch=25, batch_size=64), stopped]
    (run / "events.jsonl").write_bytes(b"".join(map(events.encode, plans)))
    assert RunView.read(run).plan.steps == 350, "it has begun"


def test_the_past_of_a_fork_is_what_counted_in_the_end_up_to_its_step(tmp_path):
    def losses(start, *values):
        return events.Metrics(start=start, values={"vae/loss": list(values)})

    log = tmp_path / "events.jsonl"
    writer = event_log.EventWriter(log)
    writer.write(
        events.Fork(step=9, run="older"), events.State("running", 0), losses(0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
        events.Checkpoint(4, "checkpoints/000004"), events.Edit(5, LR, 1.0, 2.0), events.Edit(3, BETA, 1.0, 4.0),
        events.Alert(step=4, level="warning", what="a spike"), events.Note("a word in step 6"),
        events.Rollback(step=6, to=4), events.Resume(step=4), losses(4, 50.0, 60.0), losses(6, 7.0, 8.0, 9.0),
        events.Metrics(start=4, values={"val/vae/loss": [0.5]}), events.Sample(6, "samples/000006.png"),
        events.Progress("reading", 1, 2), events.System(step=9, steps_per_second=1, images_per_second=1),
    )  # fmt: skip
    writer.close()
    log.write_bytes(log.read_bytes() + b"garbage\n" + b'{"type":"of a newer version","t":1}\n{"type":"st')
    past = [events.decode(line) for line in log_prefix.lines(log, 7)]
    assert [type(event).__name__ for event in past] == [
        "Fork", "Metrics", "Checkpoint", "Edit", "Resume", "Metrics", "Metrics", "Metrics", "Sample",
    ]  # fmt: skip
    values = [next(iter(event.values.values())) for event in past if isinstance(event, events.Metrics)]
    assert values == [[1.0, 2.0, 3.0, 4.0], [50.0, 60.0], [7.0], [0.5]]
    assert past[0].step == 7  # here it parts from that one as well
    assert len(log_prefix.lines(log, 0)) == 1 and log_prefix.lines(tmp_path / "none", 5) == []


def test_a_fork_is_marked_on_its_own_plots_and_on_those_of_the_other_run(tmp_path):
    first, second = fork_of(tmp_path, "first"), fork_of(tmp_path, "second", ("first", 30))
    session = Session(tmp_path, [], small_runs.built()[0])
    parent, child = session.attach(first), session.attach(second)
    for view, words in ((parent, "second was forked from here"), (child, "forked from first")):
        assert [(mark.step, mark.kind, mark.text) for mark in marks_of(view)] == [(30, "fork", words)]


def edit(step, key, value):
    return {"step": step, "key": key, "value": value}


LR, BETA = "train.phases.vae.lr", "model.beta"
SETTINGS = dict(train__steps=20, checkpoint__keep_last=9, checkpoint__every_steps=8, preview__every_steps=6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 20 steps with checkpoints at 8, 16 and 20, whose rate was edited at step 14, and how it came out."""
    root = tmp_path_factory.mktemp("forks")
    run = Run(root, edits=[{"step": 14, "key": LR, "value": 5e-4}], **SETTINGS)
    run.thread.start()
    view = run.finish()
    return view, {name: tensor.clone() for name, tensor in weights_of(run.trainer.model).items()}


def forked(trained, step, *assignments, root=None, **options):
    """A fork of the run at a step with these settings: its folder."""
    path = trained[0].path
    catalog = small_runs.built()[0]
    place = forking.place_of(path, step)
    tables = configs.override(forking.settings_at(path, place.step, catalog), assignments, catalog)
    return forking.make(place, forking.planned(place, tables, catalog, **options), root or path.parent, catalog)


def gone_on(path):
    """What a fork comes to: its view, and its weights."""
    run = Run(path.parent, path=path, tables=configs.read_toml(path / "config.toml"), resume=True)
    run.thread.start()
    return run.finish(), weights_of(run.trainer.model)


def same(some, others):
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)


def test_a_fork_without_changes_goes_on_as_the_other_did_and_needs_nothing_of_it(trained, tmp_path):
    before, weights = trained
    other = shutil.copytree(before.path, tmp_path / before.path.name)
    path = forked((RunView.read(other), None), 8)
    assert os.stat(path / "checkpoints/000008/state.pt").st_nlink == 2  # not copied
    runs.delete(other)
    fork = RunView.read(path)
    assert (fork.state, fork.step, fork.reason) == ("stopped", 8, f"forked from {other.name} at step 8")
    assert list(fork.series["vae/loss"].values) == list(before.series["vae/loss"].values[:8])
    assert {one.step for one in fork.samples} == {0, 6} and all(fork.file(one.path).exists() for one in fork.samples)
    view, result = gone_on(path)
    assert same(weights, result) and view.state == "finished"
    for name in ("vae/loss", "vae/kl", "val/vae/loss"):
        assert list(view.series[name].values) == list(before.series[name].values), name
    assert [(one.step, one.new) for one in view.edits] == [(14, 5e-4)]
    assert {one.step for one in view.samples} == {one.step for one in before.samples}
    assert forks.origin(path) == forks.ForkOrigin(other.name, 8, "small-vae", 8)


def test_a_fork_where_there_is_no_checkpoint_does_the_same_up_to_its_step(trained, tmp_path):
    path = forked(trained, 11, f"{LR}=1e-2", "model.beta=2", root=tmp_path)
    view, result = gone_on(path)
    whole = Run(tmp_path, edits=[edit(11, LR, 1e-2), edit(11, "model.beta", 2.0)], **SETTINGS)
    whole.thread.start()
    expected = whole.finish()
    assert same(weights_of(whole.trainer.model), result)  # that of step 14 is of the same setting: it is left off
    losses, before = view.series["vae/loss"].values, trained[0].series["vae/loss"].values
    assert list(losses) == list(expected.series["vae/loss"].values)
    assert list(losses[:11]) == list(before[:11]) and losses[11] != before[11]
    origin = forks.origin(path)
    assert (origin.step, origin.start, origin.changes) == (11, 8, {LR: (1e-3, 1e-2), "model.beta": (1.0, 2.0)})
    again = catalogs.resolve(str(path), small_runs.built()[0])  # and all of it can be run again from the start
    assert again.edits == [edit(11, "model.beta", 2.0), edit(11, LR, 1e-2)]


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (["train.phases.vae.optimizer=sgd", "train.seed=5", "dataset.shift=0", "train.ema=0.9"], "begins anew"),
        (["train.phases.vae.optimizer=adamw", "train.phases.vae.beta1=0.5", "train.phases.vae.schedule=cosine",
          "train.batch_size=7", "train.steps=25", "preview.count=4", "model.iw_examples=4"], ""),
    ],
)
def test_a_fork_trains_with_what_was_changed_for_it_and_can_be_resumed(trained, tmp_path, assignments, words):
    path = forked(trained, 8, *assignments, root=tmp_path)
    tables = configs.read_toml(path / "config.toml")
    first = Run(tmp_path, path=path, tables=tables, resume=True)
    config, cursor = first.trainer.config, first.trainer.stream.cursor
    assert cursor == (-(-8 * 16 // 7) if "train.batch_size=7" in assignments else 8)
    first.loop.checkpoint("by hand")  # its own, in the place of the other run's
    first.server.close(), first.writer.close()
    again = Run(tmp_path, path=path, tables=tables, resume=True)
    assert again.trainer.stream.cursor == cursor and same(*map(weights_of, (first.trainer.model, again.trainer.model)))
    for key, (_, new) in forks.origin(path).changes.items():
        if not key.startswith(("dataset", "model")):
            assert configs.get_key(configs.to_tables(config), key) == new
    again.thread.start()
    view = again.finish()
    assert view.state == "finished" and view.step == (25 if "train.steps=25" in assignments else 20)
    assert any(words in text for _, level, text in view.log if level == "warning") if words else True
    assert list(view.series["vae/loss"].values[:8]) == list(trained[0].series["vae/loss"].values[:8])
    assert list(view.series["vae/loss"].values[8:20]) != list(trained[0].series["vae/loss"].values[8:])


@pytest.mark.parametrize(
    ("step", "assignments", "words"),
    [
        (8, ["model.name=gan"], "weights of vae"),
        (8, ["train.compile=on"], "as the run does whose checkpoint it has"),
        (11, ["train.batch_size=4"], "--step 8 --set train.batch_size="),
        (8, ["train.steps=8"], "begins at step 8"),
        (20, [], "nothing is left"),
        (8, ["train.phases.vae.lr=-1"], "0 < x"),
        (8, ["dataset.name=mnist", "dataset.root=/nowhere"], "is not there"),
        (3, [], "at step 3 or before it; fork at step 8 or later"),
        (21, [], "it is at step 20"),
    ],
)
def test_a_fork_that_cannot_be_is_refused_with_what_could_be(trained, tmp_path, step, assignments, words):
    with pytest.raises((configs.ConfigError, runs.RunError), match=words):
        forked(trained, step, *assignments, root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_that_do_not_fit_are_found_before_there_is_a_fork(trained):
    (catalog, classes), place = small_runs.built(), forking.place_of(trained[0].path, 8)
    tables = configs.override(forking.settings_at(place.run, 8, catalog), ["model.likelihood=gaussian"], catalog)
    fork = forking.planned(place, tables, catalog)
    (problem,) = warm.check(configs.to_tables(fork.config), catalog, classes, str(place.weights))
    assert not fork.fits and "log_sigma has nothing there and one number here" in problem["message"]
    unchanged = configs.read_toml(place.run / "config.toml")
    assert warm.check(unchanged, catalog, classes, str(place.weights)) == []
    assert "cannot be read" in warm.check(unchanged, catalog, classes, str(place.run / "config.toml"))[0]["message"]


def test_what_was_edited_later_is_left_off_where_that_is_asked_for(trained, tmp_path):
    path = forked(trained, 8, root=tmp_path, later=False)
    assert "edits" not in configs.read_toml(path / "config.toml")


def test_the_command_makes_a_fork_and_says_from_where(trained, tmp_path, capsys):
    path = trained[0].path
    words = ["fork", str(path), "--step", "13", "--set", f"{LR}=2e-3", "--no-start", "--runs", str(tmp_path)]
    assert cli.main([*words, "--name", "mine"]) == 0
    told = capsys.readouterr()
    assert "from the checkpoint of step 8: it makes the same steps again up to 13" in told.out
    assert f"{LR} was set to 5e-4 in {path.name} at step 14: that is not done again" in told.err
    assert (forks.origin(tmp_path / "mine").step, runs.info_of(tmp_path / "mine").name) == (13, "small-vae@13")
    assert cli.main([*words, "--name", "mine"]) == 2 and "is there already" in capsys.readouterr().err
    assert cli.main(["fork", str(path), "--step", "1O"]) == 2 and "is not a step" in capsys.readouterr().err
    assert forks.children(tmp_path / path.name) == [(tmp_path / "mine", 13)]
