"""The line above the plots: is it going well? A sentence, the best value so far, the figure to come to, and what to do;
what has no room in it stands below."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace
from textual.content import Content
from textual.widget import Widget

from tui_gen.app.panes.losses.shown import figure
from tui_gen.draw.axes import reading
from tui_gen.draw.text import elided, width_of
from tui_gen.states import VERDICTS, StateLook, themed
from tui_gen.text import clean
from tui_gen.verdicts import health
from tui_gen.verdicts.goals import Goal
from tui_gen.verdicts.health import Verdict
from tui_gen.verdicts.panels import split

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.geometry import Size

    from tui_gen.verdicts.panels import Panel
    from tui_gen.view import RunView

GOAL_LOOKS = StateLook("✔", "success"), StateLook("…", "quiet")
"""The figure is reached, and not yet."""
READINGS = StateLook("│", "quiet")
"""At the crosshair."""
LEAST_WITH_WORDS, LEAST_WITH_ADVICE = 12, 16
"""The least height of the pane that has a row for how the run goes, and a second one for what has no room in it."""
EVERY = 1.0
"""Seconds after which how a run goes is looked up again, if anything came since."""
LEAST, CLAUSE = 24, 44
"""Cells of a sentence for which everything after it is left out, in this order: what to do, where the best was. So
many of them, or more, up to the second, where its first clause needs them."""


class Going(msgspec.Struct, frozen=True):
    """How a run goes: a look, a sentence, what to do about it, and what it reached of what it should."""

    look: StateLook
    sentence: str
    advice: str = ""
    best: str = ""
    at: str = ""
    figure: str = ""

    def rows(self, width: int) -> list[Content]:
        """All of it in one line where that has room for what it reached and what to do; else the sentence in one, the
        rest behind it and in a second one.
        """
        line = self.line(width)
        whole = all(clean(part) in line.plain for part in (self.best, self.figure))
        if whole and (not self.advice or line.plain.endswith(f"{clean(self.sentence)}{self._tail(self._all)}")):
            return [line]
        room = width - 2 - width_of(clean(self.sentence))
        facts = (self.best, self.figure), (self.figure,), ()
        kept = next((parts for parts in facts if width_of(self._tail(parts)) <= room), ())
        advice = f"→ {self.advice}" if self.advice else ""
        rests = ([*(best, self.figure)[: 2 - len(kept)], advice] for best in (self.best + self.at, self.best))
        for words in rests:
            rest = " · ".join(clean(part) for part in words if part)
            if width_of(rest) <= width:
                break
        first = replace(self, best="", at="", figure="", advice="").line(width - width_of(self._tail(kept)))
        return [Content.assemble(first, self._tail(kept)), Content(elided(rest, width))]

    @property
    def _all(self) -> tuple[str, ...]:
        return self.best + self.at, self.figure, self.advice

    @staticmethod
    def _tail(parts: tuple[str, ...]) -> str:
        return "".join(f" · {clean(part)}" for part in parts if part)

    @property
    def whole(self) -> str:
        """All of it, as Markdown."""
        facts = " · ".join(filter(None, (self.best + self.at, self.figure)))
        advice = f"{self.advice}." if self.advice and not self.advice.endswith(".") else self.advice
        return clean("\n\n".join(filter(None, (f"**{self.look.sign} {self.sentence}**", facts, advice))), "\n")

    def line(self, width: int) -> Content:
        """As much of it as has room in one line: the figure before the advice, the sentence before all else."""
        sentence = clean(self.sentence)
        least = min(width_of(sentence), max(LEAST, min(CLAUSE, width_of(re.split("[,:;(]", sentence)[0]))))
        for parts in (self._all, self._all[:2], (self.best, self.figure), (self.figure,), ()):
            tail = self._tail(parts)
            room = width - width_of(self.look.sign) - 1 - width_of(tail)
            if room >= least:
                break
        return Content.assemble((f"{self.look.sign} {elided(sentence, room)}", themed(self.look.tone)), tail)


def going_of(verdict: Verdict | None, view: RunView, goal: Goal | None) -> Going | None:
    """How a run goes, by its verdict and the metric that its recipe is judged by; None where nothing can be said yet.

    A verdict that finds nothing wrong, and does not speak of the figure, gives way to what is short of the figure.
    """
    curve = view.series.get(goal.curve) if goal is not None else None
    best = goal.best(curve) if goal is not None and curve is not None else None
    if goal is None or best is None:
        if verdict is None:
            return None
        return Going(VERDICTS[verdict.level], verdict.sentence, verdict.advice, verdict.number)
    step, value = best
    best_words, at = f"best {reading(value)}", f" at step {step:,}"
    has_figure = goal.level is not None
    if verdict is not None and (not has_figure or verdict.level != "good" or "figure" in verdict.sentence):
        look = VERDICTS[verdict.level]
        return Going(look, verdict.sentence, verdict.advice, f"{called(goal)}: {best_words}", at, figure(goal))
    if goal.level is None:
        sentence = f"{called(goal)} is what counts; no figure is stated for this data"
    elif goal.reached(value):
        sentence = f"{called(goal)} has reached the figure of {goal.recipe}"
    else:
        after = f", stated after {goal.steps:,} steps" if goal.steps else ""
        sentence = f"{called(goal)} is {reading(abs(value - goal.level))} short of its figure{after}"
    return Going(GOAL_LOOKS[not goal.reached(value)], sentence, "", best_words, at, figure(goal))


def called(goal: Goal) -> str:
    """What the metric of a goal is called in a line."""
    validation, _, name = split(goal.curve)
    return f"val {name}" if validation else name


def readings_of(view: RunView, panels: Iterable[Panel], step: float, here: tuple[float, float]) -> list[str]:
    """The values of these panels' curves at a step, as their plots' legends would have them where the steps from one to
    the other are `here`: `vae/kl 12.3`."""
    words = []
    for curve in (curve for panel in panels for curve in panel.curves):
        series = view.series.get(curve.metric)
        place, there = series.read(step, *here) if series is not None else (None, False)
        if series is not None and place is not None:
            at = "" if there else f"@{series.steps[place]:,.0f}"
            words.append(f"{curve.metric} {reading(float(series.values[place]))}{at}")
    return words


class GoingLine(Widget):
    """One row that says how the run goes, or what curves without a plot read at the crosshair; drawn again only when it
    says something else. Where it needs a second row and there is room for one, it has one from then on, so that plots
    do not change their size with every other verdict."""

    DEFAULT_CSS = """
    GoingLine { height: 1; width: 1fr; }
    GoingLine.advises { height: 2; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._going: Going | None = None
        self._key: object = None
        self._at = 0.0
        self._judgement: Going | None = None
        self._advised: object = None
        """The run and the width for which there is a second row."""

    def show(
        self, view: RunView | None, goal: Goal | None, room: Size, others: Iterable[Panel] = (),
        step: float | None = None, here: tuple[float, float] = (0.0, 0.0),
    ) -> None:  # fmt: skip
        """How a run goes, from now on, in a pane with this `room`; with a crosshair at a `step`, in whose column are
        the steps `here`, what the `others` read there: panels off screen.

        The row is hidden where there is nothing to say, or no room.
        """
        fits = room.height >= LEAST_WITH_WORDS
        readings = readings_of(view, others, step, here) if view is not None and step is not None else []
        going = self._judged(view, goal) if view is not None and fits else None
        if fits and readings:
            going = Going(READINGS, " · ".join(readings))
        place = (view.path, room.width) if view is not None and room.height >= LEAST_WITH_ADVICE else None
        if place is not None and going is not None and len(going.rows(room.width)) > 1:
            self._advised = place
        self.set_class(place is not None and place == self._advised, "advises")
        if self.display != (going is not None):
            self.display = not self.display
        if going != self._going:
            self._going = going
            self.refresh()

    @property
    def whole(self) -> str:
        """All that is known of how the run goes, as Markdown; empty where that is nothing."""
        return self._judgement.whole if self._judgement is not None else ""

    def _judged(self, view: RunView, goal: Goal | None) -> Going | None:
        """How a run goes: looked up anew when something changed that tells it, or after a while."""
        now, curve = time.monotonic(), view.series.get(goal.curve) if goal is not None else None
        revision = curve.revision if goal is not None and curve is not None and goal.curve.startswith("val/") else 0
        key = view.path, view.state, goal, revision
        if key != self._key or now - self._at > EVERY:
            self._key, self._at = key, now
            self._judgement = going_of(health.verdict(view), view, goal)
        return self._judgement

    def render(self) -> Content:
        """The line, as long as there is room, and the rest below it."""
        if self._going is None:
            return Content("")
        width = self.size.width
        return Content("\n").join(self._going.rows(width)) if self.has_class("advises") else self._going.line(width)
