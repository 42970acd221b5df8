"""What broke a run, kept to be looked at: the batch of the step and its places in the data, norms, metrics.

`offences/000123.safetensors` in the run: `x`, `labels` where there are any, and `indices`; its metadata (`offence`) is
JSON with the alert, the last good checkpoint and the numbers. Found by recomputing: a run that is well keeps nothing.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from tui_gen import events
from tui_gen.files import written_aside
from tui_gen.model import Batch
from tui_gen.train.engine import accumulating
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.tensor_file import save_tensors

FOLDER = "offences"
MOST = 8
"""Files that are kept of a run; of more the oldest go."""


class Offence(msgspec.Struct):
    """An alert of a step, and the place of that step's batch in the data's stream.

    `checkpoint` is the step of the last good one, None where there is none. `weights` has the norm of every parameter
    when it was noticed, after `noticed` steps; `metrics` those of the step. What the batch does to the weights of the
    checkpoint is told once the run goes back to it: `loss` (by phase), `gradients` (norms by parameter).
    """

    step: int
    what: str
    where: str
    position: int
    checkpoint: int | None
    noticed: int
    weights: dict[str, float | None]
    metrics: dict[str, float | None]
    loss: dict[str, float | None] = {}
    gradients: dict[str, float | None] = {}

    @property
    def name(self) -> str:
        """Its file, relative to the run."""
        return f"{FOLDER}/{self.step:06d}.safetensors"

    @property
    def breaks_good_weights(self) -> bool:
        """Whether the batch gives a loss, or gradients, that are no numbers with the checkpoint's weights, too: then it
        is the batch that is at fault, and no rate."""
        return any(value is None for value in (*self.loss.values(), *self.gradients.values()))


def noticed(
    trainer: Trainer, alert: events.Alert, step: int, position: int, checkpoint: int | None,
    columns: Sequence[events.Metrics],
) -> Offence:  # fmt: skip
    """The offence of a step as it is now. Waits for the device."""
    values: dict[str, float | None] = {}
    for event in columns:
        place, off = divmod(step - event.start, event.stride)
        for name, column in event.values.items():
            if not off and 0 <= place < len(column):
                values[name] = _number(column[place])
    return Offence(step, alert.what, alert.where, position, checkpoint, trainer.step, norms(trainer), values)


@torch.no_grad()
def norms(trainer: Trainer) -> dict[str, float | None]:
    """The Euclidean norm of every parameter of the model; None where it is no number."""
    names = [name for name, _ in trainer.model.named_parameters()]
    found = [parameter.float().norm() for _, parameter in trainer.model.named_parameters()]
    return dict(zip(names, map(_number, torch.stack(found).tolist()))) if found else {}


def tried(trainer: Trainer, offence: Offence) -> Offence:
    """What the batch does to the weights as they are: losses and gradients of every phase. Draws random numbers, and
    may change buffers: the trainer is to be restored after it."""
    x, labels, _ = trainer.stream.at(offence.position)
    if x.dim() == 4 and x.shape[1] > 1:
        x = x.contiguous(memory_format=torch.channels_last)
    parts = accumulating.split(Batch(x, labels, offence.step), trainer.config.train.accumulate)
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    scale = trainer.scaler.get_scale() if trainer.scaler is not None else 1.0
    loss: dict[str, float | None] = {}
    gradients: dict[str, float | None] = {}
    for phase, compute in trainer.compute.items():
        _, row, found = compute(parts[0]) if len(parts) == 1 else accumulating.summed(compute, parts)
        loss[phase] = _number(float(row[0]))
        for parameter, gradient in zip(trainer.parameters[phase], found, strict=True):
            if gradient is not None:
                name = names.get(id(parameter), "") or f"{phase} parameter {len(gradients)}"
                gradients[name] = _number(float(gradient.detach().float().norm()) / scale)
    return msgspec.structs.replace(offence, loss=loss, gradients=gradients)


def save(run: Path, trainer: Trainer, offence: Offence) -> None:
    """Write an offence's file, in place of one of the same step. Raises OSError."""
    x, labels, indices = trainer.stream.at(offence.position)
    tensors: dict[str, Tensor] = {"x": x, "indices": indices, **({} if labels is None else {"labels": labels})}
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    folder = run / FOLDER
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
    with written_aside(run / offence.name) as aside:
        save_tensors(on_cpu, aside, {"offence": msgspec.json.encode(offence).decode()})
    files = sorted(folder.glob("[0-9]*.safetensors"), key=lambda path: path.stat().st_mtime)
    for path in files[:-MOST]:
        with contextlib.suppress(OSError):
            path.unlink()


def _number(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
