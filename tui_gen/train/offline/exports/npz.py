"""Samples as arrays of NumPy, in one `.npz` that `numpy.load` opens without pickles.

`samples` is N×C×H×W for images (0 to 255, or floating point in the model's range), N×2 for points, and for text N×L
numbers of characters, with the texts as `text`. `labels` are the numbers of their classes, where the model is told
them; `about` is JSON that says of which run, step and weights they are. However many there are, they are written as
they are made: a member of a known size, a part at a time.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import msgspec
import numpy as np
import torch
from numpy.lib import format as npy

from tui_gen.events import Note, Progress
from tui_gen.exporting import SampleArrays
from tui_gen.train.data import Report, denormalise
from tui_gen.train.offline.drawing import SampleError, drawn
from tui_gen.train.offline.exports.words import ExportError, described
from tui_gen.train.offline.restore import Restored, restore

READ = 1 << 20
"""Bytes that are read back at a time."""


def export(run: Path, target: Path, words: str, tell: Report) -> None:
    """Write samples, and read them back. Raises ExportError, RestoreError and OSError."""
    options = msgspec.json.decode(words, type=SampleArrays)
    snapshot = restore(run, options.step, options.device, tell, averaged=options.weights == "ema")
    about = described(snapshot, options.weights) | {"seed": options.seed, "count": options.count}
    try:
        members = write(snapshot, options, about, target, tell)
    except SampleError as error:
        raise ExportError(str(error)) from None
    if target.is_file():  # and no device
        check(target, members)


def write(
    snapshot: Restored, options: SampleArrays, about: dict[str, Any], target: Path, tell: Report
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Write the file; the type and shape of every member."""
    kind, classes = snapshot.spec.kind, np.array(snapshot.spec.classes)
    pixels = kind == "image" and options.pixels == "uint8"
    labels: list[np.ndarray] = []
    texts: list[np.ndarray] = []
    done = senseless = 0
    members = {}
    with open(target, "wb") as out, zipfile.ZipFile(_forwards(out, target), "w", allowZip64=True) as file:
        with file.open("samples.npy", "w", force_zip64=True) as member:
            for part, part_labels in drawn(snapshot, options.count, options.seed, options.label or None):
                if part.is_floating_point():
                    senseless += int((~torch.isfinite(part)).flatten(1).any(1).sum())
                if pixels:
                    part = denormalise(part, snapshot.model.value_range)
                array = np.ascontiguousarray(part.cpu().numpy())
                if kind == "text":
                    texts.append(np.array(["".join(row) for row in classes[array]]))
                if part_labels is not None:
                    labels.append(part_labels.cpu().numpy())
                if not done:
                    members["samples"] = array.dtype.str, (options.count, *array.shape[1:])
                    head = {"descr": array.dtype.str, "fortran_order": False, "shape": members["samples"][1]}
                    npy.write_array_header_1_0(member, head)
                member.write(array.tobytes())
                done += len(array)
                tell(Progress(what="making samples", done=done, total=options.count, unit="samples"))
        about["value_range"] = "0 to 255" if pixels else snapshot.model.value_range if kind == "image" else ""
        more = {"labels": labels, "text": texts, "about": [np.array(json.dumps(about, ensure_ascii=False))]}
        for name, arrays in more.items():
            if not arrays:
                continue
            array = np.concatenate(arrays) if arrays[0].ndim else arrays[0]
            members[name] = array.dtype.str, array.shape
            with file.open(f"{name}.npy", "w") as member:
                npy.write_array(member, array, allow_pickle=False)
    if senseless:
        tell(Note(text=f"{senseless:,} of {options.count:,} samples hold NaN or infinite numbers", level="warning"))
    return members


def _forwards(out: BinaryIO, target: Path) -> Any:
    """A file as it is; of a device, which may lie about where one is in it, only its `write`."""
    return out if target.is_file() else SimpleNamespace(write=out.write, flush=out.flush)


def check(target: Path, members: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    """Read every member to its end, which checks its CRC. Raises ExportError where it is not as it should be."""
    try:
        with zipfile.ZipFile(target) as file:
            if sorted(file.namelist()) != sorted(f"{name}.npy" for name in members):
                raise ValueError("other arrays than it should have")
            for name, (dtype, shape) in members.items():
                with file.open(f"{name}.npy") as member:
                    read: Callable[..., Any] = npy.read_array_header_1_0
                    if npy.read_magic(member) != (1, 0) or (head := read(member)) != (shape, False, np.dtype(dtype)):
                        raise ValueError(f"{name} is {head}")
                    size = 0
                    while part := member.read(READ):
                        size += len(part)
                    if size != np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64)):
                        raise ValueError(f"{name} has {size:,} bytes")
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ExportError(f"read back, it is not what was written: {error}") from None
