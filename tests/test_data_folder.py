"""Folders of images: finding them, and decoding whatever Pillow reads."""

import io
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from tests.known import dataset
from tui_gen.events import Note
from tui_gen.train.data import DataError, decode, load, ranges

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tui-gen" / "folders"


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "images"
    path.mkdir()
    return path


def paint(path, colour=(200, 100, 50), size=(20, 20), mode="RGB", **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **how)
    return path


def read(root, report=lambda event: None, **settings):
    settings = {"size": 8, "validation": 0, **settings}
    return load(dataset(name="folder", root=str(root), **settings), CPU, seed=0, report=report)


def texts(events):
    return [event.text for event in events if isinstance(event, Note)]


def test_flat_folder(root):
    for number in range(10):
        paint(root / f"{number}.png", (number * 20, 0, 0))
    data = read(root)
    assert data.spec.shape == (3, 8, 8) and data.spec.classes == () and data.spec.count == 10
    assert data.train.examples[:, 0, 0, 0].tolist() == [number * 20 for number in range(10)]
    assert data.train.take(torch.arange(3))[1] is None
    assert load(dataset(name="folder", root=str(root)), CPU, seed=0).spec.shape == (3, 64, 64)


def test_one_folder_per_class_with_folders_inside(root):
    for name, number in (("cat", 1), ("cat/young", 2), ("dog/a/b", 3), ("eel", 4)):
        for copy in range(4):
            paint(root / name / f"{copy}.jpg", (number * 50, 0, 0))
    data = read(root, validation=0.25)
    assert data.spec.classes == ("cat", "dog", "eel")
    assert data.train.count == 12 and data.validation.count == 4
    for source in (data.train, data.validation):
        raw, labels = source.take(torch.arange(source.count))
        red = (raw[:, 0].float().mean((1, 2)) / 50).round().int()
        assert [{1: 0, 2: 0, 3: 1, 4: 2}[value] for value in red.tolist()] == labels.tolist()
    assert set(labels.tolist()) == {0, 1, 2}, "every class is held out in proportion"


def test_images_beside_folders_and_a_single_folder_have_no_labels(root):
    paint(root / "only" / "1.png")
    assert read(root).spec.classes == ()
    paint(root / "2.png")
    events = []
    assert read(root, events.append).spec.classes == ()
    assert any("no labels" in text for text in texts(events))


def settle(root, *names, count=4):
    for name in names:
        for number in range(count):
            paint(root / name / f"{number}.png", (number * 9, len(name), 0))


def test_train_val_and_test_are_a_split(root):
    settle(root, "train/cat", "train/dog", "val/cat", "val/dog", "test/cat", "test/dog")
    events = []
    data = read(root, events.append, validation=0.1)
    assert data.spec.classes == ("cat", "dog") and (data.train.count, data.validation.count) == (8, 8)
    assert data.validation.labels.tolist() == [0] * 4 + [1] * 4
    words = "train is trained on, val validates, test is left alone"
    assert any(words in text for text in texts(events))
    assert read(root, validation=0).validation is None and read(root, validation=0).train.count == 8
    limited = read(root, limit=2, validation=0.1)
    assert (limited.train.count, limited.validation.count) == (2, 2), "the limit counts for each part"


@pytest.mark.parametrize(
    "names, classes, train, held",
    [
        (["Training/a", "Training/b", "Testing/a", "Testing/b"], ("a", "b"), 8, 8),
        (["train", "valid"], (), 4, 4),
        (["train/a", "train/b", "val/a", "val/b", "val/c"], ("a", "b"), 8, 8),
        (["set/train/a", "set/train/b", "set/dev/a"], ("a", "b"), 8, 4),
        (["train", "bus", "car"], ("bus", "car", "train"), 12, None),
        (["train/a", "train/b"], ("a", "b"), 8, None),
        (["val/a", "test/a"], ("test", "val"), 8, None),
        (["train2017", "val2017"], (), 4, 4),
        (["train_images/a", "train_images/b", "test_images/a"], ("a", "b"), 8, 4),
        (["seg_train/a", "seg_train/b", "seg_test/b", "seg_pred"], ("a", "b"), 8, 4),
        (["cat/train", "cat/val", "dog/train", "dog/val", "dog/test"], ("cat", "dog"), 8, 8),
        (["bottle/train/good", "bottle/test/bad", "cable/train/good", "cable/masks"], ("bottle", "cable"), 8, 4),
        (["cat/train", "cat/val", "dog"], ("cat", "dog"), 12, None),
        (["freight train", "train station", "bus"], ("bus", "freight train", "train station"), 12, None),
    ],
)
def test_which_names_make_a_split(root, names, classes, train, held):
    settle(root, *names)
    data = read(root, validation=0.1 if held else 0)
    assert data.spec.classes == classes and data.train.count == train
    assert (data.validation.count if data.validation else None) == held


