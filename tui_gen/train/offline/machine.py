"""What this machine can compute with, as a line of JSON: `python -m tui_gen.train.offline.machine`."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from typing import Any

import torch

from tui_gen.train.engine.devices import memory_of, named


def facts() -> dict[str, Any]:
    """Versions, threads, the C++ compiler that `train.compile` needs, and every accelerator (see `accelerators`)."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda or "",
        "threads": torch.get_num_threads(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "compiler": next((name for name in ("g++", "clang++", "c++") if shutil.which(name)), ""),
        "accelerators": accelerators(),
    }


def accelerators() -> list[dict[str, Any]]:
    """Name, memory and free memory (bytes) of each GPU that PyTorch can use. One that fails says why instead."""
    found: list[dict[str, Any]] = []
    kind = torch.accelerator.current_accelerator(check_available=True)
    if kind is None:
        return found
    for number in range(torch.accelerator.device_count()):
        device = torch.device(kind.type, number)
        about: dict[str, Any] = {"id": str(device), "name": "Apple GPU", "memory": 0}
        if kind.type == "mps":
            about["id"] = "mps"
        try:
            about["name"] = named(device) or about["name"]
            about["free"], about["memory"] = memory_of(device)
            torch.ones(8, device=device).sum().item()
        except RuntimeError as error:
            about["fault"] = str(error).partition("\n")[0]
        found.append(about)
    return found


if __name__ == "__main__":
    json.dump(facts(), sys.stdout)
    print()
