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
        device=trainer.device_name,
        parameters=trainer.model.parameter_count(),
        phases=[phase.name for phase in trainer.phases],
        compiled=compiled,
        threads=torch.get_num_threads() if trainer.device.type == "cpu" else 0,
        judged=list(trainer.model.judged),
        together=list(map(list, trainer.model.together)),
    )