def test_what_does_not_belong_to_a_split_is_told(root):
    settle(root, "train/a", "train/b", "val/a", "val/c", "unsorted")
    paint(root / "cover.png")
    events = []
    read(root, events.append, validation=0.1)
    said = "\n".join(texts(events))
    assert "left out beside that split: (images beside them), unsorted" in said
    assert "left out of val, as train has no such class: c" in said
    settle(root / "inner", "cat/train", "cat/test", "dog/train", "dog/masks")
    paint(root / "inner" / "cat" / "cover.png")
    events = []
    read(root / "inner", events.append, validation=0.1)
    assert "left out beside that split: (images beside them), masks" in "\n".join(texts(events))


def test_one_wrapping_folder_is_seen_through(root):
    settle(root, "download/images/cats", "download/images/dogs")
    events = []
    assert read(root, events.append).spec.classes == ("cats", "dogs")
    assert any("nothing but the folder download/images" in text for text in texts(events))


def test_what_file_systems_leave_behind_is_no_class(root):
    settle(root, "cats", "dogs", "@eaDir", "lost+found", "__MACOSX", "dogs/@eaDir")
    data = read(root)
    assert data.spec.classes == ("cats", "dogs") and data.spec.count == 8


def test_a_link_beside_the_real_folder_does_not_rename_its_class(root):
    settle(root, "cats", "dogs")
    (root / "a-link").symlink_to(root / "cats")
    (root / "z-link").symlink_to(root / "dogs")
    data = read(root)
    assert data.spec.classes == ("cats", "dogs") and data.spec.count == 8


def test_pictures_that_are_not_read_are_counted_by_kind_in_one_line(root):
    settle(root, "", count=3)
    for number in range(20):
        (root / f"IMG_{number}.HEIC").write_bytes(b"no picture of ours")
    (root / "a.NEF").write_bytes(b"")
    (root / "notes.txt").write_text("")
    events = []
    assert read(root, events.append).spec.count == 3
    said = [event.text for event in events if isinstance(event, Note) and event.level == "warning"]
    assert len(said) == 1 and "20 .heic (pip install pillow-heif)" in said[0] and "1 .nef (raw" in said[0]
    for path in root.glob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"20 \.heic"):
        read(root)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_no_class_is_held_out_whole(root, share):
    for name, count in (("a", 5), ("b", 1), ("c", 5), ("d", 2)):
        settle(root, name, count=count)
    data = read(root, validation=share)
    assert set(data.train.labels.tolist()) == {0, 1, 2, 3} or data.train.count < 4
    assert data.train.count + data.validation.count == 13
    assert data.validation.count == min(max(round(13 * share), 1), 12)


def test_a_class_that_the_limit_leaves_out_is_named(root):
    settle(root, "a", "b", "c")
    events = []
    assert len(read(root, events.append, limit=2).spec.classes) == 2
    assert any("nothing to train on of" in text for text in texts(events))


def test_hidden_and_other_files_do_not_count(root):
    paint(root / "1.PNG")
    paint(root / ".hidden.png")
    paint(root / ".git" / "2.png")
    (root / "notes.txt").write_text("x")
    (root / "Thumbs.db").write_bytes(b"x")
    os.mkfifo(root / "pipe.png")  # nobody writes into it: whoever reads it waits for ever
    (root / "link.png").symlink_to(root / "pipe.png")
    assert read(root).spec.count == 1


def test_symbolic_links_are_followed_once(root, tmp_path):
    paint(tmp_path / "elsewhere" / "1.png")
    paint(root / "a" / "2.png")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "round").symlink_to(root)
    (root / "a" / "3.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    (root / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    events = []
    data = read(root, events.append)
    assert data.spec.classes == ("a", "b") and data.spec.count == 3
    assert any("gone.png: No such file" in text for text in texts(events))


@pytest.mark.parametrize(
    "make,words",
    [
        (lambda root: shutil.rmtree(root), "there is no such folder"),
        (lambda root: None, "no images in it"),
        (lambda root: (root / "a.txt").write_text("x"), "no images in it"),
        (lambda root: (shutil.rmtree(root), root.write_text("x")), "is a file, not a folder"),
        (lambda root: (root / "a.png").write_bytes(b"junk"), "none of its 1 images can be read"),
    ],
)
def test_nothing_to_train_on_is_an_error(root, make, words):
    make(root)
    with pytest.raises(DataError, match=words) as error:
        read(root)
    assert str(root) in str(error.value)


def test_unreadable_images_are_left_out_counted_and_named(root, store):
    for number in range(6):
        paint(root / f"good{number}.png", (number * 40, 0, 0))
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "JPEG")
    (root / "cut.jpg").write_bytes(whole.getvalue()[:700])
    (root / "empty.png").write_bytes(b"")
    (root / "text.gif").write_text("not an image")
    (root / os.fsdecode(b"caf\xe9.png")).write_bytes(b"bytes that are no name")
    for attempt in ("first", "from the cache"):
        events = []
        data = read(root, events.append)
        assert data.spec.count == 6, attempt
        said = "\n".join(texts(events))
        assert "4 of 10 images" in said
        assert all(name in said for name in ("cut.jpg: ", "empty.png: ", "text.gif: ", "caf\\xe9.png: "))


