"""Writing safetensors files that others may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write contiguous tensors on the CPU to a file. Raises OSError and SafetensorError.

    safetensors 0.8.0 puts a file of mode 600 in the place, whatever the umask: on a shared disk nobody else could look
    at a run. This leaves the permissions that files get here.
    """
    with open(path, "wb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    save_file(tensors, path, metadata)
    os.chmod(path, mode)
