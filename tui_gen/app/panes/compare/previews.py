"""The previews of several runs at one step, or at one time: which of them, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tui_gen.app.panes.compare.across import AcrossRuns
from tui_gen.events import Sample
from tui_gen.history.comparison import ComparedRun

SLACK = 1e-6
"""The part of a place by which two may differ and be the same: times are computed."""


class Placed(NamedTuple):
    """A preview, and where it is on the axis."""

    at: float
    preview: Sample


def kinds_of(runs: Sequence[ComparedRun]) -> list[str]:
    """The kinds of previews that any of the runs has: first those that most of them have."""
    every = [dict.fromkeys(preview.kind for preview in run.view.samples) for run in runs]
    names = dict.fromkeys(kind for kinds in every for kind in kinds)
    return sorted(names, key=lambda kind: -sum(kind in kinds for kinds in every))


def placed(run: ComparedRun, kind: str, over: AcrossRuns, axis: str) -> list[Placed]:
    """The previews of a kind that a run has, by where they are; of two of one step the second, which has its file."""
    history = {preview.step: preview for preview in run.view.samples if preview.kind == kind}
    every = [(over.place_of(run, float(step), axis), preview) for step, preview in sorted(history.items())]
    return [Placed(at, preview) for at, preview in every if at is not None]


def places(histories: Sequence[Sequence[Placed]]) -> list[float]:
    """Every place where any of the runs has a preview, ascending."""
    steps: list[float] = []
    for at in sorted(item.at for history in histories for item in history):
        if not steps or at > steps[-1] * (1 + SLACK):
            steps.append(at)
    return steps


def until(history: Sequence[Placed], at: float) -> Sample | None:
    """The last preview up to a place; None where there is none yet."""
    before = [item.preview for item in history if item.at <= at * (1 + SLACK)]
    return before[-1] if before else None
