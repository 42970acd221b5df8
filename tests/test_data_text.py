"""Text: windows, vocabulary, what is held out, exact resume, and files that are not what they should be."""

import pytest
import torch

from tests.known import dataset
from tui_gen.catalog import read
from tui_gen.config import ConfigError
from tui_gen.config import load as load_config
from tui_gen.events import Note
from tui_gen.train.data import Augmentation, DataError, Stream, fixed_batches, load
from tui_gen.train.data.sets.text_file import TextFile
from tui_gen.train.data.text import Windows, encode

CPU = torch.device("cpu")


def text_of(spec, numbers):
    return "".join(spec.classes[number] for number in numbers.tolist())


def help_topics(**more):
    return load(dataset(name="python-help", **more), CPU, seed=0)


def file_of(tmp_path, content, **more):
    path = tmp_path / "my.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load(dataset(name="text-file", root=str(path), **{"length": 8} | more), CPU, seed=0)


def stream_of(data, batch_size=16, seed=0):
    return Stream(data.train, data.augmentation, batch_size=batch_size, seed=seed, value_range="unit", device=CPU)


def test_the_help_topics_of_python_come_as_windows_of_numbers():
    from pydoc_data.topics import topics

    data = help_topics()
    assert data.spec.kind == "text" and data.spec.shape == (101,) and data.train.count is None
    assert list(data.spec.classes) == sorted(data.spec.classes) and "\n" in data.spec.classes
    windows, labels = data.train.take(torch.arange(50))
    assert labels is None and windows.shape == (50, 101) and windows.dtype == torch.int64
    whole = "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"
    assert all(text_of(data.spec, window) in whole for window in windows)
    assert data.spec.count == pytest.approx(0.9 * len(whole) / 100, rel=0.01)


def test_windows_reach_every_place_and_never_what_is_held_out(tmp_path):
    text = "".join(chr(0x4E00 + place) for place in range(400))  # every character once: a window tells its place
    data = file_of(tmp_path, text)
    starts = data.train.take(torch.arange(20_000))[0][:, 0]
    assert set(starts.tolist()) == set(range(400 - 40 - 8))
    held = data.validation.take(torch.arange(data.validation.count))[0]
    assert data.train.take(torch.arange(20_000))[0].max() == 359
    assert held.min() == 360
    # every character of the end but its first is predicted, once, as far as whole windows go
    assert held[:, 1:].flatten().tolist() == list(range(361, 361 + 8 * len(held))) and len(held) == 4


def test_the_seed_chooses_windows_but_not_what_is_held_out():
    one, other = (load(dataset(name="python-help"), CPU, seed=seed) for seed in (0, 1))
    at = torch.arange(5)
    assert not torch.equal(one.train.take(at)[0], other.train.take(at)[0])
    assert torch.equal(one.validation.take(at)[0], other.validation.take(at)[0])


def test_a_stream_goes_on_with_the_very_next_window():
    data = help_topics(limit=100)
    stream = stream_of(data)
    for _ in range(stream.steps_per_epoch + 2):
        stream.next()
    state = stream.state_dict()
    expected = [stream.next()[0] for _ in range(4)]
    again = stream_of(help_topics(limit=100))
    again.load_state_dict(state)
    for x in expected:
        found, labels = again.next()
        assert labels is None and found.dtype == torch.int64 and torch.equal(found, x)
    assert not torch.equal(expected[0], expected[1])


def test_an_epoch_is_as_many_windows_as_cover_the_text_once():
    data = help_topics(limit=100, validation=0.0)
    assert data.validation is None and data.spec.count == 100
    assert stream_of(data, 25).steps_per_epoch == 4


def test_pixels_and_augmentation_leave_text_alone():
    data = help_topics(limit=50, flip=True, shift=3)
    moved = Augmentation(flip=True, shift=3)
    stream = Stream(data.train, moved, batch_size=4, seed=0, value_range="signed", device=CPU)
    assert torch.equal(stream.next()[0], data.train.take(torch.arange(4))[0])
    x, _ = next(fixed_batches(data.validation, batch_size=3, value_range="signed"))
    assert x.dtype == torch.int64


def test_settings_for_images_are_said_to_do_nothing():
    notes = []
    load(dataset(name="python-help", size=32), CPU, seed=0, report=notes.append)
    words = [note.text for note in notes if isinstance(note, Note)]
    assert any("dataset.size does nothing" in text for text in words)
    assert any(text.startswith("python-help: text of about") for text in words)


def test_line_ends_and_byte_order_marks_are_made_alike(tmp_path):
    data = file_of(tmp_path, b"\xef\xbb\xbf" + b"one\r\ntwo\rthree\n" * 20)
    assert set(data.spec.classes) == set("onetwhr\n")


@pytest.mark.parametrize("text", ["abc\nabd", "日本語 text ÄÖ 🎉 a", "".join(map(chr, range(300, 900)))])
def test_numbers_become_the_same_text_again(text):
    vocabulary, numbers = encode(text)
    assert sorted(set(text)) == list(vocabulary)
    assert "".join(vocabulary[number] for number in numbers.tolist()) == text
    assert numbers.dtype == (torch.uint8 if len(vocabulary) <= 256 else torch.int32)


def test_the_places_of_a_text_of_a_hundred_megabytes_are_all_in_reach():
    count = 100_000_000
    windows = Windows(torch.zeros(1, dtype=torch.uint8).expand(count), 9, 0, CPU)
    windows.characters = torch.arange(count, dtype=torch.int32)
    starts = windows.take(torch.arange(4000))[0][:, 0]
    assert starts.max() > 0.99 * count and starts.min() < 0.01 * count
    assert (starts % 8).unique().numel() == 8  # 24 bits alone would leave out most places


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"text\0more" * 50, "NUL bytes"),
        (b"fine so far \xff\xfe" * 50, "position 12"),
        (b"short", "has 5 characters"),
    ],
)
def test_files_that_are_no_good_text_are_refused_with_what_and_where(tmp_path, content, words):
    with pytest.raises(DataError) as error:
        file_of(tmp_path, content)
    assert words in str(error.value) and "my.txt" in str(error.value)


def test_missing_files_and_folders_are_refused(tmp_path):
    for root, words in (
        ("", "dataset.root is missing"),
        (str(tmp_path), "is a folder; name a text file"),
        (str(tmp_path / "nowhere.txt"), "there is no such file"),
        ("/dev/zero", "not a regular file"),
    ):
        with pytest.raises(DataError, match=words):
            load(TextFile(TextFile.Config(root=root)), CPU, seed=0)


def test_too_long_a_window_for_the_text_is_refused_with_advice():
    with pytest.raises(DataError, match=r"within dataset.limit = 2.*smaller dataset.length"):
        help_topics(limit=2)


def test_a_config_without_the_file_is_refused_before_anything_starts():
    with pytest.raises(ConfigError, match=r"dataset.root: is missing: text-file reads a text file"):
        tables = {"model": {"name": "char-rnn"}, "dataset": {"name": "text-file"}, "train": {"steps": 1}}
        load_config(tables, read())
