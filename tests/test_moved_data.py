"""A run whose folder of data was moved: told before anything is touched, put right headless and in the workbench."""

from __future__ import annotations

import pytest
from PIL import Image
from textual.widgets import Static

from tests import fake_worker
from tests.known import DATASETS
from tests.shell import until, workbench
from tui_gen import config as configs
from tui_gen import datasets, runs
from tui_gen.app.widgets.path_dialog import PathDialog
from tui_gen.report import headless


@pytest.fixture
def stopped(tmp_path):
    """A run on a folder that stopped at step 60, and where the folder is now."""
    (tmp_path / "pictures").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "pictures" / "a.png")
    root = f"dataset.root={tmp_path / 'pictures'}"
    run = fake_worker.make_run(None, "vae-digits", "dataset.name=folder", root, "train.steps=1000000")
    fake_worker.record(run, steps=60, state="stopped")
    return run, (tmp_path / "pictures").rename(tmp_path / "moved")


def root_of(run):
    return configs.read_toml(run / "config.toml")["dataset"]["root"]


def test_where_the_data_is_gone_a_resume_says_so_and_touches_nothing(stopped):
    run, _ = stopped
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    told = f"dataset.root = .*is not there.*--resume {run.name} --set dataset.root="  # a long path is cut
    with pytest.raises(configs.ConfigError, match=told):
        headless.continued(run, ["train.steps=80"], "", [])
    with pytest.raises(configs.ConfigError, match="nowhere: is not there"):
        headless.continued(run, ["dataset.root=/nowhere"], "", [])
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert runs.state_of(run)[:2] == ("stopped", 60)


def test_a_resume_may_say_where_the_data_is_now(stopped, monkeypatch):
    run, moved = stopped
    monkeypatch.chdir(moved.parent)
    new = headless.continued(run, ["dataset.root=moved"], "", [])  # a worker has another current folder
    assert new.dataset.root == root_of(run) == str(moved)
    with pytest.raises(configs.ConfigError, match=r"only the length, dataset\.root, train\.processes and settings"):
        headless.continued(run, ["dataset.size=16"], "", [])


def test_which_data_is_lost(tmp_path):
    digits, mnist, folder = (DATASETS[name] for name in ("digits", "mnist", "folder"))
    assert not datasets.lost(digits, "") and not datasets.lost(mnist, "") and not datasets.lost(folder, "")
    assert datasets.lost(mnist, str(tmp_path)) and datasets.lost(folder, str(tmp_path / "gone"))
    assert not datasets.lost(folder, str(tmp_path)) and datasets.lost(folder, "a\0b")


async def test_the_workbench_asks_where_the_data_is(monkeypatch, stopped):
    run, moved = stopped
    fake_worker.install(monkeypatch)
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await app.conductor.open(run)
        await pilot.press("f12")
        await until(pilot, lambda: isinstance(app.screen, PathDialog))
        await pilot.press("escape")
        await until(pilot, lambda: any("was not resumed" in text for text in app.told))
        assert runs.state_of(run)[0] == "stopped" and not root_of(run).endswith("moved")
        await pilot.press("f12")
        await until(pilot, lambda: isinstance(app.screen, PathDialog) and "is not there any more" in words(app))
        path = app.screen.query_one("Input")
        path.value = str(moved / "a.png")
        await pilot.press("enter")
        await until(pilot, lambda: "there is no folder" in words(app))
        path.value = str(moved)
        await pilot.press("enter")
        await until(pilot, lambda: app.conductor.view is not None and app.conductor.view.state == "running")
        assert root_of(run) == str(moved)


def words(app):
    """What the dialog says; on the screen it may be wrapped."""
    return str(app.screen.query_one("#words", Static).content)
