"""What the System pane shows, as rows of text: where the time went, and what the machine was at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from textual.content import Content

from tui_gen.draw.spark import bar, spark
from tui_gen.quantities import duration, moment, size
from tui_gen.text import clean
from tui_gen.usage import PREVIEW, STEP_PARTS, Gpu, Load, Spent
from tui_gen.verdicts.bottleneck import PARTS

Rows = list[Content]
NO_ANSWER = "not told here"
NAMES = 10
"""Cells for the name of a row."""
LEAST_HISTORY = 3
"""Cells of a history that tells anything."""


class UsageReading(NamedTuple):
    """What is drawn of a run: where its time went, over which span, and how much of its machine it took."""

    times: Spent
    span: str
    loads: list[Load]
    processes: int = 1
    """How many share each batch; what is told is the first one's."""


def time_rows(reading: UsageReading, width: int, height: int) -> Rows:
    """Where the time went: a row for each part, with its share as a bar, and what a step, or doing it once, takes.

    In the order in which they come; where not all fit, the largest first.
    """
    times = reading.times
    pace = f"{moment(times.per_step)} a step · " if times.per_step else ""
    rows = [Content.assemble(("Time ", "bold"), (f"{pace}{duration(times.seconds)} · {reading.span}", "$quiet"))]
    names = {**{name: words for name, words in PARTS.items() if name in (*STEP_PARTS, *times.parts, PREVIEW)}}
    shares = [(words, times.share(name), _cost(times, name), name in STEP_PARTS) for name, words in names.items()]
    shares.append(("rest", times.rest / times.seconds if times.seconds else 0.0, "", False))
    if len(shares) >= height:
        shares.sort(key=lambda row: -row[1])
    room = max(4, width - 36)
    for words, share, cost, in_step in shares:
        colour = "$text-primary" if in_step else "$text-accent"
        share_bar = f"{bar(share, room):<{room}}"
        rows.append(Content.assemble(f"{words:<17}{share:>4.0%} ", (share_bar, colour), (f" {cost}", "$quiet")))
    return rows


def _cost(times: Spent, name: str) -> str:
    seconds = times.parts.get(name, 0.0)
    if name in STEP_PARTS:
        return moment(seconds / times.steps) if times.steps and seconds else ""
    count = times.counts.get(name, 0)
    return f"{count} × {moment(seconds / count)}" if count else ""


class Figure(NamedTuple):
    """One figure in words, its history, and the value that a full bar of that stands for."""

    words: str
    values: Sequence[float | None] = ()
    top: float = 1.0


def machine_rows(reading: UsageReading, own: Load | None, width: int) -> Rows:
    """What the worker, the machine, its GPU and this workbench take, with their history where there is room."""
    load, loads = reading.loads[-1], reading.loads
    who = f"1 of {reading.processes}" if reading.processes > 1 else "worker"
    own_memory = [float(at.memory) for at in loads]
    in_use = f"{size(load.total - load.free)} of {size(load.total)}" if load.total and load.free else NO_ANSWER
    used = [float(at.total - at.free) if at.free else None for at in loads]
    busy = NO_ANSWER if load.all_cpus is None else f"{load.all_cpus:.0%} busy"
    rows = {
        who: (Figure(f"{load.cpu:.1f} of {load.cpus:g} CPUs", [at.cpu for at in loads], load.cpus),
              Figure(size(load.memory), own_memory, max(own_memory))),
        "all": (Figure(busy, [at.all_cpus for at in loads]), Figure(in_use, used, load.total)),
    }  # fmt: skip
    gpus = [at.gpu for at in loads if at.gpu is not None]
    if load.gpu is not None:
        computing = "needs nvidia-ml-py" if load.gpu.busy is None else f"{load.gpu.busy:.0%} busy"
        memory = f"{size(load.gpu.used)} of {size(load.gpu.total)}"
        rows["GPU"] = (Figure(computing, [at.busy for at in gpus]),
                       Figure(memory, [float(at.used) for at in gpus], load.gpu.total))  # fmt: skip
    if own is not None:
        rows["workbench"] = (Figure(f"{own.cpu:.2f} CPUs"), Figure(size(own.memory)))
    widths = [max(len(figures[column].words) for figures in rows.values()) for column in (0, 1)]
    room = max(0, min(24, (width - NAMES - sum(widths) - 4) // 2))
    lines = [Content.assemble(("Machine ", "bold"), (clean(load.host), "$quiet"))]
    for name, figures in rows.items():
        parts: list[Any] = [f"{name:<{NAMES}}"]
        for figure, wide in zip(figures, widths, strict=True):
            history = spark(figure.values, room, figure.top) if room >= LEAST_HISTORY and figure.values else ""
            parts += [f"{figure.words:<{wide}} ", (f"{history:<{room}}", "$text-primary"), "  "]
        lines.append(Content.assemble(*parts).rstrip())
        if name == "GPU" and load.gpu is not None:
            lines.append(_gpu_facts(load.gpu))
    return lines


def _gpu_facts(gpu: Gpu) -> Content:
    facts = [clean(gpu.name), f"{size(gpu.own)} the run's" if gpu.own else ""]
    facts += [f"{gpu.watts:.0f} W" if gpu.watts else "", f"{gpu.celsius:.0f} °C" if gpu.celsius else ""]
    return Content.styled(f"{'':<{NAMES}}{' · '.join(filter(None, facts))}", "$quiet")


def beside(left: Rows, right: Rows, column: int) -> Rows:
    """Two columns of rows, the right one from a column on."""
    rows = []
    for number in range(max(len(left), len(right))):
        first = left[number] if number < len(left) else Content("")
        second = right[number] if number < len(right) else Content("")
        rows.append(Content.assemble(first, " " * max(2, column - first.cell_length), second))
    return rows
