"""The list of runs in the workbench: read again only where something changed, and never behind what there is."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests import fake_worker
from tui_gen import runs
from tui_gen.app.panes.runs.looking import AROUND, RunList

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
