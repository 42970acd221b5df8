"""Text as numbers: windows of characters, for models of sequences.

A character's number is its place in the sorted vocabulary of the whole text. The end of a text is held out, so what a
model is validated on is prose that it has not read. A window holds one character more than `dataset.length`: each of
its characters but the first is predicted from those before it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
import torch
from torch import Tensor

from tui_gen.model import DataSpec
from tui_gen.params import hyper
from tui_gen.train.data import keyed_random
from tui_gen.train.data.dataset import Dataset
from tui_gen.train.data.sources import Data, DataError, Report, Resident, Source

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
        high, low = (keyed_random.uniforms(self.seed, indices.to(self.device), 2) * 2**24).long()
        starts = (high * 2**24 + low) % self.starts
        return self.characters[starts[:, None] + self._within].long(), None


class TextConfig(msgspec.Struct):
    """What can be set about every text."""

    limit: Annotated[int, hyper("Use at most this many windows of `length`; 0 is all", ge=0, le=100_000_000)] = 0
    validation: Annotated[float, hyper("Share held out, where the data brings no split of its own", ge=0, le=0.9)] = 0.1
    length: Annotated[int, hyper("How many are read, and predicted, at a time", ge=2, le=4096, unit="characters")] = 100


class TextSet(Dataset):
    """A text that `read` gives whole, cut into windows; its end is held out. Its `Config` has TextConfig's fields."""

    kind = "text"

    class Config(TextConfig):
        """The settings of every text."""

    @property
    def where(self) -> str:
        """What a message about the text begins with."""
        return self.name

    def read(self, report: Report) -> str:
        """The whole text. Raises DataError."""
        raise TypeError(f"{type(self).__name__} must define read()")

    def expected(self) -> DataSpec:
        # its characters are known only once it is read: assume there are some
        return self.spec((self.config.length + 1,), self.count, ("a", "b"))

    def load(self, device: torch.device, *, seed: int, report: Report) -> Data:
        text, length, limit = self.read(report), self.config.length, self.config.limit
        width = length + 1
        if limit:
            text = text[: limit * length + 1]
        validation_length = round(len(text) * self.config.validation)
        if self.config.validation:
            validation_length = max(validation_length, width)
        least = LEAST_WINDOWS * length + 1
        if len(text) - validation_length < least:
            limit_words = f" within dataset.limit = {limit}" if limit else ""
            raise DataError(
                f"{self.where}: the text has {len(text):,} characters{limit_words}, too few to cut into windows of "
                f"dataset.length = {length} (it needs {least + validation_length:,} or more, "
                f"{validation_length:,} of them to validate); "
                "choose a longer text or a smaller dataset.length"
            )
        vocabulary, characters = encode(text)
        training_text = characters[: len(characters) - validation_length]
        train = Windows(training_text, width, keyed_random.key(self.name, seed, "train"), device)
        validation = None
        if validation_length:
            # the last character of a window is the first of the next one: all of the end is predicted, once
            tail = characters[len(characters) - validation_length :]
            validation = Resident(tail.long().unfold(0, width, length), None, device)
        return Data(self.spec((width,), train.epoch, tuple(vocabulary)), train, validation)


def encode(text: str) -> tuple[str, Tensor]:
    """The sorted vocabulary of a text, and its characters as places in it: (len(text),) uint8, or int32 if need be."""
    points = np.frombuffer(text.encode("utf-32-le"), "<u4")
    alphabet, numbers = np.unique(points, return_inverse=True)
    kind = np.uint8 if len(alphabet) <= 256 else np.int32
    return "".join(map(chr, alphabet.tolist())), torch.from_numpy(numbers.astype(kind))
