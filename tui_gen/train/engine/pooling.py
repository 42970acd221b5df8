"""Whether the processes of a run keep one copy of what they train (`tui_gen.train.tuned.one_copy`), and since when."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import nn

from tui_gen import tuned
from tui_gen.model import Model, Phase
from tui_gen.train.engine.building import ours
from tui_gen.train.engine.ranks import Ranks
from tui_gen.train.tuned import blocks, handed_rows, layout, one_copy, one_host
from tui_gen.train.tuned.fused_adam import FusedAdam
from tui_gen.train.tuned.layout import Handed
from tui_gen.train.tuned.one_copy import OneCopy


class Pools(Protocol):
    """What it must know of a trainer."""

    model: Model
    average: Model | None
    phases: list[Phase]
    parameters: dict[str, list[nn.Parameter]]
    optimizers: dict[str, torch.optim.Optimizer]
    scaler: torch.amp.GradScaler | None
    in_order: bool
    hands_rows: bool
    in_blocks: bool

    def pair_up(self) -> None:
        """Line up the averaged weights anew: they have other memory."""


class Pool:
    """One process's side of it. `copy` is None until all have made a step, and where it cannot be."""

    def __init__(self, trainer: Pools, ranks: Ranks, examples: int) -> None:
        self.trainer, self.ranks, self.examples = trainer, ranks, examples
        self.copy: OneCopy | None = None
        self._possible: bool | None = None

    def begin(self) -> None:
        """Before a step, of all processes."""
        if self._possible is None:
            self._possible = self._agreed()
        if not self._possible:
            return
        if self.copy is None:
            self._enter()
        elif not self.copy.complete:
            self.copy.move_in()
            self.trainer.pair_up()

    def _agreed(self) -> bool:
        ranks = self.ranks
        if ranks.host is None or not tuned.on():  # the same on all
            return False
        return one_host.all_agree(ranks, self._fits() and one_copy.works())

    def _fits(self) -> bool:
        """Whether this trains by Adam alone, on the CPU, weights that nothing but its update writes to.

        What a phase of somebody's own does before or after that may write to them, and every process would do so to the
        one copy. Ours may: they cut weights off, or set some, which is the same when all do it.
        """
        trainer = self.trainer
        parameters = [parameter for some in trainer.parameters.values() for parameter in some]
        besides = any(phase.before or phase.after or phase.finish for phase in trainer.phases)
        return (
            trainer.scaler is None
            and trainer.in_order
            and (ours(trainer.model) or not besides)
            and all(isinstance(optimizer, FusedAdam) for optimizer in trainer.optimizers.values())
            and len({id(parameter) for parameter in parameters}) == len(parameters)
            and one_copy.fits(parameters)
        )

    def _enter(self) -> None:
        trainer = self.trainer
        phases = {
            name: (optimizer, trainer.parameters[name])
            for name, optimizer in trainer.optimizers.items()
            if isinstance(optimizer, FusedAdam)
        }
        if any(len(optimizer.state) < len(parameters) for optimizer, parameters in phases.values()):
            return  # Adam has made no step of some yet
        moments = [
            state[key] for optimizer, _ in phases.values() for state in optimizer.state.values()
            for key in ("exp_avg", "exp_avg_sq")
        ]  # fmt: skip
        averaged = [] if trainer.average is None else list(
            zip(trainer.average.parameters(), trainer.model.parameters(), strict=True)
        )  # fmt: skip
        handed = self._handed()
        copy, host = OneCopy(self.ranks, phases, averaged, handed), self.ranks.host
        assert host is not None
        if not one_host.all_agree(self.ranks, one_copy.fits([*moments, *(average for average, _ in averaged)])):
            self._possible = False
            return
        memory = one_host.more_memory(self.ranks, host, copy.size)
        if memory is None:
            self._possible = False
            return
        counters = None
        if trainer.in_blocks and copy.wide and trainer.average is None and self.ranks.count == blocks.PROCESSES:
            counters = one_host.more_counters(self.ranks, host, copy.wide)
        copy.enter(memory, counters or ())
        self.copy = copy
        trainer.pair_up()

    def _handed(self) -> Handed:
        """The weights for which rows are handed over. In runs begun before that was so there are none."""
        trainer, ranks = self.trainer, self.ranks
        if not (trainer.hands_rows and ours(trainer.model) and one_host.all_agree(ranks, handed_rows.works())):
            return layout.NONE
        layers = handed_rows.layers(trainer.model, self.examples, layout.LARGE)
        handed_rows.use(layers)
        own = ranks.share(self.examples)
        return Handed(frozenset(id(layer.weight) for layer in layers), self.examples, slice(own.start, own.stop))
