"""Checkpoints: written aside, flushed to the disk, renamed; one cut short by a kill is never loaded, nor a damaged one.

`checkpoints/000500/` holds `model.safetensors`, `ema.safetensors` where weights are averaged, `state.pt` (optimisers,
random state, data order) and `meta.json`, which is written last and has a SHA-256 of each.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from tui_gen.checkpoints import (
    META,
    DamagedError,
    FileSum,
    Found,
    Meta,
    check,
    complete,
    directory,
    found,
    halves,
    read_meta,
    sealed,
    sum_of,
)
from tui_gen.model import DataSpec
from tui_gen.train.engine.building import Snapshot
from tui_gen.train.engine.devices import named
from tui_gen.train.tensor_file import save_tensors

__all__ = [
    "DamagedError",
    "Found",
    "Loaded",
    "Meta",
    "complete",
    "directory",
    "found",
    "halves",
    "load",
    "machine",
    "newest",
    "prune",
    "recover",
    "save",
    "sealed",
    "spec_of",
    "state_of",
]


class Loaded(msgspec.Struct):
    """A checkpoint's content, on the CPU."""

    path: Path
    meta: Meta
    weights: dict[str, Tensor]
    average: dict[str, Tensor] | None
    state: dict[str, Any]


def save(run: Path, now: Snapshot, meta: Meta) -> Path:
    """Write a checkpoint of a trainer as it is now. Raises OSError (disk full, …); what was there before stays.

    The folder of checkpoints is made where it is missing, the run's own never is.
    """
    final = directory(run, meta.step)
    aside = final.with_name(f".{final.name}.partial")
    with contextlib.suppress(FileExistsError):
        final.parent.mkdir()
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        with _Sealing() as sealing:  # the biggest first: its digest is made while the others are written
            _save_state(aside / "state.pt", now.state)
            sealing.take(aside / "state.pt")
            _save_tensors(aside / "model.safetensors", now.weights)
            sealing.take(aside / "model.safetensors")
            if now.average is not None:
                _save_tensors(aside / "ema.safetensors", now.average)
                sealing.take(aside / "ema.safetensors")
        meta = msgspec.structs.replace(meta, files=sealing.sums, machine=machine(now.device))
        (aside / META).write_bytes(sealed(meta))
        _sync(aside / META)
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
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_tensors(on_cpu, path)
    except SafetensorError as error:  # tells of a full disk, or of any other, in words of its own
        raise _asked(path.parent, sum(tensor.nbytes for tensor in on_cpu.values()), error) from error


def _asked(folder: Path, size: int, error: Exception) -> OSError:
    """What the system says when `size` bytes are written to a folder in which a library just could not."""
    block, remaining = bytes(1 << 20), size + (1 << 16)  # with the head of the file
    try:
        with open(folder / "probe", "wb", buffering=0) as file:
            while remaining > 0:
                remaining -= file.write(block[:remaining])
            os.fsync(file.fileno())
    except OSError as system_error:
        return system_error
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
        torch.save(state, cast(IO[bytes], file))  # it writes and closes, and asks no more of it
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


class _Sealing:
    """Takes the digests of files and flushes them to the disk, while others are written: a thread for each of the two
    where threads can be had. The disk must not wait for the digest, nor the digest for the disk.
    """

    def __init__(self) -> None:
        self.sums: dict[str, FileSum] = {}
        self._errors: list[OSError] = []
        self._work = [_Queue(self._digest), _Queue(self._flush)]

    def __enter__(self) -> _Sealing:
        for part in self._work:
            part.start()
        return self

    def take(self, path: Path) -> None:
        """A file that has been written."""
        for part in self._work:
            part.take(path)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for part in self._work:
            part.end()
        if kind is None and self._errors:
            raise self._errors[0]

    def _digest(self, path: Path) -> None:
        try:
            self.sums[path.name] = sum_of(path)
        except OSError as error:
            self._errors.append(error)

    def _flush(self, path: Path) -> None:
        try:
            _sync(path)
        except OSError as error:
            self._errors.append(error)


