"""Giving the device back for a while: a paused run's state goes to host memory, and everything that can be made anew
goes. Going on is exact: what comes back is what went, bit for bit, in every place that refers to it.

Every tensor of this process on the device is moved, whoever holds it (weights, averages, what optimisers, the loss's
scale, previews and data remember, captured lists and closures): the Python objects stay the same ones and only the
memory behind them is another, shared among them as before. What PyTorch keeps besides is released: cached blocks,
workspaces, pinned buffers, captured graphs. A process cannot give back its CUDA context but by ending.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor, UntypedStorage

from tui_gen.control import Request
from tui_gen.machine import resident_bytes
from tui_gen.quantities import size
from tui_gen.train.engine.devices import allocated, lacks_memory, reserved, wait_for
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.quality.schedule import QualitySchedule

REFUSED = ("sample", "quality", "rollback")
"""Requests that need the device."""
HOST = torch.device("cpu")


class Yields(Protocol):
    """What gives its device back: a `RunLoop`."""

    trainer: Trainer
    measuring: QualitySchedule
    paused: bool

    def flush(self) -> None:
        """Bring the metrics over from the device and write them."""


class Yielding:
    """Whether, and how, one run has given its device back."""

    def __init__(self, loop: Yields) -> None:
        self.loop = loop
        self.words = ""
        """What was given back, in words; empty while the run has its device."""
        self._moved: list[Tensor] = []

    def refuses(self, request: Request) -> bool:
        """Refuse what cannot be done without the device; whether that was so."""
        if not self.words or request.op not in REFUSED:
            return False
        request.refuse(f"the run has {self.words}; let it go on first (tui-gen yield --back)")
        return True

    def ask(self, request: Request) -> None:
        """Pause the run and give its device back."""
        if not self.words:
            self.loop.flush()
            self.loop.measuring.drop("the run gives its device back")
            self.words = self._release()
        self.loop.paused = True
        request.answer(step=self.loop.trainer.step, words=self.words)

    def back(self, request: Request) -> bool:
        """Take the device back, where it was given; False, and refused, where that has no room for the run now."""
        if not self.words:
            return True
        device = self.loop.trainer.device
        try:
            relocate(self._moved, _copying(device), _copying(HOST))
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            _empty_caches(device)
            request.refuse(f"{device} has no room for the run now, so it stays in host memory ({error!s:.120})")
            return False
        self._moved, self.words = [], ""
        forget_copies(self.loop.trainer)
        return True

    def _release(self) -> str:
        trainer, device = self.loop.trainer, self.loop.trainer.device
        before = occupied(device)
        forget_copies(trainer)
        drop_graphs(device)
        gc.collect()
        if device.type != "cpu":
            self._moved = on_device(device)
            relocate(self._moved, _copying(HOST), _copying(device))
        forget_copies(trainer)
        _empty_caches(device)
        freed = max(0, before - occupied(device))
        if device.type == "cpu":
            return f"yielded: {size(freed)} of memory are given back; its state stays there, as it trains on the CPU"
        rest = allocated(device)
        more = f", {size(rest)} are still in use" if rest else ""
        return f"yielded: {size(freed)} of {device} are given back, its state is in host memory{more}"


def on_device(device: torch.device) -> list[Tensor]:
    """Every tensor of this process on a device, whoever holds it."""
    kinds = (Tensor, torch.nn.Parameter, torch.nn.Buffer)
    found = (thing for thing in gc.get_objects() if type(thing) in kinds)
    return [tensor for tensor in found if tensor.device.type == device.type and tensor.layout is torch.strided]


def copied(storage: UntypedStorage, device: torch.device) -> UntypedStorage:
    """The same bytes on a device, in memory of their own."""
    return UntypedStorage(storage.nbytes(), device=device).copy_(storage, non_blocking=False)


def _copying(device: torch.device) -> Move:
    return lambda storage: copied(storage, device)


Move = Callable[[UntypedStorage], UntypedStorage]
"""Other memory with the same bytes."""


def relocate(tensors: Iterable[Tensor], to: Move, undo: Move) -> None:
    """Put what these tensors are views of into other memory, with the same bits; what shares memory goes on sharing it.

    Memory is let go of as soon as all of its tensors have left it. Where `to` raises, `undo` moves what had moved.
    """
    groups: dict[int, list[Tensor]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.untyped_storage()._cdata, []).append(tensor)
    done: list[list[Tensor]] = []
    try:
        for group in groups.values():
            _place(group, to(group[0].untyped_storage()))
            done.append(group)
    except BaseException:
        for group in done:
            _place(group, undo(group[0].untyped_storage()))
        raise


def _place(group: list[Tensor], storage: UntypedStorage) -> None:
    for tensor in group:
        empty = torch.empty(0, dtype=tensor.dtype, device=storage.device)
        tensor.data = empty.set_(storage, tensor.storage_offset(), tensor.size(), tensor.stride())


def forget_copies(trainer: Trainer) -> None:
    """Drop what a trainer can make anew from its state: batches and orders taken ahead, and lists that an optimiser or
    the averages hold of tensors which have other memory now."""
    trainer.stream.load_state_dict(trainer.stream.state_dict())
    trainer.line_up()


def drop_graphs(device: torch.device) -> None:
    """Drop compiled code that has the addresses of this device's tensors in it; it is compiled again when it is called.

    Captured graphs hold memory of their own, too.
    """
    if device.type != "cuda" or "torch._dynamo" not in sys.modules:
        return
    torch._dynamo.reset()
    trees = sys.modules.get("torch._inductor.cudagraph_trees")
    if trees is not None:
        trees.reset_cudagraph_trees()


def occupied(device: torch.device) -> int:
    """Bytes that this process has taken of a device, or of the machine's memory."""
    return reserved(device) if device.type != "cpu" else resident_bytes()


def _empty_caches(device: torch.device) -> None:
    """Give memory back that nobody uses: to the device, and to the system."""
    wait_for(device)
    if device.type == "cuda" and (clear := getattr(torch._C, "_cuda_clearCublasWorkspaces", None)) is not None:
        clear()  # private; the other caches go without it, too
    if device.type == "mps":
        torch.mps.empty_cache()
    elif device.type != "cpu":
        torch.accelerator.empty_cache()
        torch.accelerator.empty_host_cache()
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
