"""A look at a dataset before anything is trained: examples by class, counts, augmentation; the pane that shows it."""

from __future__ import annotations

import subprocess
import sys
import threading

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from tests import small_runs
from tests.shell import until, until_shown, workbench
from tests.waiting import wait_for
from tui_gen import children
from tui_gen.app.steering.reading import SheetReader
from tui_gen.app.steering.session import Session
from tui_gen.control import ControlError
from tui_gen.pictures import Tiles
from tui_gen.sheet import DataSheet, SheetPicture, SheetReply, SheetRequest
from tui_gen.train import discover
from tui_gen.train.data import dataset_of, load
from tui_gen.train.offline import sheet as sheets


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Models and datasets are read once for all."""
    built = small_runs.built()
    monkeypatch.setattr(discover, "build", lambda extra=None: built)


def asked(folder, **dataset) -> SheetReply:
    return sheets.reply(SheetRequest(dataset, 3, str(folder)))


def tiles_of(picture: SheetPicture, size: int) -> np.ndarray:
    """(rows, columns, size, size) of a picture of grey tiles."""
    pixels, (columns, rows), step = np.asarray(Image.open(picture.path)), picture.grid, size + picture.gap
    return np.stack([
        np.stack([pixels[y * step :, x * step :][:size, :size] for x in range(columns)]) for y in range(rows)
    ])  # fmt: skip


def test_images_stand_in_the_columns_of_their_classes(tmp_path):
    found = asked(tmp_path, name="digits", rotate=25.0).sheet
    assert "grey images of 8×8, 10 classes" in found.words and [name for name, _ in found.classes] == [*"0123456789"]
    assert found.counted == sum(number for _, number in found.classes) == 1617 and min(found.classes)[1] > 140
    examples = found.pictures["examples"]
    assert examples.grid == (10, 6) and examples.tiles.titles == tuple("0123456789") and examples.tiles.block == (1, 6)
    table = small_runs.config("vae", dataset__limit=0).dataset
    whole = load(dataset_of(table, small_runs.built()[1].datasets), torch.device("cpu"), seed=3)
    label_of = {
        image.tobytes(): int(label)
        for image, label in zip(whole.train.examples.numpy()[:, 0], whole.train.labels.tolist())
    }
    drawn = tiles_of(examples, 8)
    assert all(label_of[drawn[row, column].tobytes()] == column for row in range(6) for column in range(10))


def test_augmentation_is_shown_below_what_it_is_made_of(tmp_path):
    picture = asked(tmp_path, name="digits", flip=True).sheet.pictures["augmented"]
    assert picture.grid == (8, 6) and picture.tiles.parts == ("original", *["augmented"] * 5)
    drawn = tiles_of(picture, 8)
    same = (drawn[1:] == drawn[0]).all((2, 3))
    mirrored = (drawn[1:] == drawn[0, :, :, ::-1]).all((2, 3))
    assert (same | mirrored).all() and 5 < mirrored.sum() < 35
    assert "augmented" not in asked(tmp_path, name="digits").sheet.pictures


def test_points_and_texts(tmp_path):
    points = asked(tmp_path, name="ring").sheet
    assert points.pictures["examples"].tiles.plot and len(points.classes) == 8 and points.counted == 4096
    text = asked(tmp_path, name="python-help", limit=100).sheet
    assert not text.pictures and not text.classes and len(text.text) > 200 and "characters" in text.words


def test_what_cannot_be_read_is_said(tmp_path):
    assert "digits" in asked(tmp_path, name="digtis").words
    assert "dataset.shift = 20" in asked(tmp_path, name="digits", shift=20).words
    assert "nothing" in asked(tmp_path, name="folder", root=str(tmp_path / "nothing")).words


def test_what_is_warned_of_is_told_with_the_sheet(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(4):
        Image.new("RGB", (9, 9), (50 * number, 0, 0)).save(pictures / f"{number}.png")
    (pictures / "broken.png").write_bytes(b"no image")
    found = asked(tmp_path, name="folder", root=str(pictures), size=8).sheet
    assert found.warnings[0].startswith("1 of 5 images of ") and found.warnings[1].startswith("broken.png: ")
    assert found == msgspec.json.decode(msgspec.json.encode(found), type=DataSheet)


def test_another_look_ends_the_one_before_and_nothing_is_left(monkeypatch):
    code = "import sys, time; sys.stdin.read() and time.sleep(600)"
    monkeypatch.setattr(
        children, "start", lambda module, **more: subprocess.Popen([sys.executable, "-c", code], **more)
    )
    reader, words = SheetReader(), []

    def read():
        try:
            reader.read({}, 0, [])
        except ControlError as error:
            words.append(str(error))

    first = threading.Thread(target=read)
    first.start()
    wait_for(lambda: reader._process is not None)
    folder = reader._folder
    second = threading.Thread(target=read)
    second.start()
    wait_for(lambda: len(words) == 1 and reader._process is not None)
    reader.close()
    wait_for(lambda: len(words) == 2)
    assert "ended" in words[0] and not folder.exists()
    line = msgspec.json.encode(SheetReply(words="why")).decode()
    answer = f"import sys; sys.stdin.read(); sys.stdout.write({line!r})"
    monkeypatch.setattr(
        children, "start", lambda module, **more: subprocess.Popen([sys.executable, "-c", answer], **more)
    )
    with pytest.raises(ControlError, match="why"):
        reader.read({}, 0, [])
    reader.close()
    first.join(), second.join()


async def test_the_pane_shows_what_the_form_names(monkeypatch, tmp_path):
    path = tmp_path / "sheet.png"
    Image.fromarray(np.arange(128, dtype=np.uint8).reshape(8, 16)).save(path)
    picture = SheetPicture(str(path), (2, 1), 0, Tiles(block=(1, 1), titles=("zero", "one")))
    seen = []

    def answer(self, wanted):
        seen.append(wanted)
        if wanted["dataset"]["limit"] == 7:
            raise ControlError("MNIST is not on this disk: the first run downloads it.")
        both = {"examples": picture, "augmented": picture}
        warned = [f"warned {place}" for place in range(9)]
        return DataSheet("digits: 7 grey images", [("zero", 160), ("one", 40)], 200, both, "", warned)

    monkeypatch.setattr(Session, "sheet", answer)
    async with workbench(monkeypatch, (120, 40)) as (app, pilot):
        await pilot.press("alt+0")
        shown = await until_shown(pilot, "▸examples · as augmented — digits: 7 grey images", "zero 160 ████")
        assert "! warned 5 (and 3 more)" in shown and "warned 6" not in shown
        await pilot.press("z")
        await until_shown(pilot, "! warned 0 (and 8 more)")
        await pilot.press("z")
        assert "one   40 ████" in shown and seen[0]["dataset"]["name"] == "digits"
        await pilot.press("t")
        await until_shown(pilot, "examples · ▸as augmented — digits")
        app.form.put("train.batch_size", "9")  # is nothing to the data
        app.form.put("dataset.limit", "7")
        await until_shown(pilot, "MNIST is not on this disk")
        assert len(seen) == 2
        app.form.put("dataset.limit", "0")
        for size in ((80, 24), (200, 60)):
            await pilot.resize_terminal(*size)
            await pilot.press("alt+0")
            await until(pilot, lambda: app.size == size)  # noqa: B023
            await until_shown(pilot, "digits: 7 grey images", "zero 160 ██")
