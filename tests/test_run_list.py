"""The list of runs in the workbench: read again only where something changed, and never behind what there is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests import fake_worker
from tui_gen import control, remarks, runs
from tui_gen.history import run_index, run_list
from tui_gen.history.run_list import AROUND, RunList

ENDS = ("finished", "stopped", "failed")


def test_run_list_reads_only_what_changed(monkeypatch, world):
    made = {state: fake_worker.record(fake_worker.make_run(), state=state) for state in ENDS}
    listed = RunList(runs.default_root())
    assert len(listed.refresh()) == 3
    read = []
    original = runs.info_of
    monkeypatch.setattr(runs, "info_of", lambda path, created: read.append(path) or original(path, created))
    assert len(listed.refresh()) == 3 and read == []
    fake_worker.record(made["failed"], state="finished")
    assert {row.state for row in listed.refresh()} == {"finished", "stopped"}
    assert [Path(path).name for path in read] == [made["failed"].name]


def test_run_list_sees_every_change_of_any_run(world):
    """As one that is made anew each time, whatever happens to runs that have ended."""
    root = runs.default_root()
    made = [fake_worker.record(fake_worker.make_run(), state="stopped") for _ in range(3)]
    listed = RunList(root)
    for change in (
        lambda: fake_worker.record(made[0], state="finished"),
        lambda: (made[1] / "config.toml").write_text('name = "another"\n[model]\nname = "vae"\n'),
        lambda: made[1].rename(made[1].with_name("renamed")),
        lambda: shutil.rmtree(made[2]),
        lambda: fake_worker.record(fake_worker.make_run(), state="failed"),
    ):
        listed.refresh()
        change()
        assert listed.refresh(whole=True) == RunList(root).refresh()
    (root / "renamed" / "config.toml").write_text('name = "once more"\n[model]\nname = "vae"\n')
    assert [listed.refresh() for _ in range(AROUND)][-1] == RunList(root).refresh()


def test_of_many_runs_those_on_screen_and_those_that_live_are_looked_at_each_time(world, monkeypatch):
    monkeypatch.setattr(run_list, "MANY", 2)
    made = [fake_worker.record(fake_worker.make_run(), state="stopped") for _ in range(18)]
    listed = RunList(runs.default_root())
    while len(listed.refresh()) < 18 or listed._anew:
        pass
    first = listed.refresh()
    read = []
    original = runs.info_of
    monkeypatch.setattr(runs, "info_of", lambda path, created: read.append(path) or original(path, created))

    def state(run):
        return next(info.state for info in listed.refresh(near=[str(made[0])]) if info.path == str(run))

    assert listed.refresh() is first and not read, "the same list, where nothing changed"
    fake_worker.record(made[0], state="finished")
    assert state(made[0]) == "finished" and read == [str(made[0])]
    with runs.claim(made[1]):
        fake_worker.record(made[1], state="running")
        assert any(state(made[1]) in runs.LIVE for _ in range(AROUND)), "in its turn"
    fake_worker.record(made[1], state="failed")
    assert state(made[1]) == "failed", "and at once from then on"
    fake_worker.record(made[2], state="finished")
    server = control.Server(control.socket_path("a worker"))  # somebody trains something on this machine
    assert state(made[2]) == "finished"
    server.close()
    for run in made:
        fake_worker.record(run, state="failed")
    for _ in range(AROUND):
        last = listed.refresh()
    assert {info.state for info in last} == {"failed"}, "all of them in the end"


def test_names_are_there_before_all_is_read(world, monkeypatch):
    monkeypatch.setattr(run_list, "AT_A_TIME", 3)
    made = [fake_worker.record(fake_worker.make_run()) for _ in range(8)]
    listed = RunList(runs.default_root())
    rows = listed.refresh(seconds=0)
    assert len(rows) == len(made) and listed.unread == 5
    assert [row.state for row in rows] == ["finished"] * 3 + [""] * 5
    while listed.unread:
        rows = listed.refresh()
    assert rows == RunList(runs.default_root()).refresh()


def test_a_list_begins_with_what_was_kept_of_it(world, monkeypatch):
    """The newest as they are now, the rest as it was; what is gone is not there, and the next look sees all of it."""
    monkeypatch.setattr(run_list, "AT_A_TIME", 2)
    root = runs.default_root()
    made = [fake_worker.record(fake_worker.make_run(), state="stopped") for _ in range(5)]
    for age, run in enumerate(made):
        os.utime(run / "config.toml", (1e9 - age,) * 2)
    assert RunList(root).begin(60) == [], "nothing is kept yet"
    first = RunList(root)
    rows = first.refresh()
    first.save()
    assert RunList(root).begin(60) == rows
    for run in made[:3]:
        fake_worker.record(run, state="finished")
    remarks.star(made[3], True)
    shutil.rmtree(made[4])
    newest = fake_worker.record(fake_worker.make_run(), state="failed")
    again = RunList(root)
    begun = {Path(row.path): row for row in again.begin(60)}
    assert list(begun) == [newest, *made[:4]]
    assert [row.state for row in begun.values()] == ["failed", "finished", "stopped", "stopped", "stopped"]
    assert again.refresh() == RunList(root).refresh()
    assert {row.state for row in again.refresh()} == {"failed", "finished", "stopped"}
    assert [Path(row.path) for row in again.refresh() if row.star] == [made[3]]


def test_nothing_is_said_to_live_for_having_lived_when_it_was_kept(world, monkeypatch):
    monkeypatch.setattr(run_list, "AT_A_TIME", 1)
    root, run = runs.default_root(), fake_worker.make_run()
    newer = fake_worker.record(fake_worker.make_run())
    os.utime(run / "config.toml", (1e9,) * 2)
    with runs.claim(run):
        fake_worker.record(run, state="running")
        first = RunList(root)
        assert first.refresh()[1].live
        first.save()
    assert [row.state for row in RunList(root).begin(60)] == ["finished", runs.info_of(run).state]
    assert runs.info_of(run).state not in runs.LIVE
    late = {Path(row.path): row.state for row in RunList(root).begin(0)}
    assert late == {newer: "finished", run: ""}, "no time to look"


def test_an_index_that_cannot_be_read_is_none(world):
    root = runs.default_root()
    fake_worker.record(fake_worker.make_run())
    first = RunList(root)
    first.refresh()
    first.save()
    file = run_index.file_of(root)
    whole = file.read_bytes()
    for broken in (b"", b"[]", whole[:-9], whole.replace(b'"version":"', b'"version":"older '), b"\xff" + whole):
        file.write_bytes(broken)
        assert RunList(root).begin(60) == []
    file.write_bytes(whole)
    assert len(RunList(root).begin(60)) == 1
