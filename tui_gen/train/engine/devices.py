"""Where a run computes, with which numbers, the random state of that device, and what it says of itself.

What PyTorch calls the machine's accelerator is used, whatever its kind; only what is asked of one kind alone is asked
by its name.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from tui_gen.train.engine.building import TrainingError

ADVICE = "the device is out of memory; raise train.accumulate, or lower train.batch_size or the model's size"
"""What to do where a device has no room for a run."""
NO_ROOM = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "can't allocate memory")
"""How libraries say so, where PyTorch does not by the kind of its error: they take memory of their own."""


def pick_device(name: str) -> torch.device:
    """The device that `train.device` names; nothing is begun on it. Raises TrainingError where it is not here."""
    here = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        return torch.device("cpu" if here is None else here.type)
    device = torch.device(name)
    if device.type != "cpu":
        count = torch.accelerator.device_count() if here is not None and here.type == device.type else 0
        if (device.index or 0) >= count:
            kind = device.type.upper()
            raise TrainingError(f"train.device = {name}: this machine has {count} {kind} devices; use cpu or auto")
    return device


def be_deterministic(wish: bool, only_warn: bool = False) -> None:
    """Have PyTorch take only algorithms that give the same bits each time, or whatever is fastest.

    To be called before a GPU computes anything: cuBLAS then fixes what it works in. What has no such algorithm raises a
    RuntimeError (or warns), of which `has_no_deterministic_form` tells. CPUs, with as many threads, give the same bits
    in any case.
    """
    if wish:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Nobody here reads what was never written.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if wish or torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(wish, warn_only=only_warn)


def has_no_deterministic_form(error: BaseException) -> str:
    """What to do about an error of an operation that `be_deterministic` leaves no algorithm for; empty for others."""
    name, found, _ = str(error).partition(" does not have a deterministic implementation")
    if not found or not isinstance(error, RuntimeError):
        return ""
    words = f"{name.split()[-1]} has no algorithm here that gives the same bits each time"
    return f"{words}; it trains with train.deterministic = false, or on a CPU"


def enter(device: torch.device) -> None:
    """Make a device the one that this thread computes on: libraries, events and figures go by it, not by tensors."""
    if device.index:  # the first one is it already
        torch.accelerator.set_device_index(device)


def pick_precision(name: str, device: torch.device) -> torch.dtype:
    """The autocast type that `train.precision` names; float32 means no autocast."""
    if name == "auto":
        return torch.bfloat16 if _has_bfloat16(device) else torch.float32
    if name == "float16" and device.type == "cpu":
        raise TrainingError("train.precision = float16 needs a GPU; use bfloat16 or float32 on the CPU")
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]


def _has_bfloat16(device: torch.device) -> bool:
    """Whether a GPU computes with bfloat16 itself: older ones imitate it, slower than float32."""
    if device.type == "cuda":
        return torch.version.hip is not None or torch.cuda.get_device_properties(device).major >= 8
    return device.type == "xpu" and torch.xpu.is_bf16_supported(including_emulation=False)


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


@contextlib.contextmanager
def evaluating(model: nn.Module, device: torch.device | None = None, seed: int = 0) -> Iterator[None]:
    """A look at a model between two steps: in evaluation mode, without gradients. Afterwards it is as it was, and so
    are the global generators, which are seeded for it where a `device` is named."""
    was = model.training
    model.eval()
    try:
        with torch.no_grad(), contextlib.nullcontext() if device is None else random_state_kept(device, seed):
            yield
    finally:
        model.train(was)


def random_state(device: torch.device) -> tuple[torch.Tensor, ...]:
    """The state of the global generators: the CPU's, and the device's own where it has one."""
    own = device_generator(device)
    return (torch.get_rng_state(), *([] if own is None else [own.get_rng_state(device)]))


def put_random_state(device: torch.device, state: tuple[torch.Tensor, ...]) -> None:
    """Put back what `random_state` gave."""
    torch.set_rng_state(state[0])
    if len(state) > 1:
        device_generator(device).set_rng_state(state[1], device)


def wait_for(device: torch.device) -> None:
    """Until the device has done all that it was given; on the CPU all is done."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def named(device: torch.device) -> str:
    """What a GPU calls itself (`NVIDIA H200`); empty where it has no name to tell."""
    name_of = getattr(getattr(torch, device.type, None), "get_device_name", None)
    return str(name_of(device)) if device.type != "cpu" and name_of is not None else ""


def uuid_of(device: torch.device) -> str:
    """The name by which NVIDIA's tools know a GPU, or a part of one; empty for what has none."""
    if device.type != "cuda":
        return ""
    return str(getattr(torch.cuda.get_device_properties(device), "uuid", ""))


def memory_of(device: torch.device) -> tuple[int, int]:
    """Bytes of a GPU that can still be had, and that there are; zeros where it does not tell."""
    with contextlib.suppress(RuntimeError, ValueError):
        return torch.accelerator.get_memory_info(device)
    return 0, 0


def reserved(device: torch.device) -> int:
    """Bytes of a GPU that this process has taken; 0 where it does not tell."""
    with contextlib.suppress(RuntimeError, ValueError):
        return int(torch.accelerator.memory_reserved(device))
    return int(torch.mps.driver_allocated_memory()) if device.type == "mps" else 0


def allocated(device: torch.device) -> int:
    """Bytes of a GPU that tensors, or what PyTorch keeps, hold; 0 where it does not tell."""
    with contextlib.suppress(RuntimeError, ValueError):
        return int(torch.accelerator.memory_allocated(device))
    return int(torch.mps.current_allocated_memory()) if device.type == "mps" else 0


def lacks_memory(error: BaseException) -> bool:
    """Whether an error says that a device has no room, in whosever words."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_ROOM)
