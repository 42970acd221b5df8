"""What a training worker does when asked: pause, resume, stop, checkpoint, sample, quality, edit, rollback, yield, …"""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tui_gen import config as configs
from tui_gen import params
from tui_gen.config import RunConfig
from tui_gen.control import Request
from tui_gen.log.event_log import EventWriter
from tui_gen.params import Param
from tui_gen.train.cutting import Stopped
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.quality.schedule import QualitySchedule
from tui_gen.train.run.rolling_back import Rollbacks
from tui_gen.train.run.yielding import Yielding

NEED_ROOM = ("checkpoint", "sample", "edit", "pause", "resume", "quality", "rollback", "yield")
"""Requests that write: a run which cannot refuses them."""


class Run(Protocol):
    """What a request can have a run do, and see of it: a `RunLoop`."""

    trainer: Trainer
    writer: EventWriter
    config: RunConfig
    settings: dict[str, Param]
    measuring: QualitySchedule
    rollbacks: Rollbacks
    yielding: Yielding
    state: str
    paused: bool
    hurry: bool
    ending: Stopped | None

    @property
    def trouble(self) -> str:
        """Why it waits, in words; empty while it does not."""

    def elapsed(self) -> float:
        """Seconds of training so far."""

    def checkpoint(self, reason: str) -> Path | None:
        """Write a checkpoint; its folder, or None where there can be none."""

    def preview(self) -> str:
        """Draw samples; the path of the first, relative to the run."""

    def note(self, text: str, level: str = "info") -> None:
        """A line for the log pane."""

    def apply_edit(self, key: str, value: Any, by_hand: bool = False) -> dict[str, Any]:
        """Make a checked live edit; what came of it."""


def status(loop: Run) -> dict[str, Any]:
    """State, step, trouble: safe to ask from any thread."""
    return {"state": loop.state, "step": loop.trainer.step, "trouble": loop.trouble, "seconds": loop.elapsed()}


def stops_first(inbox: queue.SimpleQueue[Request], answer: Callable[[Request], None]) -> None:
    """Answer those among the requests that ask for the end; the others are left as they are, in their order."""
    later = []
    while not inbox.empty():
        request = inbox.get()
        if request.op == "stop":
            answer(request)
        else:
            later.append(request)
    for request in later:
        inbox.put(request)


def answer(loop: Run, request: Request) -> None:
    """Do what a request asks, in the training thread, and reply with the step at which it took effect.

    What it raises is told to whoever asked, and ends nothing; except for Stopped and Gone, which end the run.
    """
    step = loop.trainer.step
    if loop.trouble and request.op in NEED_ROOM:
        request.refuse(loop.trouble)
        return
    if loop.yielding.refuses(request):
        return
    if by := request.data.get("by"):
        loop.note(f"{request.op} is asked for from {by}, by request file")
    match request.op:
        case "pause":
            loop.paused = True
            request.answer(step=step)
        case "resume":
            if loop.yielding.back(request):
                loop.paused = False
                request.answer(step=step)
        case "yield" if loop.trainer.ranks.count > 1:
            request.refuse("a run of several processes keeps its devices; stop it, and --resume goes on with it")
        case "yield":
            loop.yielding.ask(request)
        case "stop":
            _stop(loop, request)
        case "checkpoint":
            path = loop.checkpoint("asked for")
            if path is None:
                request.refuse("no checkpoint is made: the weights are not finite (NaN or infinite)")
            else:
                request.answer(step=step, path=f"checkpoints/{path.name}")
        case "sample":
            request.answer(step=step, path=loop.preview())
        case "quality":
            loop.measuring.ask(request)  # answered when it is measured: training goes on meanwhile
        case "rollback":
            loop.rollbacks.ask(request)
        case "edit":
            _edit(loop, request)
        case _:
            request.refuse(f"this worker does not know the request {request.op!r}")


def _edit(loop: Run, request: Request) -> None:
    """Change one setting (`key`, `value`), or those in the list `edits` at one step: all of them, or none.

    One in a list may have, instead of its value, a `text` as `--set` takes it.
    """
    several = request.data.get("edits")
    checked, problems = [], []
    for edit in [request.data] if several is None else several:
        key, value = str(edit.get("key", "")), edit.get("value")
        if "text" in edit and (param := loop.settings.get(key)) is not None:
            value = params.parse(param, str(edit["text"]))
        value, wrong = configs.check_edit(key, value, loop.settings)
        if wrong := wrong or loop.trainer.refusal(key, value):
            problems.append(f"{key}: {wrong}")
        checked.append((key, value))
    if problems:
        request.refuse("\n".join(problems))
        return
    answers = [{"key": key, **loop.apply_edit(key, value, by_hand=True)} for key, value in checked]
    if several is None:
        request.answer(**answers[0])
    else:
        request.answer(step=loop.trainer.step, edits=answers)


def _stop(loop: Run, request: Request) -> None:
    keep, loop.hurry = request.keeps, False
    if keep is None:
        request.refuse("stop: checkpoint must be true or false")
        return
    if keep and loop.trouble and loop.state != "starting":
        # The run waits for something, perhaps for a picture only: the checkpoint may well be written.
        try:
            written = loop.writer.flush() and bool(loop.checkpoint("stopped"))
        except OSError:
            written = False
        if not written:
            request.refuse(f"{loop.trouble}. Make room, or stop without a checkpoint")
            return
    words = request.why if keep else "without a checkpoint, as asked"
    loop.ending = Stopped("stopped", words)
    request.answer(step=loop.trainer.step)
