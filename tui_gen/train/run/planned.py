"""What a run is going to do, for its readers."""

from __future__ import annotations

import torch

from tui_gen import events
from tui_gen.train.engine.trainer import Trainer


def plan_of(trainer: Trainer, compiled: bool) -> events.Plan:
    """The plan of a session that is about to train."""
    train = trainer.config.train
    return events.Plan(
        steps=trainer.total,
        steps_per_epoch=trainer.stream.steps_per_epoch,
        batch_size=train.batch_size,
        accumulate=train.accumulate,
        minutes=train.minutes or None,
        device=device_of_all(trainer.device_name, trainer.ranks.count),
        parameters=trainer.model.parameter_count(),
        phases=[phase.name for phase in trainer.phases],
        compiled=compiled,
        threads=torch.get_num_threads() if trainer.device.type == "cpu" else 0,
        judged=list(trainer.model.judged),
        processes=trainer.ranks.count,
        together=list(map(list, trainer.model.together)),
    )


def device_of_all(name: str, processes: int) -> str:
    """The devices of all processes of a run, where each has one like this: `cpu (2 processes × 1 thread)`."""
    if processes == 1:
        return name
    if name.endswith(")") and name.startswith("cpu ("):
        return name.replace("(", f"({processes} processes × ", 1)
    return f"{name} × {processes} processes"
