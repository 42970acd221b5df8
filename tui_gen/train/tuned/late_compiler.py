"""Optimisers that leave PyTorch's compiler alone until something is compiled.

PyTorch hides its optimisers' methods from its compiler, and imports the compiler to do so when the first of them is
called: a second of a core, half of what starting a worker takes, for runs that never compile anything. And what is
compiled for a CPU needs no Triton, which is for GPUs: 80 MB.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import torch

from tui_gen import tuned
from tui_gen.model import Uncompiled

HIDDEN = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""The methods of every optimiser that PyTorch hides from its compiler."""
_MARK = "__dynamo_disable"
"""Where PyTorch keeps the hidden form of a function once it has it."""
_undo: list[Callable[[], None]] = []


def imported() -> bool:
    """Whether this process has the compiler already."""
    return "torch._dynamo" in sys.modules


def keep_out() -> None:
    """Have optimisers work without the compiler. Nothing happens where it is there already, where hand-made speed is
    switched off, or where PyTorch is built otherwise: then it is imported, as always.
    """
    if _undo or imported() or not tuned.on():
        return
    plain = [getattr(getattr(torch.optim.Optimizer, name, None), "__wrapped__", None) for name in HIDDEN]
    if any(method is None or hasattr(method, _MARK) for method in plain):
        return
    for method in plain:
        setattr(method, _MARK, method)
        _undo.append(lambda method=method: delattr(method, _MARK))  # type: ignore[misc]
    of = torch.optim
    for optimizer_class in (of.Adam, of.AdamW, of.SGD, of.NAdam, of.RMSprop):
        _unwrap_step(optimizer_class)


def let_in() -> None:
    """Give optimisers back to PyTorch as they were, and hide from it what is to be: something is to be compiled."""
    while _undo:
        _undo.pop()()
    for function in Uncompiled.all:
        function.hide()


def leave_triton_out() -> None:
    """Have the compiler go without Triton in this process, as where it is not installed: what it compiles is for the
    CPU. Nothing happens where Triton is there already, or where hand-made speed is switched off.
    """
    if "triton" not in sys.modules and tuned.on():
        sys.modules["triton"] = None  # type: ignore[assignment]  # so that importing it raises ImportError
        logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)  # it warns that Triton is not there


def _unwrap_step(optimizer_class: type[torch.optim.Optimizer]) -> None:
    """Have optimisers of a class make their step without the breaks that are there for compiled optimisers only."""
    wrapped = vars(optimizer_class).get("step")  # a step that is inherited is its owner's
    plain = getattr(wrapped, "__wrapped__", None)
    if plain is None or hasattr(plain, "__wrapped__") or hasattr(wrapped, "hooked"):
        return

    def step(self: torch.optim.Optimizer, closure: Any = None) -> Any:
        with torch.set_grad_enabled(self.defaults.get("differentiable", False)):
            return plain(self, closure)

    optimizer_class.step = step  # type: ignore[method-assign]
    _undo.append(lambda: setattr(optimizer_class, "step", wrapped))
