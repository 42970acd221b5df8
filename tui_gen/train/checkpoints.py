"""Checkpoints: written aside, flushed to the disk, renamed; one cut short by a kill is never loaded.

`checkpoints/000500/` holds `model.safetensors`, `ema.safetensors` where weights are averaged, `state.pt` (optimisers,
random state, data order) and `meta.json`, which is written last.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tui_gen.train.trainer import Trainer, weights_of


class Meta(msgspec.Struct):
    """`meta.json`: what a checkpoint is. `ranked` is the validation value that ranks it, lower is better."""

    step: int
    seconds: float
    reason: str
    ranked: float | None = None
    compiled: bool = False


class Loaded(msgspec.Struct):
    """A checkpoint's content, on the CPU."""

    path: Path
    meta: Meta
    weights: dict[str, Tensor]
    average: dict[str, Tensor] | None
    state: dict[str, Any]


def directory(run: Path, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return run / "checkpoints" / f"{step:06d}"


def save(run: Path, trainer: Trainer, meta: Meta) -> Path:
    """Write a checkpoint of the trainer as it is. Raises OSError (disk full, …); what was there before stays.

    The folder of checkpoints is made where it is missing, the run's own never is.
    """
    final = directory(run, meta.step)
    aside = final.with_name(f".{final.name}.partial")
    with contextlib.suppress(FileExistsError):
        final.parent.mkdir()
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        _save_tensors(aside / "model.safetensors", weights_of(trainer.model))
        if trainer.average is not None:
            _save_tensors(aside / "ema.safetensors", weights_of(trainer.average))
        _save_state(aside / "state.pt", trainer.state())
        (aside / "meta.json").write_bytes(msgspec.json.encode(meta))
        for path in aside.iterdir():
            _sync(path)
        _sync(aside)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if final.exists():
        old = final.with_name(f".{final.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.rename(final, old)
        os.rename(aside, final)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.rename(aside, final)
    _sync(final.parent)
    return final


def _save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(kept, path)
    except SafetensorError as error:  # tells of a full disk, or of any other, in words of its own
        raise _asked(path.parent, sum(tensor.nbytes for tensor in kept.values()), error) from error


def _asked(folder: Path, size: int, error: Exception) -> OSError:
    """What the system says when `size` bytes are written to a folder in which a library just could not."""
    block, left = bytes(1 << 20), size + (1 << 16)  # with the head of the file
    try:
        with open(folder / "probe", "wb", buffering=0) as file:
            while left > 0:
                left -= file.write(block[:left])
            os.fsync(file.fileno())
    except OSError as told:
        return told
    return OSError(errno.EIO, f"{error}", str(folder))  # it was for a moment, or is no fault of the disk


class _Kept:
    """A file for a writer that says in words of its own what went wrong: `error` is what the system said."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb", buffering=1 << 20)  # noqa: SIM115 - closed by `close`
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write all of it, or raise OSError."""
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def close(self) -> None:
        """Write what is still in memory. Raises OSError."""
        self._file.close()

    def flush(self) -> None:
        """Nothing: `close` does it, and its errors are not lost on the way through a library."""


def _save_state(path: Path, state: dict[str, Any]) -> None:
    file = _Kept(path)
    try:
        torch.save(state, file)
    except Exception as error:
        with contextlib.suppress(OSError):
            file.close()
        if file.error is None:
            raise
        raise file.error from error
    file.close()


def _sync(path: Path) -> None:
    """Have a file or folder on the disk. Raises OSError where a file's content did not get there."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some file systems cannot sync a folder, or nothing at all; quotas and dead disks are often told only here.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF):
            raise
    finally:
        os.close(handle)


def complete(run: Path) -> list[tuple[int, Path, Meta]]:
    """Every complete checkpoint, oldest first."""
    found = []
    folder = run / "checkpoints"
    if not folder.is_dir():
        return []
    for path in folder.iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError, msgspec.DecodeError):
                meta = msgspec.json.decode((path / "meta.json").read_bytes(), type=Meta)
                found.append((int(path.name), path, meta))
    return sorted(found)


def recover(run: Path) -> None:
    """Tidy what a kill left: a half-written checkpoint goes, one that was being replaced comes back."""
    folder = run / "checkpoints"
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name.endswith(".partial"):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.endswith(".old"):
            final = path.with_name(path.name[1:-4])
            if final.exists():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):  # a folder that cannot be written now: it stays as it is
                    os.rename(path, final)


def load(path: Path) -> Loaded:
    """Read one checkpoint. Raises ValueError where any part of it is missing or damaged."""
    try:
        meta = msgspec.json.decode((path / "meta.json").read_bytes(), type=Meta)
        weights = load_file(path / "model.safetensors")
        average = load_file(path / "ema.safetensors") if (path / "ema.safetensors").exists() else None
        state = torch.load(path / "state.pt", map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for damaged files
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    return Loaded(path, meta, weights, average, state)


def newest(run: Path) -> Iterator[Loaded | str]:
    """Checkpoints newest first: a `Loaded` one, or words about one that cannot be read."""
    for _, path, _ in reversed(complete(run)):
        try:
            yield load(path)
        except ValueError as error:
            yield str(error)


def prune(run: Path, keep_last: int, keep_best: int) -> None:
    """Delete all but the newest and the best-ranked checkpoints."""
    have = complete(run)
    ranked = sorted((one for one in have if one[2].ranked is not None), key=lambda one: one[2].ranked)
    keep = {step for step, _, _ in have[-keep_last:]} | {step for step, _, _ in ranked[:keep_best]}
    for step, path, _ in have:
        if step not in keep:
            gone = path.with_name(f".{path.name}.partial")
            with contextlib.suppress(OSError):
                os.rename(path, gone)
                shutil.rmtree(gone, ignore_errors=True)
