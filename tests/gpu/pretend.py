"""A CUDA device that is not there: tensors without numbers, which know their device, and PyTorch's answers about it.

What runs on it shows whether every tensor is where it must be, and whether anything waits for the device: numbers
that are asked for (`.item()`, a branch on a tensor) are not there and raise an error.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tui_gen.train.data import Data
from tui_gen.train.data.sources import Source

DEVICE = torch.device("cuda", 0)
UUID = "c0ffee00-0000-4000-8000-000000000001"
TOTAL = 80_000_000_000


class Mark:
    """A CUDA event at which the device always arrived long ago."""

    def __init__(self, **_: Any) -> None:
        pass

    def record(self, *_: Any) -> None:
        pass

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, other: Mark) -> float:
        return 1.0


ANSWERS: dict[str, Any] = {
    "device_count": lambda: 1,
    "current_device": lambda: 0,
    "is_initialized": lambda: True,
    "set_device": lambda device: None,
    "is_bf16_supported": lambda including_emulation=True: True,
    "mem_get_info": lambda device=None: (TOTAL // 2, TOTAL),
    "get_device_properties": lambda device=None: SimpleNamespace(uuid=UUID, total_memory=TOTAL, major=9),
    "get_device_name": lambda device=None: "Pretend GPU",
    "get_device_capability": lambda device=None: (9, 0),
    "memory_allocated": lambda device=None: 0,
    "memory_reserved": lambda device=None: 0,
    "synchronize": lambda device=None: None,
    "empty_cache": lambda: None,
    "get_rng_state": lambda device="cuda": torch.zeros(16, dtype=torch.uint8),
    "set_rng_state": lambda state, device="cuda": None,
    "manual_seed_all": lambda seed: None,
    "Event": Mark,
    "_is_in_bad_fork": lambda: False,
}


def _apply(self: nn.Module, change: Any, recurse: bool = True) -> nn.Module:
    """As PyTorch's, with other parameters in place of those there: tensors without numbers cannot change place."""
    changed: dict[int, Any] = {}
    for module in self.modules():
        for key, parameter in module._parameters.items():
            if parameter is not None:
                new = changed.get(id(parameter))
                if new is None:
                    new = nn.Parameter(change(parameter.detach()), parameter.requires_grad)
                module._parameters[key] = changed[id(parameter)] = new
        for key, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[key] = changed.setdefault(id(buffer), change(buffer))
    return self


def _gradients(outputs: Any, inputs: Any, *_: Any, **__: Any) -> tuple[torch.Tensor, ...]:
    """PyTorch's backward pass needs a real device."""
    return tuple(torch.zeros_like(tensor) for tensor in ([inputs] if isinstance(inputs, torch.Tensor) else inputs))


def _gradient_of(function: Callable[..., torch.Tensor], **_: Any) -> Callable[..., torch.Tensor]:
    def gradient(x: torch.Tensor, *more: Any) -> torch.Tensor:
        assert not function(x, *more).dim()
        return torch.zeros_like(x)

    return gradient


@contextlib.contextmanager
def pretend_gpu() -> Iterator[torch.device]:
    """Inside, this process has a CUDA device; tensors made there have no numbers, and those of the CPU neither."""
    with contextlib.ExitStack() as stack:
        for name, answer in ANSWERS.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        stack.enter_context(mock.patch.object(nn.Module, "_apply", _apply))
        for place, name, answer in ((torch.autograd, "grad", _gradients), (torch.func, "grad", _gradient_of)):
            stack.enter_context(mock.patch.object(place, name, answer))
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield DEVICE


def moved(data: Data) -> Data:
    """Data of the CPU as it were on the pretended device: to be called inside."""
    return replace(data, train=_moved(data.train), validation=data.validation and _moved(data.validation))


def _moved(source: Source) -> Source:
    new = copy.copy(source)
    for holder in (new, getattr(new, "make", None)):
        for name, value in vars(holder).items() if hasattr(holder, "__dict__") else ():
            if isinstance(value, torch.Tensor):
                setattr(holder, name, value.to(DEVICE))
    new.device = DEVICE
    return new
