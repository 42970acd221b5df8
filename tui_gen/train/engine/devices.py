"""Where a run computes, with which numbers, and the random state of that device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from tui_gen.train.engine.building import TrainingError


def pick_device(name: str) -> torch.device:
    """The device that `train.device` names. Raises TrainingError where this machine has no such device."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise TrainingError(f"train.device = {name}: this machine has {count} CUDA devices; use cpu or auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise TrainingError("train.device = mps: not available on this machine; use cpu or auto")
    return device


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The autocast type that `train.precision` names; float32 means no autocast."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    if name == "float16" and device.type == "cpu":
        raise TrainingError("train.precision = float16 needs a GPU; use bfloat16 or float32 on the CPU")
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def device_generator(device: torch.device) -> Any:
    """PyTorch's module (torch.cuda, torch.mps, …) that keeps a device's own generator; None for the CPU."""
    module = getattr(torch, device.type, None)
    return module if device.type != "cpu" and hasattr(module, "get_rng_state") else None


@contextlib.contextmanager
def random_state_kept(device: torch.device, seed: int) -> Iterator[None]:
    """Seed the global generators for what happens inside, and put them back as they were, the device's own too."""
    devices = [device] if device_generator(device) is not None else []
    with torch.random.fork_rng(devices, device_type=device.type):
        torch.manual_seed(seed)
        yield
