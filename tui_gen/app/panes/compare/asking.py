"""What is asked of the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textual.message import Message


class CompareAsked(Message):
    """These runs are to be looked at beside each other, in this order."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self.paths = list(paths)
