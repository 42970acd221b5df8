"""The columns of the table of runs: which of them have room, and what stands in their cells."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tui_gen.draw.spark import outline
from tui_gen.draw.text import cut, elided, width_of
from tui_gen.history.run_facts import FACTS, RunRow, text_of
from tui_gen.places import distinction
from tui_gen.progress import steps as steps_words
from tui_gen.states import state_look
from tui_gen.text import clean

GAP = 2
MARK = 2
"""Cells before the first column: whether a run is marked, and whether it is the one that is shown."""
LEAST_NAME, MOST_NAME, LEAST_PART = 12, 34, 3
FIRST = ("step", "best")
"""Columns that have room before long names do."""
LEAST_STEP = 7
"""Cells of a column of steps without the planned length."""


class Column(NamedTuple):
    """A column: the fact that it shows, its cells, and whether its words end at its right edge."""

    name: str
    width: int
    right: bool = False

    @property
    def title(self) -> str:
        """What stands above it."""
        return FACTS[self.name].title.capitalize() if len(FACTS[self.name].title) > 1 else FACTS[self.name].title


PRIORITY = (
    Column("step", 13, True), Column("best", 9, True), Column("metric", 0), Column("star", 1), Column("course", 16),
    Column("model", 0), Column("dataset", 0), Column("best_step", 8, True), Column("tag", 0), Column("notes", 2, True),
    Column("idle", 8, True), Column("time", 11, True), Column("exact", 9), Column("size", 7, True), Column("run", 0),
)  # fmt: skip
"""The columns beside state and name, the first to have room first; those of width 0 are as wide as what is in them."""
ORDER = (
    "star", "state", "name", "model", "dataset", "step", "metric", "best", "best_step", "course", "exact", "tag",
    "notes", "time", "size", "idle", "run",
)  # fmt: skip
"""From left to right."""
RARE: dict[str, Callable[[RunRow], object]] = {
    "star": lambda row: row.info.star,
    "notes": lambda row: row.info.notes,
    "exact": lambda row: row.proof,
}
"""Columns that are left out where they would be empty."""
WIDEST = {"metric": 18, "model": 18, "dataset": 16, "tag": 20, "run": 40}


def columns_for(width: int, rows: Sequence[RunRow]) -> list[Column]:
    """The columns that have room in a width beside state and name; one that would be empty is left out."""
    state = Column("state", 2 + max((len(row.info.word) for row in rows), default=8))
    name = LEAST_NAME
    left = width - MARK - state.width - GAP - name
    columns = []
    longest = max((len(row.info.name) + 1 + len(distinction(row.folder)) for row in rows), default=0)
    extra = max(0, min(MOST_NAME, longest) - LEAST_NAME)
    for column in PRIORITY:
        if column.name not in FIRST:
            left, extra, name = left - min(left, extra), 0, name + min(left, extra)
        widest = column.width if column.name not in WIDEST else min(WIDEST[column.name], _widest(column.name, rows))
        if column.name in RARE and not any(map(RARE[column.name], rows)):
            continue
        if column.name == "step" and left < widest + GAP:
            widest = LEAST_STEP
        if widest and left >= widest + GAP:
            left -= widest + GAP
            columns.append(column._replace(width=max(widest, min(len(column.title) + 1, widest + left))))
            left -= columns[-1].width - widest
    names = {column.name: column for column in columns}
    names |= {"state": state, "name": Column("name", name + min(left, extra))}
    return [names[name] for name in ORDER if name in names]


def _widest(name: str, rows: Sequence[RunRow]) -> int:
    """The cells that the longest text of a column takes."""
    match name:
        case "model" | "dataset":
            texts = {getattr(row.info, name) for row in rows}
        case "run":
            texts = {os.path.basename(row.info.path) for row in rows}
        case "tag":
            texts = {text_of(row, name) for row in rows if row.info.tags}
        case _:
            texts = {text_of(row, name) for row in {row.summary.metric: row for row in rows}.values()}
    return max((width_of(clean(text)) for text in texts), default=0)


def cell_of(row: RunRow, column: Column) -> str:
    """What stands in a cell, in exactly its width."""
    info = row.info
    match column.name:
        case "state":
            look = state_look(info.state)
            text = f"{look.sign} {clean(info.word)}" if info.state else "…"
        case "name":
            text = _name_of(row, column.width)
        case "step":
            text = steps_words(info.step, info.steps) if info.state else ""
            text = text if len(text) <= column.width else steps_words(info.step, None)
        case "idle":  # no time that passes: it would be drawn anew
            text = _when(info.updated)
        case "course":
            text = outline(row.summary.course)
        case _:
            text = text_of(row, column.name)
    return fitted(text, column.width, column.right)


def _when(t: float) -> str:
    """A time of today, or the day it was."""
    then, today = time.localtime(t), time.localtime()
    if then[:3] == today[:3]:
        return time.strftime("%H:%M", then)
    return time.strftime("%d %b" if then[0] == today[0] else "%b %Y", then)


def _name_of(row: RunRow, width: int) -> str:
    """The name, with what tells apart runs of one name, where there is room; the folder's where that was given."""
    name, apart = clean(row.info.name), clean(distinction(row.folder))
    if not row.info.state or width < LEAST_NAME or apart == name:
        return name
    wide = width_of(apart)
    if width_of(name) + 1 + wide <= width:
        return f"{name} {apart}"
    return f"{cut(name, width - wide - 2)}… {apart}" if width - wide - 2 >= LEAST_PART else apart


def fitted(text: str, width: int, right: bool = False) -> str:
    """A text in exactly so many cells."""
    text = elided(text, width)
    blanks = " " * (width - width_of(text))
    return blanks + text if right else text + blanks
