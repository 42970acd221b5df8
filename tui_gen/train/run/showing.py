"""What a run shows of its samples: pictures drawn between two steps, and measurements of their quality."""

from __future__ import annotations

import contextlib
import traceback
from functools import partial
from pathlib import Path
from typing import Protocol

from tui_gen import events, quality, runs
from tui_gen.config import RunConfig
from tui_gen.model import Model, Text
from tui_gen.quantities import span
from tui_gen.train.cutting import Check, Cut, Stopped, TooSlow, cuttable, patient
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.quality.schedule import QualitySchedule
from tui_gen.train.run.faults import words_of
from tui_gen.train.run.run_record import RunRecord
from tui_gen.train.shown.previews import Previewer


class Shows(Protocol):
    """What has samples to show: a `RunLoop`."""

    trainer: Trainer
    config: RunConfig
    record: RunRecord
    previewer: Previewer
    measuring: QualitySchedule
    ending: Stopped | None

    def emit(self, *new: events.Event) -> None:
        """Append events to the log."""

    def note(self, text: str, level: str = "info") -> None:
        """A line for the log pane."""

    def check(self) -> None:
        """Raise Cut where the run is to stop."""

    def answer_requests(self, timeout: float = 0.0) -> None:
        """Answer what came in."""


UNTRAINED_PATIENCE = 10.0
"""Seconds of a processor's time that the pictures of the untrained model may take: a sampler of thousands of steps
would keep the run from its second step for minutes, to show noise."""


def untrained(loop: Shows, model: Model) -> None:
    """Draw and write the previews of a model before its first step, or say that this takes too long; else as those."""
    try:
        previews(loop, model, 0, patient(loop.check, UNTRAINED_PATIENCE))
    except TooSlow:
        patience = span(UNTRAINED_PATIENCE)
        loop.note(f"samples take more than {patience} to draw: those of the untrained model are left off")


def previews(loop: Shows, model: Model, step: int, check: Check | None = None) -> str:
    """Draw and write the previews of a model after so many steps; the path of the first, relative to the run.

    Raises Cut where the run is to stop before they are drawn or `check` says so, and what a model's own methods
    raise where they never worked in this session: then they are to be mended. Later, what fails is left out, and
    that is told.
    """
    previewer = loop.previewer
    previewer.faults.clear()
    previewer.unfinite.clear()
    check = check or loop.check
    with cuttable(model, check):
        grids = previewer.draw(model)
    if loop.config.preview.raw and (raw := loop.trainer.raw_beside(model)) is not None:
        with cuttable(raw, check):
            grids += previewer.draw_raw(raw)
    previewer.forgiving = True
    told = {
        f"{method}() failed: {words_of(fault)}; its previews are missing, and the run goes on": fault
        for method, fault in previewer.faults.items()
    } | {
        f"{method}() returned NaN or infinity; of those its previews show black or white": None
        for method in sorted(previewer.unfinite)
    }
    for words, fault in told.items():
        if words not in previewer.logged_faults:
            previewer.logged_faults.add(words)
            if fault is not None:
                traceback.print_exception(fault)
            loop.note(words, "warning")
    first = ""
    for grid in grids:
        suffix = "" if grid.kind == "samples" else f"-{grid.kind}"
        if isinstance(grid, Text):
            name, data = f"samples/{step:06d}{suffix}.txt", grid.text.encode()
            event = events.Sample(step=step, path=name, kind=grid.kind)
        else:
            name, data = f"samples/{step:06d}{suffix}.png", grid.png()
            event = grid.event(step, name)
        loop.record.persist(partial(_written, name, data))
        loop.emit(event)
        first = first or name
    return first


class Measurements:
    """Writes a loop's measurements of quality down, and says so where one failed."""

    def __init__(self, loop: Shows) -> None:
        self.loop = loop
        self._last_trouble = ""

    def report(self, report: quality.Report | None) -> None:
        """Write down a measurement that is complete; say so where one failed."""
        loop, trouble = self.loop, self.loop.measuring.trouble
        if trouble != self._last_trouble:
            self._last_trouble = trouble
            if trouble:
                loop.note(f"quality was not measured: {trouble}", "warning")
        if report is None:
            return
        name = f"samples/{report.step:06d}-quality.txt"
        loop.record.persist(partial(_written, name, quality.table(report).encode()))
        loop.emit(events.Quality(report=report), events.Sample(step=report.step, path=name, kind="quality"))

    def rest(self) -> None:
        """What is still to be measured when the run has finished; a stop ends it."""
        with contextlib.suppress(Cut):
            for report in self.loop.measuring.rest():
                self.report(report)
                self.loop.answer_requests()
                if self.loop.ending is not None:
                    break
        self.report(None)
        self.loop.measuring.drop("the run is being stopped")


def _written(name: str, data: bytes, run: Path) -> None:
    """Write a file of a run."""
    runs.write_atomic(run / name, data)
