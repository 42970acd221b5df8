"""The line above the plots: is it going well? A sentence, the best value so far, and the figure to come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content
from textual.widget import Widget

from tui_gen.draw.axes import reading
from tui_gen.draw.text import cut, width_of
from tui_gen.goals import Goal
from tui_gen.panels import split
from tui_gen.states import Look, themed
from tui_gen.text import clean

if TYPE_CHECKING:
    from tui_gen.view import RunView

AIMED = Look("✔", "success"), Look("…", "quiet")
"""The figure is reached, and not yet."""
LEAST = 24
"""Cells of a sentence for which everything after it is left out, in this order: what to do, where the best was."""


@dataclass(frozen=True)
class Going:
    """How a run goes: a look, a sentence, what to do about it, and what it reached of what it should."""

    look: Look
    sentence: str
    advice: str = ""
    best: str = ""
    at: str = ""
    figure: str = ""

    def line(self, width: int) -> Content:
        """As much of it as has room in one line: the figure before the advice, the sentence before all else."""
        sentence = clean(self.sentence)
        for parts in ((self.best + self.at, self.figure, self.advice), (self.best + self.at, self.figure),
                      (self.best, self.figure), (self.figure,), ()):  # fmt: skip
            tail = "".join(f" · {clean(part)}" for part in parts if part)
            room = width - width_of(self.look.sign) - 1 - width_of(tail)
            if room >= min(width_of(sentence), LEAST):
                break
        return Content.assemble((f"{self.look.sign} {shortened(sentence, room)}", themed(self.look.tone)), tail)


def shortened(text: str, width: int) -> str:
    """A clean text in at most `width` cells, with an ellipsis where something is left out."""
    return text if width_of(text) <= width else cut(text, max(0, width - 1)) + "…" * (width > 0)


def figure(goal: Goal) -> str:
    """`figure ≥ -24.7`, in terms of the curve that is drawn; empty where no figure is stated for the run's data."""
    if goal.level is None:
        return ""
    return f"figure {'≥' if goal.better == 'higher' else '≤'} {reading(goal.level)}"


def going(view: RunView, goal: Goal | None) -> Going | None:
    """How a run goes by the metric that its recipe is judged by; None where there is nothing to say yet."""
    curve = view.series.get(goal.curve) if goal is not None else None
    best = goal.best(curve) if goal is not None and curve is not None else None
    if goal is None or best is None:
        return None
    step, value = best
    validation, _, name = split(goal.curve)
    name = f"validation {name}" if validation else name
    good = goal.reached(value)
    if goal.level is None:
        sentence = f"{name} is what counts; no figure is stated for this data"
    elif good:
        sentence = f"{name} has reached the figure of {goal.recipe}"
    else:
        stated = f", stated after {goal.steps:,} steps" if goal.steps else ""
        sentence = f"{name} is {reading(abs(value - goal.level))} short of the figure of {goal.recipe}{stated}"
    return Going(AIMED[not good], sentence, "", f"best {reading(value)}", f" at step {step:,}", figure(goal))


class GoingLine(Widget):
    """One row that says how the run goes; drawn again only when it says something else."""

    DEFAULT_CSS = """
    GoingLine { height: 1; width: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._going: Going | None = None

    def show(self, going: Going | None, fits: bool) -> None:
        """This from now on; hidden where there is nothing to say, or where it does not fit."""
        if self.display != (going is not None and fits):
            self.display = not self.display
        if going != self._going:
            self._going = going
            self.refresh()

    def render(self) -> Content:
        """The line, as long as there is room."""
        return self._going.line(self.size.width) if self._going is not None else Content("")
