"""A text of one's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import torch

from tui_gen import quantities
from tui_gen.files import read_regular
from tui_gen.params import hyper
from tui_gen.train.data.sources import DataError, Report, free_memory
from tui_gen.train.data.text import TextConfig, TextSet


class TextFile(TextSet):
    """The text of a file: UTF-8, with line ends as `\\n` and without a byte-order mark."""

    name = "text-file"
    title = "Your own text"
    summary = (
        "Any text in UTF-8: set `dataset.root` to the file. Some hundred thousand characters at least make a model "
        "worth reading; the last part is held out, and every character that occurs is in the vocabulary."
    )
    reads = "text file"
    rank = 150

    class Config(TextConfig):
        """The settings of every text, and where this one is."""

        root: Annotated[str, hyper("A text file")] = ""

    @property
    def where(self) -> str:
        return f"dataset.root = {self.config.root}"

    def read(self, report: Report) -> str:
        path = Path(os.path.expanduser(self.config.root))
        where = f"dataset.root = {path}"
        try:
            if path.is_dir():
                raise DataError(f"{where}: is a folder; name a text file")
            size, free = path.stat().st_size, free_memory(torch.device("cpu"))
            if 16 * size > free:  # a decoded text, its code points and numbers, while all are held
                raise DataError(
                    f"{where}: reading {quantities.size(size)} of text would take {quantities.size(16 * size)} of the "
                    f"{quantities.size(free)} of free memory; name a smaller file"
                )
            raw = read_regular(path, max(size, free // 16))
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
