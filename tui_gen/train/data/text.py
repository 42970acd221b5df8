"""Text as numbers: windows of characters, for models of sequences.

A character's number is its place in the sorted vocabulary of the whole text. The end of a text is held out, so what a
model is validated on is prose that it has not read. A window holds one character more than `dataset.length`: each of
its characters but the first is predicted from those before it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tui_gen.config import DatasetConfig
from tui_gen.model import DataSpec
from tui_gen.train.data import draws
from tui_gen.train.data.sources import Data, DataError, Resident, Source, free_memory

LEAST_WINDOWS = 2
"""Windows without overlap that the training part must have room for."""


class Windows(Source):
    """Windows without end, at random places of a text: position i starts where (seed, i) says.

    `take` gives (N, width) int64 numbers of characters. So many windows as cover the text once count as an epoch.
    """

    count = None

    def __init__(self, characters: Tensor, width: int, seed: int, device: torch.device) -> None:
        self.device, self.seed = device, seed
        self.characters = characters.to(device)
        self.starts = len(characters) - width + 1
        self.epoch = max(1, (len(characters) - 1) // (width - 1))
        self._within = torch.arange(width, device=device)

    def take(self, indices: Tensor) -> tuple[Tensor, None]:
        """The windows at int64 positions (N,) of the endless sequence."""
        # one draw has 24 bits, too few places for a text of many megabytes
        high, low = (draws.uniforms(self.seed, indices.to(self.device), 2) * 2**24).long()
        starts = (high * 2**24 + low) % self.starts
        return self.characters[starts[:, None] + self._within].long(), None


def load(config: DatasetConfig, device: torch.device, seed: int) -> Data:
    """The windows of a text, as `dataset.name` says. Raises DataError, with what to do."""
    text = READERS[config.name](config)
    width = config.length + 1
    if config.limit:
        text = text[: config.limit * config.length + 1]
    held = round(len(text) * config.validation)
    if config.validation:
        held = max(held, width)
    least = LEAST_WINDOWS * config.length + 1
    if len(text) - held < least:
        where = f"dataset.root = {config.root}" if config.name == "text-file" else config.name
        limited = f" within dataset.limit = {config.limit}" if config.limit else ""
        raise DataError(
            f"{where}: the text has {len(text):,} characters{limited}, too few to cut into windows of "
            f"dataset.length = {config.length} (it needs {least + held:,} or more, {held:,} of them to validate); "
            "choose a longer text or a smaller dataset.length"
        )
    vocabulary, characters = encode(text)
    kept = characters[: len(characters) - held]
    train = Windows(kept, width, draws.key(config.name, seed, "train"), device)
    validation = None
    if held:
        # the last character of a window is the first of the next one: all of the end is predicted, once
        tail = characters[len(characters) - held :]
        validation = Resident(tail.long().unfold(0, width, config.length), None, device)
    spec = DataSpec(config.name, "text", (width,), tuple(vocabulary), train.epoch)
    return Data(spec, train, validation)


def encode(text: str) -> tuple[str, Tensor]:
    """The sorted vocabulary of a text, and its characters as places in it: (len(text),) uint8, or int32 if need be."""
    points = np.frombuffer(text.encode("utf-32-le"), "<u4")
    known, numbers = np.unique(points, return_inverse=True)
    kind = np.uint8 if len(known) <= 256 else np.int32
    return "".join(map(chr, known.tolist())), torch.from_numpy(numbers.astype(kind))


def _python_help(config: DatasetConfig) -> str:
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"


def _text_file(config: DatasetConfig) -> str:
    """The text of a file: UTF-8, with line ends as `\\n` and without a byte-order mark."""
    path = Path(os.path.expanduser(config.root))
    where = f"dataset.root = {path}"
    try:
        if path.is_dir():
            raise DataError(f"{where}: is a folder; name a text file")
        size, free = path.stat().st_size, free_memory(torch.device("cpu"))
        if 16 * size > free:  # a decoded text, its code points and numbers, while all are held
            raise DataError(
                f"{where}: reading {size / 1e9:.1f} GB of text would take {16 * size / 1e9:.1f} GB of the "
                f"{free / 1e9:.1f} GB of free memory; name a smaller file"
            )
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{where}: there is no such file; name a UTF-8 text file") from None
    except OSError as error:
        raise DataError(f"{where}: cannot be read ({error.strerror or error})") from None
    if not raw:
        raise DataError(f"{where}: is empty; name a file with some text in it")
    if b"\0" in raw[: 1 << 20]:
        raise DataError(f"{where}: is not text (it has NUL bytes); name a UTF-8 text file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where}: is not UTF-8 text (byte {error.object[error.start]:#04x} at position {error.start:,}); "
            "save it as UTF-8, or name another file"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


READERS: dict[str, Callable[[DatasetConfig], str]] = {"python-help": _python_help, "text-file": _text_file}
