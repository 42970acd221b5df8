"""Data that changed between two sessions of a run: told by name, mapped to what the model knows, or refused."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import torch
from PIL import Image

from tests import small_runs
from tests.known import dataset
from tests.test_run_loop import Run
from tui_gen import runs
from tui_gen.train.data import DataError, cache, decode, load
from tui_gen.train.data.matching import load_as
from tui_gen.train.offline import quality as measuring
from tui_gen.train.offline import sample
from tui_gen.train.offline.restore import data_of, restore
from tui_gen.train.run import checkpoints
from tui_gen.train.run.worker import Worker
from tui_gen.view import RunView

CPU = torch.device("cpu")
SHADES = {"bird": 40, "cat": 120, "dog": 220}
"""Class → how bright its images are, so that a label can be told from its image."""


def folder(root, **shades):
    """A folder of small images, one of its folders for each class; `rgb` colours them."""
    colour = shades.pop("rgb", False)
    for name, shade in shades.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(6):
            pixels = np.full((8, 8, 3) if colour else (8, 8), shade, np.uint8)
            if colour:
                pixels[..., 0] = 255 - shade
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def again(root, then, told=True, **more):
    """The data of a folder as a model knows it, and the warnings."""
    notes = []
    config = dataset(name="folder", root=str(root), size=8, **more)
    data = load_as(then, config, CPU, lambda spec: told, seed=0, report=notes.append)
    return data, [one.text for one in notes if getattr(one, "level", "") == "warning"]


def shade_by_label(data):
    x, labels = data.train.take(torch.arange(data.train.count))
    return {int(label): int(x[labels == label].float().mean().round()) for label in labels.unique()}


@pytest.fixture
def animals(tmp_path):
    return folder(tmp_path / "animals", **SHADES)


def test_unchanged_data_is_what_it_is(animals):
    first, _ = again(animals, None)
    data, warned = again(animals, first.spec)
    assert data.spec == first.spec and warned == []


def test_a_class_that_is_gone_leaves_the_labels_of_the_others(animals):
    first, _ = again(animals, None)
    (animals / "bird").rename(animals.parent / "away")
    data, (words,) = again(animals, first.spec)
    assert "class bird is gone" in words and data.spec.classes == ("bird", "cat", "dog")
    assert shade_by_label(data) == {1: 120, 2: 220}
    assert data.validation.take(torch.arange(data.validation.count))[1].min() >= 1


def test_a_renamed_class_is_refused_by_its_names(animals):
    first, _ = again(animals, None)
    (animals / "cat").rename(animals / "zebra")
    with pytest.raises(DataError, match=r"class zebra is new and class cat is gone.*If zebra is another name of cat"):
        again(animals, first.spec)
    data, (words,) = again(animals, first.spec, told=False)
    assert "class zebra is new" in words and data.spec.classes == ("bird", "dog", "zebra")


def test_a_new_class_is_refused_by_its_name_where_the_model_is_told_labels(animals):
    first, _ = again(animals, None)
    folder(animals, ant=9, eel=200)
    with pytest.raises(DataError, match=r"classes ant, eel are new in the data; the model was trained on bird, cat"):
        again(animals, first.spec)


def test_classes_that_are_all_gone_are_refused_only_where_the_model_is_told_labels(animals):
    first, _ = again(animals, None)
    for number, path in enumerate(sorted(animals.glob("*/*"))):
        path.rename(animals / f"{number}.png")
    with pytest.raises(DataError, match="bird, cat, dog are gone"):
        again(animals, first.spec)
    data, (words,) = again(animals, first.spec, told=False)
    assert "bird, cat, dog are gone in the data; the model is not told classes" in words and not data.spec.classes


def test_colour_that_comes_in_is_read_as_it_was_before(animals):
    grey, _ = again(animals, None)
    folder(animals, dog=10, rgb=True)
    assert again(animals, None)[0].spec.channels == 3
    data, (words,) = again(animals, grey.spec)
    assert data.spec.shape == grey.spec.shape == (1, 8, 8) and "read as grey" in words
    with pytest.raises(DataError, match="8×8 RGB images; this run was trained on 8×8 grey images"):
        again(animals, grey.spec, channels="rgb")
    with pytest.raises(DataError, match="4×4 grey images; this run was trained on 8×8 grey"):
        load_as(
            grey.spec, dataset(name="folder", root=str(animals), size=4), CPU, lambda spec: True,
            seed=0, report=lambda event: None,
        )  # fmt: skip


def written(path, text):
    path.write_text(text)
    return dataset(name="text-file", root=str(path), length=4)


def test_characters_keep_their_numbers_and_new_ones_are_refused(tmp_path):
    def read(text, then=None):
        return load_as(
            then, written(tmp_path / "t.txt", text), CPU, lambda spec: False, seed=0, report=lambda event: None
        )

    def characters(data, source):
        x, _ = source.take(torch.arange(8) % (source.count or 8))
        return {data.spec.classes[place] for place in x.flatten().tolist()}

    first = read("abcd efgh " * 30)
    data = read("bcd fgh " * 30, first.spec)
    assert data.spec.classes == first.spec.classes
    assert characters(data, data.train) == characters(data, data.validation) == set("bcd fgh ")
    with pytest.raises(DataError, match="character 'z' is new and character 'a' is gone"):
        read("zbcd efgh " * 30, first.spec)


def conditional_run(root, animals, **more):
    """A run of a conditional model on the folder, trained for some steps, and what tells its config."""
    settings = {
        "dataset__name": "folder", "dataset__root": str(animals), "dataset__size": 8, "dataset__limit": 0,
        "dataset__shift": 0, "model__conditional": True, "train__steps": 6, "train__batch_size": 4,
        "quality__samples": 50, **more,
    }  # fmt: skip
    run = Run(root, "vae", **settings)
    run.thread.start()
    assert run.finish().state == "finished"
    (run.path / "worker.json").unlink()
    return run.path


def test_samples_need_no_data_and_know_their_classes(tmp_path, animals, monkeypatch, capsys):
    path = conditional_run(tmp_path, animals)
    animals.rename(tmp_path / "moved")
    assert restore(path, device="cpu").spec.classes == ("bird", "cat", "dog")

    def run(command, *words):
        monkeypatch.setattr("sys.argv", ["", str(path), "--device", "cpu", *words])
        return command.main(), capsys.readouterr().err

    grid = str(tmp_path / "grid.png")
    assert run(sample, "-n", "6", "-o", grid, "--label", "dog") == (0, "")
    assert Image.open(grid).size[0] >= 16
    status, err = run(sample, "-n", "6", "-o", grid, "--label", "zebra")
    assert status == 1 and "it knows bird, cat, dog" in err
    status, err = run(measuring)
    assert status == 1 and str(animals) in err  # figures are of samples beside real data
    status, err = run(measuring, "--root", str(tmp_path / "moved"))
    assert status == 1 and "16 training examples" in err  # found there: only too few of them


def test_a_checkpoint_that_does_not_tell_its_data_is_sampled_with_the_data(tmp_path, animals):
    path = conditional_run(tmp_path, animals)
    state = checkpoints.directory(path, 6) / "state.pt"
    old = torch.load(state, weights_only=True)
    del old["spec"]
    torch.save(old, state)
    (state.parent / "meta.json").write_text('{"step": 6, "seconds": 1.0, "reason": "the end"}')
    found = restore(path, device="cpu")
    assert found.spec.classes == ("bird", "cat", "dog") and data_of(found).train.count
    animals.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="animals"):
        restore(path, device="cpu")


@pytest.fixture
def in_this_process(monkeypatch):
    """Resume a run as its worker does, in this process: (exit status, the run as a reader sees it)."""
    threads = torch.get_num_threads()

    def resume(path):
        status = Worker(path, resume=True).train()
        view = RunView(path)
        view.poll()
        return status, view

    yield resume
    torch.set_num_threads(threads)


def lengthen(path, steps):
    text = (path / "config.toml").read_text().replace("steps = 6\n", f"steps = {steps}\n")
    assert f"steps = {steps}\n" in text
    (path / "config.toml").write_text(text)


def test_a_refused_resume_takes_nothing_away(tmp_path, animals, in_this_process):
    path = conditional_run(tmp_path, animals)
    animals.rename(tmp_path / "moved")
    status, view = in_this_process(path)  # there is nothing left to do, and it stays so
    assert (status, view.state, view.step) == (1, "finished", 6) and runs.state_of(path)[:2] == ("finished", 6)
    assert any(level == "error" and "not resumed" in text and "animals" in text for _, level, text in view.log)
    lengthen(path, 9)
    status, view = in_this_process(path)
    assert (status, view.state, view.step) == (1, "failed", 6) and "animals" in view.reason
    assert runs.state_of(path)[:2] == ("failed", 6) and len(view.series["vae/loss"].steps) == 6
    (tmp_path / "moved").rename(animals)
    (animals / "cat").rename(animals / "zebra")
    status, view = in_this_process(path)
    assert (status, view.state, view.step) == (1, "failed", 6) and "class zebra is new" in view.reason
    (animals / "zebra").rename(animals / "cat")
    status, view = in_this_process(path)
    assert (status, view.state, view.step) == (0, "finished", 9)


def test_what_computes_otherwise_than_the_checkpoint_was_computed_is_said(tmp_path, animals, in_this_process):
    path = conditional_run(tmp_path, animals)
    lengthen(path, 7)
    there = checkpoints.directory(path, 6)
    meta = checkpoints.load(there).meta
    assert meta.machine == checkpoints.machine(CPU) and meta.machine["CPU"] == torch.backends.cpu.get_cpu_capability()
    meta.machine |= {"PyTorch": "2.0.0", "CPU": "AVX1"}
    (there / "meta.json").write_bytes(checkpoints.sealed(meta))
    (path / "config.toml").write_text((path / "config.toml").read_text().replace("threads = 1\n", "threads = 2\n"))
    _, view = in_this_process(path)
    (words,) = [text for _, level, text in view.log if level == "warning"]
    assert f"PyTorch 2.0.0 → {torch.__version__}" in words and "CPU AVX1 → " in words and "threads 1 → 2" in words
    lengthen_again = (path / "config.toml").read_text().replace("steps = 7\n", "steps = 8\n")
    (path / "config.toml").write_text(lengthen_again)
    _, view = in_this_process(path)
    assert len([1 for _, level, _ in view.log if level == "warning"]) == 1  # as it was last time


def test_threads_are_those_of_the_checkpoint_where_nobody_says_how_many(tmp_path, animals, in_this_process):
    path = conditional_run(tmp_path, animals)
    lengthen(path, 7)
    (path / "config.toml").write_text((path / "config.toml").read_text().replace("threads = 1\n", "threads = 0\n"))
    torch.set_num_threads(2)
    _, view = in_this_process(path)
    assert view.state == "finished" and torch.get_num_threads() == 1
    assert not [text for _, level, text in view.log if level == "warning"]


def test_which_models_are_told_labels():
    data = load(dataset(), CPU, seed=0)

    def told(family, **overrides):
        made = small_runs.config(family, **overrides)
        kind, parts = small_runs.built()[1].models[made.model.name], small_runs.parts_of(made, data.spec)
        from tui_gen.train.engine.building import build_model

        return build_model(kind, made.model.values, data.spec, parts).told_labels

    assert told("classifier") and told("pretrained-classifier") and told("vae", model__conditional=True)
    assert not told("vae") and not told("autoencoder") and not told("gan")


@pytest.mark.parametrize(
    ("error", "words"),
    [(PermissionError(errno.EACCES, "no right"), "no right"), (MemoryError(), "there is too little memory")],
)
def test_what_could_not_be_read_for_now_is_not_left_out_for_ever(tmp_path, monkeypatch, error, words):
    """Rights change no file, nor does a disk that answers again: nothing tells that the cache has become wrong."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number in range(3):
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("L", (8, 8), 80 * number).save(tmp_path / "images" / f"{number}.png")
    config = dataset(name="folder", root=str(tmp_path / "images"), size=8, validation=0)
    whole, told = decode.ImageDecoder.read, []

    def failing(self, path):
        if path.name == "1.png":
            raise error
        return whole(self, path)

    def report(event):
        told.append(getattr(event, "text", ""))

    with monkeypatch.context() as patch:
        patch.setattr(decode.ImageDecoder, "read", failing)
        data = load(config, CPU, seed=0, report=report)
    assert data.spec.count == 2 and any(f"1.png: {words}" in one for one in told) and cache.AGAIN[1] in told
    assert sorted(data.train.take(torch.arange(2))[0].flatten(1)[:, 0].tolist()) == [0, 160]
    told.clear()
    assert load(config, CPU, seed=0, report=report).spec.count == 3 and cache.AGAIN[1] not in told
    assert load(config, CPU, seed=0, report=report).spec.count == 3
