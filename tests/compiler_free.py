"""Trains a small run of every family in a process that has never compiled anything: which of them import the compiler.

`python -m tests.compiler_free DIR FAMILY…` prints, a line each, the family, its worker's exit status and what imported
PyTorch's compiler, if anything did.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from tests import small_runs
from tests.attack import forked

COMPILER = "torch._dynamo"


class Watch(MetaPathFinder):
    """Keeps where the compiler was imported from, first of all."""

    def __init__(self, told: Path) -> None:
        self.told = told

    def find_spec(self, name: str, *_: Any) -> None:
        if name == COMPILER and not self.told.exists():
            ours = [frame for frame in traceback.extract_stack() if "importlib" not in frame.filename]
            self.told.write_text(" < ".join(f"{Path(frame.filename).name}:{frame.name}" for frame in ours[-2:-9:-1]))


def main(folder: Path, families: list[str]) -> None:
    """Each in a process that is forked from this one."""
    for family in families:
        run = small_runs.make_run(
            folder, family, train__steps=6, train__validate_every=3, train__health_every=3,
            preview__every_seconds=0.01,
        )  # fmt: skip
        told = folder / f"{family}.compiler"

        @contextlib.contextmanager
        def watched(told: Path = told) -> Iterator[None]:
            sys.meta_path.insert(0, Watch(told))
            yield

        status = forked.worker(run, around=watched).wait()
        print(family, status, told.read_text() if told.exists() else "", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
