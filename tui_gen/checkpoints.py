"""A run's checkpoints as files: which steps have one, and whether each is as it was written. Needs no PyTorch.

`checkpoints/000500/` holds `model.safetensors`, `ema.safetensors` where weights are averaged, `state.pt` and
`meta.json`, which is written last and has the size and SHA-256 of the others. Looking at checkpoints changes nothing;
only the worker that holds the run tidies (`tui_gen.train.run.checkpoints.recover`).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from tui_gen.files import open_regular, read_regular

META = "meta.json"
LARGEST_META = 1 << 20
"""A `meta.json` has some hundred bytes; one of more than so many is none."""
_SEAL = b',"sealed":"'


class DamagedError(ValueError):
    """A checkpoint that is not as it was written: which, and what is wrong with it."""


class FileSum(msgspec.Struct, frozen=True):
    """What a file must be: its bytes and their SHA-256 in hexadecimal digits."""

    size: int
    sha256: str


class Meta(msgspec.Struct):
    """`meta.json`: what a checkpoint is. `ranked` is what ranks it by the validation metric `ranked_by`, turned about
    where more is better, so that less always is.

    `files` are the others beside it, `machine` is what computed it; `tensors`: the run is `compiled` with its live
    numbers as tensors, not as constants. Older checkpoints lack these, and `ranked_by`: they are taken as they are.
    `tuned` says whether it has hand-made speed (`tui_gen.tuned`), as all had before this was told, and `products` what
    computes its linear layers (`tui_gen.train.tuned.products`); `flushes`: averages of gradients that have faded away
    are set to 0 (`tui_gen.train.tuned.fused_adam`), which older ones keep. A validation takes at most a
    `validation_part`-th of the examples trained on between two of them.
    """

    step: int
    seconds: float
    reason: str
    ranked: float | None = None
    ranked_by: str = ""
    compiled: bool = False
    tensors: bool = False
    tuned: bool = True
    products: str = ""
    flushes: bool = False
    validation_part: int = 10
    files: dict[str, FileSum] = {}
    machine: dict[str, str] = {}


class Found(NamedTuple):
    """A folder of a checkpoint; `meta` is None, and `problem` says why, where it cannot be used."""

    step: int
    path: Path
    meta: Meta | None
    problem: str = ""


def directory(run: Path, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return run / "checkpoints" / f"{step:06d}"


def sealed(meta: Meta) -> bytes:
    """`meta.json` as it is written: JSON whose last field is the SHA-256 of all before it."""
    body = msgspec.json.encode(meta)
    return body[:-1] + _SEAL + hashlib.sha256(body).hexdigest().encode() + b'"}'


def read_meta(path: Path) -> Meta:
    """What a checkpoint's `meta.json` says. Raises DamagedError where that is not what was written."""
    try:
        raw = read_regular(path / META, LARGEST_META)
        meta = msgspec.json.decode(raw, type=Meta)
    except FileNotFoundError:
        raise DamagedError(f"{path.name} has no {META}") from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not JSON, not UTF-8, not what it should be
        raise DamagedError(f"{path.name} cannot be read: {META}: {getattr(error, 'strerror', '') or error}") from None
    body, seal, digest = raw.rpartition(_SEAL)
    sound = digest == hashlib.sha256(body + b"}").hexdigest().encode() + b'"}' if seal else not meta.files
    if not sound:
        raise DamagedError(f"{path.name} is damaged: {META} is not what was written (its SHA-256 differs)")
    if strange := [name for name in meta.files if os.path.basename(name) != name]:
        raise DamagedError(f"{path.name} is damaged: its {META} names {strange[0]!r}, which is no file of it")
    if meta.step != _step_of(path.name):
        raise DamagedError(f"{path.name} is not what its name says: its {META} is that of step {meta.step}")
    return meta


def check_sizes(path: Path, meta: Meta) -> None:
    """Raise DamagedError where a file is missing or has another size: cheap, and most of what can happen."""
    for name, file in meta.files.items():
        try:
            size = os.stat(path / name).st_size
        except OSError as error:
            words = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
            raise DamagedError(f"{path.name} is damaged: {name} {words}") from None
        if size != file.size:
            words = f"has {size:,} bytes where {file.size:,} were written"
            raise DamagedError(f"{path.name} is damaged: {name} {words}")


