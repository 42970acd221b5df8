"""How far a run is and how fast it gets on, in words that every screen uses. Numbers have the forms of `quantities`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tui_gen.quantities import count, rate, size
from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.events import Progress
    from tui_gen.view import RunView


def place(view: RunView) -> str:
    """Where training is: `step 1,200/2,000 (60%)`."""
    words = steps(view.step, view.plan.steps if view.plan else None)
    return f"step {words}" + (f" ({view.fraction:.0%})" if view.fraction is not None else "")


def steps(step: int, total: int | None) -> str:
    """Steps made of those that are planned: `1,200/2,000`, or `1,200` where their number is not known."""
    return f"{count(step)}/{count(total)}" if total else count(step)


def epoch(view: RunView) -> str:
    """`epoch 8.6`; empty where the run does not go through its data again and again."""
    return f"epoch {view.epoch:.1f}" if view.plan and view.plan.steps_per_epoch > 0 else ""


def where(view: RunView) -> str:
    """Both: `step 1,200/2,000 (60%) epoch 8.6`."""
    return " ".join(filter(None, (place(view), epoch(view))))


def speed(view: RunView) -> list[str]:
    """Steps and examples in a second, as far as they are known: `150 it/s`, `9.6k images/s`."""
    passing = view.throughput
    if view.system is None or passing is None:
        return []
    amount, unit = passing
    return [f"{rate(view.system.steps_per_second)} it/s", f"{rate(amount)} {unit}/s"]


def memory(view: RunView) -> str:
    """What the run takes: `mem 312 MB + 2.1 GB GPU`; empty where that is not known."""
    if view.system is None:
        return ""
    device = f" + {size(view.system.device_memory)} GPU" if view.system.device_memory else ""
    return f"mem {size(view.system.memory)}{device}"


def parts(view: RunView) -> str:
    """`batches of 128 in 4 parts`, `batches of 128, 64 a process`; empty where one computes a batch at once."""
    plan = view.plan
    if plan is None or (plan.accumulate < 2 and plan.processes < 2):
        return ""
    share = f", {per_process(plan.batch_size, plan.processes)}" if plan.processes > 1 else ""
    in_parts = f" in {count(plan.accumulate)} parts" if plan.accumulate > 1 else ""
    return f"batches of {count(plan.batch_size)}{share}{in_parts}"


def per_process(batch_size: int, processes: int) -> str:
    """`64 a process`; `42 or 43 a process` where a batch cannot be shared evenly."""
    least, more = divmod(batch_size, processes)
    return f"{count(least)}{f' or {count(least + 1)}' if more else ''} a process"


def preparation(now: Progress) -> str:
    """What is done before training: `downloading mnist 52% (5.1 MB of 9.9 MB)`; the shares only where known."""
    in_bytes = now.unit.lower() in ("b", "byte", "bytes")
    amount, total = (size(n) if in_bytes else count(n) for n in (now.done, now.total))
    unit = "" if in_bytes or not now.unit else f" {now.unit}"
    if now.total > 0:
        return clean(f"{now.what} {now.done / now.total:.0%} ({amount} of {total}{unit})")
    return clean(f"{now.what} ({amount}{unit})" if now.done else now.what)
