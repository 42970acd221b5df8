"""The compiled form of what a run's phases compute: loss and gradients in one graph, with a way back."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import msgspec
import torch
from torch import Tensor

from tui_gen.model import Batch, Model
from tui_gen.quantities import duration
from tui_gen.train.engine.accumulating import Compute, Computed
from tui_gen.train.engine.devices import put_random_state, random_state
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.tuned import late_compiler, onednn, products

EDITS = 1000
"""How many live edits that compile anew a compiled run may see before it goes on uncompiled."""
CAPTURES = 8
"""Calls on a GPU among which its graphs are captured: what fails in them can yet be done without."""


class Hyperparameters:
    """A model's hyperparameters as compiled code gets them: its live `arithmetic` numbers as scalar tensors.

    A number is a constant of compiled code, so that an edit compiles anew; a tensor is an input of it. (PyTorch can
    make a number an input, too, but only after it changed once: a run that was resumed would round otherwise than one
    that went on.) Zeros stay numbers: they turn something off.
    """

    def __init__(self, model: Model, device: torch.device) -> None:
        self.config = model.config
        self.compiled_config = copy.copy(self.config)
        """What compiled code reads; it stays the same object with the same tensors."""
        self.tensors = {name: torch.zeros((), device=device) for name in model.arithmetic}
        self.holders = [module for module in model.modules() if getattr(module, "config", None) is self.config]
        self.last_values: tuple[Any, ...] = ()

    def update(self) -> None:
        """Follow the edits since the last call."""
        values = msgspec.structs.astuple(self.config)
        if values == self.last_values:
            return
        self.last_values = values
        for name, value in zip(self.config.__struct_fields__, values, strict=True):
            if name in self.tensors and value:
                self.tensors[name].fill_(value)
                value = self.tensors[name]
            setattr(self.compiled_config, name, value)

    def given_to(self, fast: Compute) -> Compute:
        """The compiled form, while it computes, finds these hyperparameters in the model."""
        if not self.tensors:
            return fast

        def compute(batch: Batch) -> Computed:
            self.update()
            for module in self.holders:
                module.config = self.compiled_config
            try:
                return fast(batch)
            finally:
                for module in self.holders:
                    module.config = self.config

        return compute


def apply(trainer: Trainer, say: Callable[[str], None], tensors: bool = True, by: str = products.PLAIN) -> None:
    """Compile what every phase computes; one that fails to compile is trained as it is, and the log says so.

    Without `tensors`, live numbers are constants: as in runs that were compiled before they were tensors, whose bits
    depend on it. `by` is what computes matrix products (`tui_gen.train.tuned.products`).
    """
    trainer.draws_whole = False
    for name, plain in trainer.compute.items():
        trainer.compute[name] = _with_fallback(name, plain, compiled(trainer, plain, tensors, by), say, trainer.device)


def compiled(trainer: Trainer, plain: Compute, tensors: bool = True, by: str = products.PLAIN) -> Compute:
    """A compiled form of a phase's loss and gradients; CUDA graphs on GPUs, where these nets wait for kernel launches.

    The gradients are compiled along with the loss where PyTorch can: one graph has no bookkeeping of what the backward
    pass will need, which small nets feel.
    """
    fast = _compiled(trainer, plain, by)
    return Hyperparameters(trainer.model, trainer.device).given_to(fast) if tensors else fast


def _compiled(trainer: Trainer, plain: Compute, by: str) -> Compute:
    if trainer.device.type == "cpu":
        late_compiler.leave_triton_out()
    late_compiler.let_in()
    if hasattr(torch._dynamo.config, "trace_autograd_ops"):
        torch._dynamo.config.trace_autograd_ops = True
    # Live numbers that are no tensors are constants: edits compile anew, and PyTorch gives up for good after eight.
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = EDITS
    if trainer.device.type != "cuda":
        options = None if by == products.PLAIN else onednn.options(trainer.device, by_kind=not by)
        return torch.compile(plain, dynamic=False, options=options)
    fast = torch.compile(plain, mode="reduce-overhead", dynamic=False)

    return keeping(fast)


def keeping(captured: Compute) -> Compute:
    """A captured form whose metrics, and what it leaves in `shared`, outlive the next call of any captured form.

    All graphs write to the same memory, and PyTorch takes the tensors of one away when the next begins. Gradients are
    used up by then.
    """

    def compute(batch: Batch) -> Computed:
        before = dict(batch.shared)
        names, row, gradients = captured(batch)
        for key, value in batch.shared.items():
            if before.get(key) is not value:
                batch.shared[key] = _own(value)
        return names, row.clone(), gradients

    return compute


def _own(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, tuple | list):
        return type(value)([_own(part) for part in value])
    return {key: _own(part) for key, part in value.items()} if isinstance(value, dict) else value


def _with_fallback(
    name: str, plain: Compute, fast: Compute, say: Callable[[str], None], device: torch.device
) -> Compute:
    current = fast
    calls, tentative = 0, CAPTURES if device.type == "cuda" else 1

    def compute(batch: Batch) -> Computed:
        nonlocal current, calls
        if calls >= tentative:
            return current(batch)
        calls += 1
        start = time.perf_counter()
        state = random_state(device)
        try:
            out = current(batch)
            if calls == 1:
                say(f"{name}: compiled in {duration(time.perf_counter() - start)}")
            return out
        except Exception as error:  # anything the compiler throws; the plain form shows a fault of the model's own
            current, calls = plain, tentative
            put_random_state(device, state)
            say(f"{name}: torch.compile failed ({first_line(error)}); training without")
            return plain(batch)

    return compute


def first_line(error: Exception) -> str:
    """What an error of the compiler's says, in a line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
