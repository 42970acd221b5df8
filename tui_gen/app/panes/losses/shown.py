"""What the losses pane draws of a run: its plots, in their order, and the figures to come to. Knows no widget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tui_gen import catalog
from tui_gen.app.panes.curves.drawing import DrawnPlot, drawn
from tui_gen.app.panes.curves.looking import Across, ViewState, frame_options
from tui_gen.app.panes.curves.sections import MOST, PlotBox, PlotRoom, in_sections, section_of
from tui_gen.draw.axes import reading
from tui_gen.draw.canvas import Level
from tui_gen.draw.curves import Plot
from tui_gen.marks import marks_of
from tui_gen.verdicts.goals import goals_of
from tui_gen.verdicts.panels import panels_of

if TYPE_CHECKING:
    from tui_gen.verdicts.goals import Goal
    from tui_gen.verdicts.panels import Panel
    from tui_gen.view import RunView

Word = tuple[list[str], list[list[str]], str]
"""The metrics that a model is judged by, those that share a plot, and the curve that a figure is about."""


def word_on(view: RunView | None, goals: Sequence[Goal]) -> Word:
    """What the model and the recipe say of the order of a run's plots."""
    names = view.series if view is not None else ()
    plan = view.plan if view is not None else None
    first = next((goal.curve for goal in goals if goal.curve in names), "")
    return (plan.judged, plan.together, first) if plan else ([], [], first)


def figure(goal: Goal) -> str:
    """`figure ≥ -24.7`, in terms of the curve that is drawn; empty where no figure is stated for the run's data."""
    if goal.level is None:
        return ""
    return f"figure {'≥' if goal.better == 'higher' else '≤'} {reading(goal.level)}"


def levels_of(panel: Panel, goals: Sequence[Goal]) -> list[Level]:
    """The figures to come to that belong to one of a panel's curves, each value once."""
    metrics = {curve.metric for curve in panel.curves}
    some = {goal.level: goal for goal in reversed(goals) if goal.curve in metrics}
    return [Level(value, figure(goal)) for value, goal in some.items() if value is not None]


def first_plots(
    view: RunView, model_dirs: list[str], width: int, height: int, ascii: bool
) -> Iterator[tuple[PlotBox, DrawnPlot]]:
    """The plots that the pane begins with, where it has so many cells for them, each with its place in these."""
    goals = goals_of(view.path / "config.toml", catalog.read(model_dirs, checked=False))
    by_section = in_sections(panels_of(tuple(view.series), *word_on(view, goals)))
    panels = [panel for some in by_section.values() for panel in some]
    room, sections = PlotRoom(width, height, headed=len(by_section) > 1), list(map(section_of, panels))
    boxes, _ = room.boxes(sections[: room.fit(sections, MOST)])
    across = Across()
    across.show(view)
    options = replace(frame_options(ViewState(), across, marks_of(view)), ascii=ascii)
    for number, (panel, box) in enumerate(zip(panels, boxes)):
        its, chosen = replace(options, levels=levels_of(panel, goals)), not number and len(boxes) > 1
        yield box, drawn(Plot(), panel, view.series, its, box.width, box.height, chosen)
