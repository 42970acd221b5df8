"""What happened in a run, as marks on the plots: edits, checkpoints, alerts, forks, notes, and where it went on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from tui_gen import hosts, remarks, rollbacks
from tui_gen.draw.canvas import MARKS, Mark
from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.view import RunView

MOST = 2
"""Marks near the crosshair whose words are shown."""


def marks_of(view: RunView) -> list[Mark]:
    """All marks of a run."""
    marks = [Mark(event.step, "edit", f"{event.key}: {event.old} → {event.new}") for event in view.edits]
    marks += [Mark(event.step, "checkpoint", f"checkpoint {event.reason}".strip()) for event in view.checkpoints]
    for resume in view.resumes:
        where = hosts.news_at(view.hosts, resume.t)
        marks.append(Mark(resume.step, "resume", "training went on from here" + (f": {where}" if where else "")))
    marks += [Mark(event.to, "rollback", rollbacks.words(event)) for event in view.rollbacks]
    marks += [Mark(event.step, "fork", f"forked from {event.run}") for event in view.forks]
    marks += [Mark(child.step, "fork", f"{child.path.name} was forked from here") for child in view.children]
    notes = remarks.at_hand(view.path).notes
    marks += [Mark(note.step, "note", note.text) for note in notes if note.step is not None]
    for event in view.alerts:
        marks.append(Mark(event.at, "alert", f"{event.words}. {event.advice}".strip()))
    return marks


def noted(
    marks: Iterable[Mark], step: float, within: float, where: Callable[[float], str] = "{:,.0f}".format
) -> Sequence[str]:
    """The words of the marks within so many steps of one, the most telling first: `Δ 100 train.lr: 0.1 → 0.2`.

    `where` says what a place of the axis is called.
    """
    order = {kind: place for place, kind in enumerate(MARKS)}
    near = [mark for mark in marks if abs(mark.step - step) <= within]
    near.sort(key=lambda mark: (order[mark.kind], abs(mark.step - step)))
    return [f"{MARKS[mark.kind][0]} {where(mark.step)} {clean(mark.text)}" for mark in near[:MOST]]
