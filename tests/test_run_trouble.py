"""What a run does where its folder cannot be written, was renamed, or is gone: it waits, says so, loses nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Iterator

import pytest

from tests import small_runs
from tui_gen.train import checkpoints


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """What a full disk does to writers, from a size on, for this process: EFBIG."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def saved(path, trainer, step=0):
    return checkpoints.save(path, trainer, checkpoints.Meta(step, 0.0, "test"))


@pytest.mark.parametrize("size", [0, 4096, 9000, 20_000])
def test_a_checkpoint_that_does_not_fit_says_what_the_system_says_and_leaves_the_one_before(tmp_path, size):
    """Libraries tell of it in words of their own, each in others: the number is the system's."""
    path, trainer = small_runs.make_run(tmp_path, "vae"), small_runs.trainer("vae")
    trainer.train_step()
    whole = saved(path, trainer)
    largest = max(file.stat().st_size for file in whole.iterdir())
    before = {file.name: file.read_bytes() for file in whole.iterdir()}
    assert largest > 20_000
    with files_no_larger_than(size), pytest.raises(OSError) as told:
        saved(path, trainer)
    assert told.value.errno == errno.EFBIG
    assert {file.name: file.read_bytes() for file in whole.iterdir()} == before
    assert [one.name for one in (path / "checkpoints").iterdir()] == [whole.name]


def test_what_a_disk_says_only_when_asked_to_sync_is_heard(tmp_path, monkeypatch):
    """Quotas of network file systems, and disks that are about to die."""
    path, trainer = small_runs.make_run(tmp_path, "vae"), small_runs.trainer("vae")

    def sync(handle):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(checkpoints.os, "fsync", sync)
    with pytest.raises(OSError) as told:
        saved(path, trainer)
    assert told.value.errno == errno.EDQUOT and not list((path / "checkpoints").iterdir())


def test_a_checkpoint_makes_its_folder_but_never_a_run_s(tmp_path):
    path, trainer = small_runs.make_run(tmp_path, "vae"), small_runs.trainer("vae")
    (path / "checkpoints").rmdir()
    assert saved(path, trainer).is_dir()
    with pytest.raises(FileNotFoundError):
        saved(path.parent / "gone", trainer)
    assert not (path.parent / "gone").exists()
