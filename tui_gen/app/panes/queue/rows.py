"""What the Queue pane shows of an entry: a row, and a line about the one under the cursor."""

from __future__ import annotations

from textual.content import Content

from tui_gen.queue.queue_view import QueueLook, QueuePlace
from tui_gen.states import IN_QUEUE, queue_look, state_look, themed
from tui_gen.sweeps import SweepTable
from tui_gen.text import clean

WIDE = 72
"""Columns from which an entry is shown with its model and data."""


def row(place: QueuePlace, width: int, shown_run: str = "") -> Content:
    """One line: sign, state, number, name, how far it is, when it ends. The entry whose run is shown has a `›`."""
    entry = place.entry
    look = queue_look(entry.state) if place.state in IN_QUEUE else state_look(place.state)
    mark = "›" if shown_run and entry.run == shown_run else " "
    name = entry.name if width < WIDE or entry.group else f"{entry.name}  {entry.model} on {entry.dataset}"
    progress = place.progress if width >= 50 else ""
    end = "  ".join(filter(None, (progress, place.ends())))
    room = max(4, width - len(end) - 20)
    name = clean(name)
    name = name if len(name) <= room else f"{name[: room - 1]}…"
    return Content.assemble(
        (mark, "bold"),
        (f"{look.sign} ", f"bold {themed(look.tone)}"),
        (f"{clean(place.state):<11}", themed(look.tone)),
        f"{entry.id:>4} ",
        f"{name:<{room}} ",
        (end, "$quiet"),
    )


def result_rows(table: SweepTable, width: int, shown_run: str = "") -> dict[str, Content]:
    """The results of a sweep, the best first: what was chosen, the best value, its step; by the entries' numbers."""
    cells = {str(result.id): table.row(result) for result in table.results}
    keys = table.header()[2:-3]
    widths = [max((len(clean(row[2 + place])) for row in cells.values()), default=0) for place in range(len(keys))]
    prompts = {}
    for result, (id, row) in zip(table.results, cells.items()):
        look = queue_look(result.state) if result.state in IN_QUEUE else state_look(result.state)
        values = "  ".join(
            f"{name}={clean(value):<{most}}" for name, value, most in zip(keys, row[2:-3], widths)
        )
        end = "  ".join(filter(None, (row[-3], f"at {row[-2]}" if row[-2] else "")))
        room = max(4, width - len(end) - 10)
        values = values if len(values) <= room else f"{values[: room - 1]}…"
        prompts[id] = Content.assemble(
            ("›" if shown_run and result.run == shown_run else " ", "bold"),
            (f"{look.sign} ", f"bold {themed(look.tone)}"),
            f"{id:>4}  ",
            f"{values:<{room}} ",
            (end, "bold" if result.is_best else "$quiet"),
        )
    return prompts


def about(
    snapshot: QueueLook | None, place: QueuePlace | None, problem: str, table: SweepTable | None = None
) -> str:
    """The line below the list: what is wrong with the queue, why nothing is begun, or about the entry."""
    if problem:
        return clean(problem)
    if snapshot is None:
        return ""
    held = "The queue is held: h lets it go on" if snapshot.queue.held else ""
    if not snapshot.places:
        return f"Nothing is queued: Shift+F5 adds what the form describes. {held}".rstrip()
    parts = []
    if table is not None:
        way = "the higher the better" if table.better == "higher" else "the lower the better"
        parts.append(f"{table.over} of {len(table.results)} are over" + (f", {way}" if table.metric else ""))
    elif held:
        parts.append(held)
    elif snapshot.standing:
        parts.append("Nobody trains what waits: s starts it here")
    if place is not None:
        parts.append(place.why or place.entry.run or f"{place.entry.model} on {place.entry.dataset}")
    return clean(" · ".join(filter(None, parts)))
