"""How a run computes: chosen when it begins, written into its checkpoints, and kept, as the bits of its sums depend on
it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tui_gen import tuned
from tui_gen.checkpoints import Meta
from tui_gen.train.engine import compile_choice, compiling
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.run.probing import Probing
from tui_gen.train.tuned import products
from tui_gen.train.tuned.company import Company
from tui_gen.train.tuned.fused_adam import FusedAdam

NAMES = ("compiled", "tensors", "tuned", "products", "flushes")


class Computing:
    """How one run computes; what it is of NAMES is what `Meta` has of those names.

    For a new one in a folder it is found out beside it what later ones may gain.
    """

    def __init__(self, run: Path | None = None) -> None:
        self.compiled, self.tensors, self.tuned = False, True, tuned.wished()
        self.products, self.flushes = products.PLAIN, tuned.wished()
        self._new = True
        self._company: Company | None = None
        self._probing = None if run is None else Probing(run)

    def resume(self, meta: Meta) -> None:
        """Compute as the run has so far."""
        self.take({name: getattr(meta, name) for name in NAMES})

    def take(self, state: Mapping[str, Any]) -> None:
        """Compute as another does, by its `state`."""
        for name in NAMES:
            setattr(self, name, state[name])
        self._new = False

    def state(self) -> dict[str, Any]:
        """What a checkpoint says of it."""
        return {name: getattr(self, name) for name in NAMES}

    def prepare(self, trainer: Trainer, note: Callable[[str], None]) -> None:
        """Have a trainer compute so; a new run chooses first."""
        tuned.use(self.tuned)
        if self.tuned != tuned.wished():
            words = "with" if self.tuned else "without"
            note(f"this run began {words} hand-made speed (TUI_GEN_TUNED), and keeps to it for the same bits")
        if self._new:
            self.products, gain = products.choose(trainer.model, _rows(trainer), trainer.device, trainer.precision)
            if self.products == products.ONEDNN:
                note(f"matrix products by oneDNN: {gain:.1f} × as fast as MKL's here")
        for model in (trainer.model, trainer.average):
            if model is not None and not products.use(model, self.products):
                note("matrix products were oneDNN's, which is not available here: sums round otherwise from now on")
        for optimizer in trainer.optimizers.values():
            if isinstance(optimizer, FusedAdam):
                optimizer.flushes = self.flushes
        if self._new:
            beside = None if self._probing is None else partial(self._probing.ask, self.products, note)
            self.compiled = compile_choice.decide(trainer, note, beside)
        if self.compiled:
            compiling.apply(trainer, note, self.tensors, self.products)
        self._company = Company(trainer.device)

    def look(self, now: float) -> None:
        """See whether others want the same cores, and what is found out beside; `now` is the seconds of a clock."""
        if self._company is not None:
            self._company.look(now)
        if self._probing is not None:
            self._probing.look(now)

    def close(self) -> None:
        """The run is over."""
        if self._probing is not None:
            self._probing.close()
        if self._company is not None:
            self._company.close()


def _rows(trainer: Trainer) -> int:
    """The rows that a linear layer of this process is given in a step, or in a part of one."""
    rows = len(trainer.stream.rows) // trainer.config.train.accumulate
    return rows * trainer.data.spec.shape[0] if trainer.data.spec.kind == "text" else rows
