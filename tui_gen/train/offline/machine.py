"""What this machine can compute with, as a line of JSON: `python -m tui_gen.train.offline.machine`."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from typing import Any

import torch


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
    """Name, memory and free memory (bytes) of each CUDA device, or Apple's GPU. One that fails says why instead."""
    devices: list[dict[str, Any]] = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(number)
        device = {"id": f"cuda:{number}", "name": properties.name, "memory": properties.total_memory}
        try:
            device["free"] = torch.cuda.mem_get_info(number)[0]
            torch.ones(8, device=f"cuda:{number}").sum().item()
        except RuntimeError as error:
            device["fault"] = str(error).partition("\n")[0]
        devices.append(device)
    if torch.backends.mps.is_available():
        devices.append({"id": "mps", "name": "Apple GPU", "memory": 0})
    return devices


if __name__ == "__main__":
    json.dump(facts(), sys.stdout)
    print()
