"""Folders of images in the cache: built once, by whom, and again when anything changed."""

import fcntl
import os
import resource
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.test_data_folder import paint, read, texts
from tests.waiting import wait_for
from tui_gen.events import Progress
from tui_gen.train.data import Mapped, Stream, cache, folders, sources

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

def built(events):
    return any(isinstance(event, Progress) for event in events)


def test_the_cache_is_built_once_and_again_when_anything_changed(root, store):
    for number in range(40):
        paint(root / f"{number}.png", (number, number, 0))
    events = []
    first = read(root, events.append).train.examples
    progress = [event for event in events if isinstance(event, Progress)]
    assert (progress[0].done, progress[0].total) == (0, 40)
    assert (progress[-1].done, progress[-1].total, progress[-1].unit) == (40, 40, "images")
    (place,) = [path for path in store.iterdir() if path.is_dir()]
    assert np.load(place / "pixels.npy").shape == (40, 3, 8, 8)

    def again(**settings):
        events = []
        examples = read(root, events.append, **settings).train.examples
        return built(events), examples

    anew, second = again()
    assert not anew and torch.equal(first, second)
    assert again(size=9)[0] and again(channels="grey")[0]
    paint(root / "5.png", (255, 255, 255))
    os.utime(root / "5.png", ns=(1, 1))
    assert again()[0] and not again()[0]
    (root / "6.png").rename(root / "66.png")
    assert again()[0]
    (root / "66.png").unlink()
    assert again()[0]


def test_limit_reads_only_as_many(root):
    for name in "ab":
        for number in range(20):
            paint(root / name / f"{number}.png")
    events = []
    data = read(root, events.append, limit=10)
    assert data.spec.count == 10 and torch.bincount(data.train.labels).tolist() == [5, 5]
    assert [event.total for event in events if isinstance(event, Progress)] == [10, 10]


def test_a_damaged_cache_and_what_a_killed_build_left_are_replaced(root, store):
    paint(root / "1.png")
    wanted = read(root).train.examples
    (place,) = [path for path in store.iterdir() if path.is_dir()]
    left = store / f"{place.name}.part-1"
    left.mkdir()
    for damage in (b"", (place / "pixels.npy").read_bytes()[:-10]):
        (place / "pixels.npy").write_bytes(damage)
        assert torch.equal(read(root).train.examples, wanted)
    assert not left.exists()
    (place / "about.json").write_text("{")
    assert torch.equal(read(root).train.examples, wanted)


def test_without_a_cache_folder_images_are_kept_in_memory(root, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    paint(root / "1.png", (9, 9, 9))
    events = []
    assert (read(root, events.append).train.examples == 9).all()
    assert any("read anew at every start" in text for text in texts(events))


def test_a_full_disk_costs_the_cache_and_nothing_else(root, store):
    paint(root / "1.png", (9, 9, 9))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    events = []
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        data = read(root, events.append, size=64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (data.train.examples == 9).all()
    assert any("File too large" in text for text in texts(events))
    assert not [path for path in store.iterdir() if path.is_dir()]


def test_a_build_broken_off_by_the_user_leaves_nothing(root, store):
    paint(root / "1.png")

    def stop(event):
        if isinstance(event, Progress):
            raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        read(root, stop)
    assert not [path for path in store.iterdir() if path.is_dir()] and threading.active_count() == threads


def test_two_processes_that_build_at_once_build_once(root, store):
    for number in range(12):
        paint(root / f"{number}.png", (number, 0, 0))
    code = (
        "import sys, torch; from tui_gen.train.data import load; from tui_gen.train.data.sets.folder import Folder\n"
        "def report(event): print(getattr(event, 'text', None) or f'progress {event.done}', flush=True)\n"
        f"folder = Folder(Folder.Config(root={str(root)!r}, size=8, validation=0))\n"
        "data = load(folder, torch.device('cpu'), seed=0, report=report)\n"
        "print('sum', int(data.train.examples.sum()))"
    )
    key = cache.key_of(root, [replace(file, label=0) for file in folders.scan(root, print).train], 8, "auto")
    store.mkdir(parents=True)
    out = store.parent
    with open(store / f"{key}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        runs = []
        for number in range(2):
            with open(out / f"{number}.out", "w") as file:
                runs.append(subprocess.Popen([sys.executable, "-c", code], stdout=file, stderr=file))
        try:
            wait_for(
                lambda: all("waiting for it" in (out / f"{number}.out").read_text() for number in range(2)),
                timeout=120,
                what="both processes to wait for the lock",
            )
        finally:
            lock.close()
            codes = [run.wait(120) for run in runs]
    printed = [(out / f"{number}.out").read_text() for number in range(2)]
    assert codes == [0, 0], printed
    assert sum("progress 12" in text for text in printed) == 1
    assert all(f"sum {sum(range(12)) * 64}" in text for text in printed)
    assert [path.name for path in store.iterdir() if path.is_dir()] == [key]


def test_a_folder_larger_than_memory_is_read_from_the_disk(root, monkeypatch):
    for number in range(20):
        paint(root / f"{number:02}.png", (number * 10, 0, 0))
    monkeypatch.setattr(sources, "free_memory", lambda device: 0)
    data = read(root, validation=0.2)
    assert isinstance(data.train, Mapped) and isinstance(data.validation, Mapped)
    stream = Stream(data.train, data.augmentation, batch_size=4, seed=0, value_range="unit", device=CPU)
    red = torch.cat([stream.next()[0][:, 0, 0, 0] for _ in range(4)]) * 25.5
    held = data.validation.take(torch.arange(4))[0][:, 0, 0, 0] / 10
    assert sorted([*red.round().int().tolist(), *held.int().tolist()]) == list(range(20))