class _Queue:
    """Work on files one after the other, in a thread of its own, or at once where no thread can be started."""

    def __init__(self, work: Callable[[Path], None]) -> None:
        self._work = work
        self._waiting: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        thread = threading.Thread(target=self._run, name="sealing", daemon=True)
        with contextlib.suppress(RuntimeError):  # no more threads allowed: a checkpoint must be had all the same
            thread.start()
            self._thread = thread

    def take(self, path: Path) -> None:
        if self._thread is None:
            self._work(path)
        else:
            self._waiting.put(path)

    def end(self) -> None:
        """Wait until all is done."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (path := self._waiting.get()) is not None:
            self._work(path)


def recover(run: Path) -> list[str]:
    """Tidy what a kill left: a half-written checkpoint goes, one that was being replaced comes back. For the worker
    that holds the run, nobody else. The names of checkpoints that were cut short.
    """
    cut = halves(run)
    with contextlib.suppress(OSError):
        for path in (run / "checkpoints").iterdir():
            if path.name.endswith((".partial", ".gone")):
                shutil.rmtree(path, ignore_errors=True)
            elif path.name.endswith(".old"):
                final = path.with_name(path.name[1:-4])
                if final.exists():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):  # a folder that cannot be written now: it stays as it is
                        os.rename(path, final)
    return cut


def load(path: Path, averaged: bool | None = None) -> Loaded:
    """Read one checkpoint. Raises DamagedError where any part of it is missing or not what was written.

    `averaged` says whether its run averages its weights: what older checkpoints do not tell themselves.
    """
    meta = read_meta(path)
    check(path, meta)
    ema = path / "ema.safetensors"
    if not meta.files and averaged and not ema.exists():
        raise DamagedError(f"{path.name} is damaged: {ema.name} is missing, and the run averages its weights")
    try:
        weights = load_file(path / "model.safetensors")
        average = load_file(ema) if ema.name in meta.files or (not meta.files and ema.exists()) else None
        state = _state(path)
    except Exception as error:  # torch and safetensors raise many kinds for damaged files
        raise DamagedError(f"{path.name} cannot be read: {error}") from error
    return Loaded(path, meta, weights, average, state)


def _state(path: Path, mmap: bool = False) -> dict[str, Any]:
    return torch.load(path / "state.pt", map_location="cpu", weights_only=True, mmap=mmap)


def state_of(checkpoint: Found) -> dict[str, Any] | None:
    """A checkpoint's state without its weights; None where it is damaged."""
    try:
        if checkpoint.meta is None:
            return None
        check(checkpoint.path, checkpoint.meta, "state.pt")
        return _state(checkpoint.path, mmap=True)
    except Exception:  # torch raises many kinds for damaged files; who loads all of it tells about them
        return None


def spec_of(run: Path) -> DataSpec | None:
    """What a run's model was told of its data, by its newest checkpoint that can be used; None where none says."""
    for checkpoint in reversed(found(run)):
        if (state := state_of(checkpoint)) is not None:
            return msgspec.convert(state["spec"], DataSpec) if "spec" in state else None
    return None


def machine(device: torch.device) -> dict[str, str]:
    """What computes here, as far as the bits of its sums depend on it."""
    facts = {"PyTorch": str(torch.__version__), "CPU": torch.backends.cpu.get_cpu_capability()}
    facts["device"] = named(device) or device.type
    return facts


def newest(run: Path, averaged: bool | None = None) -> Iterator[Loaded | str]:
    """Checkpoints newest first: a `Loaded` one, or words about one that cannot be used."""
    for checkpoint in reversed(found(run)):
        if checkpoint.meta is None:
            yield checkpoint.problem
            continue
        try:
            yield load(checkpoint.path, averaged)
        except DamagedError as error:
            if checkpoint.path.exists():  # else its worker has just deleted it, as it does with old ones
                yield str(error)


def prune(run: Path, keep_last: int, keep_best: int, also: Iterable[int] = ()) -> None:
    """Delete all but the newest, the best-ranked, and `also` those of these steps."""
    have = complete(run)
    by = have[-1][2].ranked_by if have else ""  # what another metric ranked cannot be compared
    ranking = [
        (meta.ranked, step) for step, _, meta in have if meta.ranked is not None and meta.ranked_by == by
    ]
    ranking.sort(key=lambda entry: entry[0])
    keep = {step for step, _, _ in have[-keep_last:]} | {step for _, step in ranking[:keep_best]} | set(also)
    for step, path, _ in have:
        if step not in keep:
            trash = path.with_name(f".{path.name}.gone")
            with contextlib.suppress(OSError):
                os.rename(path, trash)
                shutil.rmtree(trash, ignore_errors=True)