def check(path: Path, meta: Meta, *names: str) -> None:
    """Read all files (or those named) and raise DamagedError where one is not what was written, to the bit."""
    check_sizes(path, meta)
    for name in names or meta.files:
        try:
            same = name not in meta.files or sum_of(path / name) == meta.files[name]
        except OSError as error:
            raise DamagedError(f"{path.name} cannot be read: {name}: {error.strerror}") from None
        if not same:
            raise DamagedError(f"{path.name} is damaged: {name} is not what was written (its SHA-256 differs)")


def sum_of(path: Path) -> FileSum:
    """A file's size and digest. Raises OSError."""
    with open_regular(path) as file:
        return FileSum(os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def found(run: Path) -> list[Found]:
    """Every folder of a checkpoint, oldest first, usable or not; of files only names and sizes are looked at.

    Where a kill came between the two renames of a replacement, that is the one which was being replaced.
    """
    try:
        paths = {path.name: path for path in (run / "checkpoints").iterdir()}
    except OSError:
        return []
    rows = []
    for name, path in paths.items():
        step = _step_of(name)
        if step is None or (name.startswith(".") and name[1:-4] in paths):
            continue
        try:
            meta = read_meta(path)
            check_sizes(path, meta)
        except DamagedError as error:
            rows.append(Found(step, path, None, str(error)))
        else:
            rows.append(Found(step, path, meta))
    return sorted(rows, key=lambda row: row.step)


def _step_of(name: str) -> int | None:
    digits = name[1:-4] if name.startswith(".") and name.endswith(".old") else name
    return int(digits) if digits.isdecimal() and digits.isascii() and len(digits) < 19 else None


def complete(run: Path) -> list[tuple[int, Path, Meta]]:
    """The checkpoints whose files are all there, oldest first: (step, folder, meta)."""
    return [(whole.step, whole.path, whole.meta) for whole in found(run) if whole.meta is not None]


def steps(run: Path) -> list[int]:
    """The steps of a run's complete checkpoints, rising."""
    return [checkpoint.step for checkpoint in found(run) if checkpoint.meta is not None]


def sound(run: Path, step: int | None = None) -> Iterator[Found]:
    """Checkpoints newest first, up to a step where one is said, each read whole before it is given: its `problem` says
    why one cannot be used.
    """
    for checkpoint in reversed(found(run)):
        if step is not None and checkpoint.step > step:
            continue
        if checkpoint.meta is not None:
            try:
                check(checkpoint.path, checkpoint.meta)
            except DamagedError as error:
                checkpoint = Found(checkpoint.step, checkpoint.path, None, str(error))
        yield checkpoint


def damaged_after(run: Path, step: int) -> list[str]:
    """What is wrong with checkpoints newer than that of a step which is used."""
    problems = []
    for checkpoint in sound(run):
        if checkpoint.step <= step:
            break
        problems.append(checkpoint.problem)
    return [words for words in problems if words]


def newest_sound(run: Path) -> int:
    """The step from which a run would go on: of its newest checkpoint that is as it was written, 0 without one."""
    return next((checkpoint.step for checkpoint in sound(run) if checkpoint.meta is not None), 0)


def halves(run: Path) -> list[str]:
    """The names of checkpoints that a kill cut short while they were written; or that a live worker writes now."""
    try:
        names = sorted(path.name for path in (run / "checkpoints").iterdir())
    except OSError:
        return []
    return [name[1:].removesuffix(".partial") for name in names if name.endswith(".partial")]


def set_aside(run: Path, step: int, word: str = "damaged") -> list[str]:
    """Rename what lies after `step`, from which a run goes on: damaged checkpoints, or what was undone, would count as
    the newest when old ones are deleted. Their new names (`word-000500`), relative to the run. For whoever holds it.
    """
    names = []
    for checkpoint in found(run):
        if checkpoint.step > step:
            name, number = f"{word}-{checkpoint.path.name}", 1
            while (to := checkpoint.path.with_name(name)).exists():
                number += 1
                name = f"{word}-{checkpoint.path.name}-{number}"
            with contextlib.suppress(OSError):
                os.rename(checkpoint.path, to)
                names.append(f"checkpoints/{name}")
    return names
