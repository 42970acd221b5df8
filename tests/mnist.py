"""Where the real MNIST is, for the tests and benchmarks that want it."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

VARIABLE = "TUI_GEN_MNIST"
UNPACKER = Path(__file__).resolve().parents[2] / "shared" / "data" / "unpack-mnist"
FILE = Path("MNIST") / "raw" / "train-images-idx3-ubyte"


@functools.cache
def root() -> Path | None:
    """A folder for `dataset.root` (it has MNIST/raw with the unpacked files), or None where there is none.

    `TUI_GEN_MNIST` names it; else it is unpacked, once per machine, from a copy next to the checkout.
    """
    if given := os.environ.get(VARIABLE):
        folder = Path(given).expanduser().resolve()
        return folder if (folder / FILE).is_file() else None
    if not UNPACKER.is_file():
        return None
    target = Path(tempfile.gettempdir()) / f"tui-gen-mnist-{os.getuid()}"
    if not (target / FILE).is_file():
        aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=target.name))
        subprocess.run([sys.executable, str(UNPACKER), str(aside)], check=True, stdout=subprocess.DEVNULL)
        try:
            aside.rename(target)
        except OSError:  # somebody else was quicker
            return root.__wrapped__() if (target / FILE).is_file() else aside
    return target


def need() -> Path:
    """As `root`, but the test is skipped where there is no MNIST."""
    folder = root()
    if folder is None:
        pytest.skip(f"no MNIST: set {VARIABLE} to a folder that holds MNIST/raw with the unpacked files")
    return folder
