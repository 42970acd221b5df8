"""What a training worker does when asked: pause, resume, stop, checkpoint, sample, quality, edit, rollback, yield, …"""

from __future__ import annotations

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from tui_gen import config as configs
from tui_gen import params
from tui_gen.config import RunConfig
from tui_gen.control import Request
from tui_gen.event_log import EventWriter
from tui_gen.params import Param
from tui_gen.train.cutting import Stopped
from tui_gen.train.data import denormalise, normalise
from tui_gen.train.engine.devices import evaluating
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.quality.schedule import QualitySchedule
from tui_gen.train.run.rolling_back import Rollbacks
from tui_gen.train.run.yielding import Yielding

NEED_ROOM = ("checkpoint", "sample", "edit", "pause", "resume", "quality", "rollback", "yield")
"""Requests that write: a run which cannot refuses them."""
MOST = 4096
"""Examples that one request may ask to decode or encode."""


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
        case "decode" | "encode":
            _latent(loop, request)
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


def _latent(loop: Run, request: Request) -> None:
    """decode: float32 codes (N, *latent_shape) → uint8 images; encode: uint8 images → float32 codes."""
    model, spec = loop.trainer.eval_model, loop.trainer.data.spec
    if not hasattr(model, request.op):
        request.refuse(f"{model.name} cannot {request.op}")
        return
    try:
        example, labels = _given(loop, request)
    except (ValueError, TypeError, OverflowError) as error:
        request.refuse(f"{request.op}: {error}")
        return
    with evaluating(model, loop.trainer.device, loop.config.preview.seed):
        if request.op == "decode":
            out = model.decode(example, labels)
            out = out.float() if spec.kind == "points" else denormalise(out, model.value_range)
        else:
            out = model.encode(normalise(example, model.value_range), labels).float()
    array = out.cpu().contiguous().numpy()
    request.answer(array.tobytes(), shape=list(array.shape), dtype=str(array.dtype), step=loop.trainer.step)


def _given(loop: Run, request: Request) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What is to be decoded or encoded, on the device, and its labels. Raises ValueError where it makes no sense.

    On a GPU a number out of its range would end the process, not raise.
    """
    model, spec = loop.trainer.eval_model, loop.trainer.data.spec
    kinds = {"points": np.float32, "text": np.int64}
    kind = np.float32 if request.op == "decode" else kinds.get(spec.kind, np.uint8)
    shape = model.latent_shape if request.op == "decode" else spec.shape
    size = np.dtype(kind).itemsize * int(np.prod(shape))
    count, rest = divmod(len(request.blob), size)
    if rest or not 0 < count <= MOST:
        raise ValueError(
            f"{len(request.blob)} bytes came; {np.dtype(kind).name} numbers of shape (N, {', '.join(map(str, shape))}) "
            f"are expected, N ≤ {MOST}"
        )
    raw = np.frombuffer(request.blob, kind)
    if kind is np.int64 and not ((raw >= 0) & (raw < len(spec.classes))).all():
        raise ValueError(f"a text has the numbers of its characters, 0 ≤ n < {len(spec.classes)}")
    labels = request.data.get("labels") or ([0] * count if model.conditional else None)
    if labels is not None:
        right = isinstance(labels, list) and len(labels) == count
        if not right or not all(type(label) is int and 0 <= label < len(spec.classes) for label in labels):
            raise ValueError(f"labels must be a list of {count} numbers of classes, 0 ≤ n < {len(spec.classes)}")
        labels = torch.tensor(labels, dtype=torch.int64, device=loop.trainer.device)
    return torch.from_numpy(raw.copy()).reshape(-1, *shape).to(loop.trainer.device), labels
