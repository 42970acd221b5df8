"""Where a run comes from, by the first lines of its log; and how it is forked from another."""

from __future__ import annotations

from tests import fake_worker
from tui_gen import event_log, events, forks
from tui_gen.view import RunView


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
    assert forks.origin(third) == forks.Origin("second", 40, start=40)
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