def test_a_long_list_of_unreadable_images_is_cut(root):
    paint(root / "good.png")
    for number in range(30):
        (root / f"{number:02}.png").write_bytes(b"")
    events = []
    read(root, events.append)
    assert any(text.strip() == "and 10 more" for text in texts(events)) and len(texts(events)) < 30


def test_a_class_of_which_nothing_can_be_read_is_no_class(root):
    paint(root / "a" / "1.png")
    paint(root / "c" / "1.png")
    (root / "b").mkdir()
    (root / "b" / "1.png").write_bytes(b"")
    data = read(root)
    assert data.spec.classes == ("a", "c") and data.train.labels.tolist() == [0, 1]


def one(path, channels=3, size=8):
    """As `read` would give it if it were alone in its folder."""
    header = decode.header_of(path)
    alone = {header.deep: ranges.decide([decode.extent(path)], header.deep)} if header and header.deep else {}
    return decode.ImageDecoder(size, channels, alone).read(path)


def test_the_middle_is_cut_out_of_the_scaled_image(root):
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 255, 0), (10, 0, 30, 20))
    image.save(root / "wide.png")
    image.rotate(90, expand=True).save(root / "tall.png")
    for name in ("wide.png", "tall.png"):
        assert (one(root / name)[:, 1:-1, 1:-1].reshape(3, -1).T == (0, 255, 0)).all()
        assert (one(root / name)[1] > 200).all()
    paint(root / "line.png", size=(3000, 1))
    assert one(root / "line.png", size=64).shape == (3, 64, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(root, orientation):
    upright = Image.new("RGB", (16, 16), (0, 0, 0))
    upright.paste((255, 0, 0), (0, 0, 8, 8))
    upright.paste((0, 255, 0), (8, 0, 16, 8))
    how = Image.Transpose
    turns = {
        2: how.FLIP_LEFT_RIGHT, 3: how.ROTATE_180, 4: how.FLIP_TOP_BOTTOM, 5: how.TRANSPOSE,
        6: how.ROTATE_90, 7: how.TRANSVERSE, 8: how.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(root / "a.png", exif=exif)
    assert (one(root / "a.png", size=16) == np.asarray(upright).transpose(2, 0, 1)).all()


def test_transparency_is_put_on_white(root):
    paint(root / "rgba.png", (255, 0, 0, 0), mode="RGBA")
    paint(root / "half.png", (0, 0, 0, 128), mode="RGBA")
    paint(root / "la.png", (0, 0), mode="LA")
    palette = Image.new("P", (20, 20), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(root / "palette.png", transparency=1)
    palette.save(root / "opaque.png")
    assert all((one(root / name) == 255).all() for name in ("rgba.png", "la.png", "palette.png"))
    assert (one(root / "half.png") == 127).all()
    assert (one(root / "opaque.png").reshape(3, -1).T == (255, 0, 0)).all()


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_greys_of_sixteen_bits_keep_their_range(root, suffix):
    values = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(values).save(root / f"a.{suffix}")
    wanted = np.arange(256).reshape(16, 16)
    assert (abs(one(root / f"a.{suffix}", 1, 16)[0].astype(int) - wanted) <= 1).all()


def test_real_valued_greys(root):
    Image.fromarray(np.full((8, 8), 0.5, dtype=np.float32)).save(root / "unit.tif")
    Image.fromarray(np.array([[0, 100], [np.nan, 200]], dtype=np.float32)).save(root / "wide.tif")
    assert (one(root / "unit.tif", 1) == 128).all()
    assert one(root / "wide.tif", 1, 2)[0].tolist() == [[0, 100], [0, 200]]


def test_other_kinds_of_files(root):
    first, second = Image.new("RGB", (20, 20), (255, 0, 0)), Image.new("RGB", (20, 20), (0, 0, 255))
    first.save(root / "a.gif", save_all=True, append_images=[second])
    first.save(root / "b.webp", lossless=True)
    first.save(root / "c.bmp")
    first.save(root / "d.ppm")
    first.convert("CMYK").save(root / "e.jpg", quality=100)
    Image.new("1", (20, 20), 1).save(root / "f.png")
    for name in ("a.gif", "b.webp", "c.bmp", "d.ppm", "e.jpg"):
        pixel = one(root / name)[:, 4, 4].astype(int)
        assert (abs(pixel - (255, 0, 0)) < 6).all(), name
    assert (one(root / "f.png") == 255).all()


def test_huge_images_are_refused_by_name_and_large_ones_read(root, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    paint(root / "small.png", size=(20, 20))
    paint(root / "large.png", size=(40, 40))
    paint(root / "huge.png", size=(60, 60))
    events = []
    assert read(root, events.append).spec.count == 2
    assert any("huge.png: has more pixels than is safe" in text for text in texts(events))


def test_colour_follows_the_images_or_the_config(root):
    paint(root / "a.png", 7, mode="L")
    paint(root / "b.jpg", 9, mode="L")
    assert read(root).spec.shape == (1, 8, 8)
    assert read(root, channels="rgb").spec.shape == (3, 8, 8)
    paint(root / "c.png")
    assert read(root).spec.shape == (3, 8, 8)
    assert read(root, channels="grey").spec.shape == (1, 8, 8)
