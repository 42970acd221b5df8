"""Deleting runs: only runs, only what is theirs, only while nobody trains them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.test_runs import CONFIG, make, me, running
from tui_gen import belongings, runs
from tui_gen.events import State
from tui_gen.history.run_list import RunList
from tui_gen.runs import RunError


def test_only_runs_that_nobody_trains_are_deleted(tmp_path):
    live, far = make(tmp_path, *running(), worker=me()), make(tmp_path, *running(), worker=me(host="box"), age=5)
    paused = make(tmp_path, *running(), State(state="paused", step=1), worker=me())
    for path, words in (
        (live, "still training; stop it first with tui-gen stop"), (far, "still training on box"),
        (paused, "is paused; stop it first"),
    ):  # fmt: skip
        with pytest.raises(RunError, match=words):
            runs.delete(path)
        assert runs.is_run(path)
    with pytest.raises(RunError, match="is not a run directory"):
        runs.delete(tmp_path)
    for path in (make(tmp_path, *running()), make(tmp_path, State(state="finished", step=1), worker=me(pid=1))):
        runs.delete(path)
        assert not path.exists()
    assert live.exists() and far.exists()


def test_a_link_to_a_run_is_not_followed(tmp_path, call):
    path, outside = make(tmp_path / "runs", State(state="finished", step=1)), tmp_path / "outside"
    (outside / "000001").mkdir(parents=True)
    (outside / "000001" / "meta.json").touch()
    link = path.with_name("link")
    link.symlink_to(path)
    with pytest.raises(RunError, match=f"link is a link to {path}: delete that, or remove the link yourself"):
        runs.delete(link)
    for name in ("link", str(link), f"{link}/"):
        status, _, err = call("delete", "--yes", name, "--runs", str(path.parent))
        assert status == 2 and "is a link to" in err and runs.is_run(path)
    (path / "checkpoints").rmdir()
    (path / "checkpoints").symlink_to(outside)
    (path / "samples" / "000001.png").symlink_to(outside / "000001" / "meta.json")
    runs.delete(path)
    assert not path.exists() and (outside / "000001" / "meta.json").exists()


def test_what_cannot_be_deleted_is_told(tmp_path, monkeypatch):
    path = make(tmp_path, State(state="finished", step=1))

    def refuse(*_, **__) -> None:
        raise OSError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        with pytest.raises(RunError, match=r"cannot delete .*: Operation not permitted"):
            runs.delete(path)
    assert runs.is_run(path) and not runs.live(path)
    runs.delete(path)


@pytest.mark.parametrize(
    "content",
    [{"config.toml": 'title = "a site"\n'}, {"config.toml": CONFIG}, {"config.toml": CONFIG, "worker.log": "celery"}],
    ids=["a web site", "a config", "another worker"],
)
def test_a_folder_with_a_config_is_no_run(tmp_path, call, content):
    folder = tmp_path / "runs" / "site"
    (folder / "content").mkdir(parents=True)
    for name, text in content.items():
        (folder / name).write_text(text)
    assert not runs.is_run(folder) and runs.list_runs(folder.parent) == [] and RunList(folder.parent).refresh() == []
    with pytest.raises(RunError, match="is not a run directory"):
        runs.delete(folder)
    for command in (["delete", "--yes"], ["--resume"], ["sample"], ["stop"], ["attach"]):
        status, _, err = call(*command, str(folder))
        assert status == 2 and "is no run: beside its config.toml there is neither events.jsonl nor worker.json" in err
    assert (folder / "content").is_dir() and (folder / "config.toml").exists()


def test_a_folder_whose_config_names_no_model_is_not_deleted(tmp_path):
    for text in ('title = "a web site"\n', "model = 5\n", "[model]\n", "\0", ""):
        path = make(tmp_path, State(state="finished", step=1))
        (path / "config.toml").write_text(text)
        with pytest.raises(RunError, match=r"its config\.toml names no model"):
            runs.delete(path)


FOREIGN = (
    "notes.md", "events.jsonl.bak", "content/", "samples/holiday.jpg", "samples/000500.png.orig", "samples/mine/",
    "checkpoints/model.safetensors", "checkpoints/best/", "checkpoints/000500/model.onnx", "checkpoints/000500/more/",
    ".git/", ".config.toml.swp", "worker.json/",
)  # fmt: skip
OURS = (
    "samples/000500.png", "samples/000500-reconstructions.png", "samples/000500-quality.txt", "samples/1234567.png",
    "checkpoints/000500/model.safetensors", "checkpoints/000500/ema.safetensors", "checkpoints/000500/state.pt",
    "checkpoints/000500/meta.json", "checkpoints/.000600.partial/state.pt", "checkpoints/.000500.old/meta.json",
    "checkpoints/.000400.gone/meta.json", "checkpoints/damaged-000300/state.pt", "checkpoints/damaged-000300-2/probe",
    ".config.toml.123.456", "samples/.000500.png.123.456", "worker.log", "worker.json", ".DS_Store", "samples/.nfs00a1",
)  # fmt: skip


def test_a_run_with_other_people_s_files_is_not_deleted(tmp_path, call):
    path = make(tmp_path / "runs", State(state="finished", step=1))

    def put(name: str) -> Path:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).mkdir() if name.endswith("/") else (path / name).touch()
        return path / name

    for name in OURS:
        put(name)
    for name in FOREIGN:
        if name == "worker.json/":
            (path / "worker.json").unlink()
        there = put(name)
        status, _, err = call("delete", "--yes", str(path))
        assert status == 2 and f"{path.name} holds what is not a run's: {name}; move that away" in err, name
        assert all((path / one).exists() for one in OURS if one != "worker.json")
        there.rmdir() if name.endswith("/") else there.unlink()

    runs.delete(path)
    assert not path.exists()


def test_what_comes_in_while_a_run_is_deleted_stays(tmp_path, monkeypatch):
    path = make(tmp_path, State(state="finished", step=1))
    real = belongings.remove

    def remove(place: Path) -> None:
        (place / "samples" / "precious.txt").write_text("mine")
        real(place)

    monkeypatch.setattr(belongings, "remove", remove)
    with pytest.raises(RunError, match=r"cannot delete .*: Directory not empty"):
        runs.delete(path)
    assert (path / "samples" / "precious.txt").read_text() == "mine"


def test_what_is_written_of_a_new_run_while_it_is_deleted_goes_too(tmp_path, monkeypatch):
    path = runs.create(tmp_path, "a", CONFIG)
    remove, late = belongings.remove_last, ["provenance.json"]

    def slowly(run):
        while late:
            (run / late.pop()).write_text("{}")
        remove(run)

    monkeypatch.setattr(belongings, "remove_last", slowly)
    runs.delete(path)
    assert not path.exists()
