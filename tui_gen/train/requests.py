"""What a training worker does when asked: pause, resume, stop, checkpoint, sample, quality, edit, status, …"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tui_gen import config as configs
from tui_gen.control import Request
from tui_gen.train.data import denormalise
from tui_gen.train.trainer import random_state_kept

if TYPE_CHECKING:
    from tui_gen.train.loop import RunLoop


def status(loop: RunLoop) -> dict[str, Any]:
    """State, step, trouble: safe to ask from any thread."""
    return {"state": loop.state, "step": loop.trainer.step, "trouble": loop.trouble, "seconds": loop.elapsed()}


def answer(loop: RunLoop, request: Request) -> None:
    """Do what a request asks, in the training thread, and reply with the step at which it took effect."""
    from tui_gen.train.loop import Stopped

    step = loop.trainer.step
    if loop.trouble and request.op in ("checkpoint", "sample", "edit", "pause", "resume", "quality"):
        request.refuse(loop.trouble)
        return
    match request.op:
        case "pause":
            loop.paused = True
            request.answer(step=step)
        case "resume":
            loop.paused = False
            request.answer(step=step)
        case "stop":
            keep = bool(request.data.get("checkpoint", True))
            if keep and loop.trouble:
                request.refuse(f"{loop.trouble}. Make room, or stop without a checkpoint")
                return
            loop.ending = Stopped("stopped", "asked to" if keep else "without a checkpoint, as asked")
            request.answer(step=step)
        case "checkpoint":
            path = loop.checkpoint("asked for")
            request.answer(step=step, path=str(path.relative_to(loop.path)))
        case "sample":
            request.answer(step=step, path=loop.preview())
        case "quality":
            loop.measuring.ask(request)  # answered when it is measured: training goes on meanwhile
        case "edit":
            key = str(request.data.get("key", ""))
            value, wrong = configs.check_edit(key, request.data.get("value"), loop.known)
            wrong = wrong or loop.trainer.refusal(key, value)
            if wrong:
                request.refuse(f"{key}: {wrong}")
            else:
                request.answer(**loop.apply_edit(key, value, by_hand=True))
        case "decode" | "encode":
            try:
                _latent(loop, request)
            except (ValueError, RuntimeError) as error:
                request.refuse(f"{request.op}: {error}")
        case _:
            request.refuse(f"this worker does not know the request {request.op!r}")


def _latent(loop: RunLoop, request: Request) -> None:
    """decode: float32 codes (N, *latent_shape) → uint8 images; encode: uint8 images → float32 codes."""
    model = loop.trainer.eval_model
    if not hasattr(model, request.op):
        request.refuse(f"{model.name} cannot {request.op}")
        return
    raw = np.frombuffer(request.blob, np.float32 if request.op == "decode" else np.uint8)
    shape = model.latent_shape if request.op == "decode" else loop.trainer.data.spec.shape
    given = torch.from_numpy(raw.copy()).reshape(-1, *shape).to(loop.trainer.device)
    labels = request.data.get("labels")
    labels = torch.tensor(labels, device=loop.trainer.device) if labels else None
    if model.conditional and labels is None:
        labels = torch.zeros(len(given), dtype=torch.int64, device=loop.trainer.device)
    was = model.training
    model.eval()
    try:
        with torch.no_grad(), random_state_kept(loop.trainer.device, loop.config.preview.seed):
            if request.op == "decode":
                out = model.decode(given, labels)
                points = loop.trainer.data.spec.kind == "points"
                out = out.float() if points else denormalise(out, model.pixels)
            else:
                from tui_gen.train.data import normalise

                out = model.encode(normalise(given, model.pixels), labels).float()
    finally:
        model.train(was)
    out = out.cpu().contiguous().numpy()
    request.answer(out.tobytes(), shape=list(out.shape), dtype=str(out.dtype), step=loop.trainer.step)
