"""The devices of this machine, each of which trains one run at a time: found without PyTorch."""

from __future__ import annotations

import glob
import os
import platform
import sys

MIG_PARTS = "/proc/driver/nvidia/capabilities/gpu*/mig/gi*"
"""Parts of GPUs, where there are any: a process sees one of them, however many there are."""


def here() -> list[str]:
    """The devices, the one that `auto` means first: `cuda:0`, `cuda:1` …, or `mps`; `cpu` is the last everywhere."""
    if sys.platform == "darwin":
        return ["mps", "cpu"] if platform.machine() == "arm64" else ["cpu"]
    return [*(f"cuda:{number}" for number in range(_gpus())), "cpu"]


def _gpus() -> int:
    """How many GPUs PyTorch would see."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        stop = next((place for place, name in enumerate(names) if name in ("", "-1")), len(names))
        return min(stop, 1) if any(name.startswith("MIG-") for name in names[:stop]) else stop
    if glob.glob(MIG_PARTS):
        return 1
    amd = glob.glob("/sys/class/kfd/kfd/topology/nodes/*/mem_banks/*")
    return len(glob.glob("/dev/nvidia[0-9]*")) or int(bool(amd) and os.path.exists("/dev/kfd"))


def wanted(device: str, devices: list[str]) -> list[str]:
    """Which of these a `train.device` may be trained on, best first: `auto` on any GPU, all else on what it names."""
    if device == "auto":
        return devices[:-1] or devices
    return ["cuda:0"] if device == "cuda" else [device]
