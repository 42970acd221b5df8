"""Going back: a run whose loss broke, or whose curves tell of worse, goes on from its last good checkpoint.

With smaller learning rates, or past the batch that broke it. What it decides is one event of the log
(`events.Rollback`), from which a resume and a run of the same config do the same to the bit. A run that is well pays
nothing for it: what broke one is recomputed when it has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from tui_gen import checkpoints as files
from tui_gen import events, remedy, rollbacks, runs
from tui_gen.config import RunConfig
from tui_gen.control import Request
from tui_gen.quantities import count
from tui_gen.train.cutting import Cut, Stopped
from tui_gen.train.engine.devices import random_state_kept
from tui_gen.train.engine.trainer import Trainer
from tui_gen.train.quality.schedule import QualitySchedule
from tui_gen.train.run import checkpoints, continuing, holding, offences
from tui_gen.train.run.accounts import Accounts
from tui_gen.train.run.agenda import Agenda
from tui_gen.train.run.alerts import Health
from tui_gen.train.run.offences import Offence
from tui_gen.train.run.run_record import RunRecord

RECENT = 1000
"""Steps after which a warning is of the past: nobody who goes back means to undo so much for it."""


class GoesBack(Protocol):
    """What is gone back with: a `RunLoop`."""

    trainer: Trainer
    config: RunConfig
    record: RunRecord
    health: Health
    measuring: QualitySchedule
    agenda: Agenda
    accounts: Accounts
    edits: list[dict[str, Any]]

    @property
    def path(self) -> Path:
        """The run's folder."""

    def emit(self, *new: events.Event) -> None:
        """Append events to the log."""

    def note(self, text: str, level: str = "info") -> None:
        """A line for the log pane."""

    def elapsed(self) -> float:
        """Seconds of training so far."""

    def went_back(self, step: int, health: Health) -> None:
        """The trainer holds the checkpoint of an earlier step."""


class Rollbacks:
    """What one run's loop keeps of what broke it, and how it goes back."""

    def __init__(self, loop: GoesBack) -> None:
        self.loop = loop
        self.skips = sorted(loop.config.skips)
        """Steps, yet to be made, before which a batch is passed over; as often as they are named."""
        self.due = False
        """Whether the run is to go back before its next step."""
        self.over = False
        """Whether there is no next step: what is done now is the run's end."""
        self._skips_so_far: list[int] = []
        self._alert: events.Alert | None = None
        self._offence: Offence | None = None
        self._in_a_row = 0
        """Rollbacks that it made by itself since a person last did."""

    def resume(self, step: int) -> None:
        """Go on from a step with what the run's log says."""
        path = self.loop.path
        self.skips = [at for at in rollbacks.skips(path, self.loop.config.skips) if at >= step]
        self._in_a_row = 0
        for event in rollbacks.of(path):
            self._in_a_row = 0 if event.by_hand else self._in_a_row + 1
        self._alert = rollbacks.last_alert(path)

    # -- every step

    @property
    def ahead(self) -> int:
        """Batches that are passed over before the next step."""
        return sum(at <= self.loop.trainer.step for at in self.skips)

    def batch(self) -> tuple[Tensor, Tensor | None]:
        """The examples of the next step. Raises Cut, with nothing taken from the stream."""
        stream = self.loop.trainer.stream
        step = self.loop.trainer.step
        if not self.skips or self.skips[0] > step:
            return stream.next()
        number = self.ahead
        state = stream.state_dict()
        try:
            for _ in range(number):
                stream.next()
            batch = stream.next()
        except Cut:
            stream.load_state_dict(state)
            raise
        self._skips_so_far += self.skips[:number]
        del self.skips[:number]
        return batch

    # -- what broke it

    @property
    def good(self) -> list[int]:
        """Steps of checkpoints that must not be deleted: the last one from before the latest alert."""
        offence = self._offence if self._latest is not None else None
        return [] if offence is None or offence.checkpoint is None else [offence.checkpoint]

    @property
    def _latest(self) -> events.Alert | None:
        """The latest alert, unless it is a warning of long ago."""
        alert = self._alert
        if alert is None or (alert.level != "error" and self.loop.trainer.step - alert.step > RECENT):
            return None
        return alert

    def taken(self, alerts: list[events.Alert], columns: Sequence[events.Metrics]) -> list[events.Alert]:
        """These new alerts, with the batches of their steps in files of the run."""
        for alert in alerts:
            if alert.level == "error" or any(word in alert.what for word in ("spike", "collapse")):
                self._keep(alert, columns)
        return alerts

    def _keep(self, alert: events.Alert, columns: Sequence[events.Metrics]) -> None:
        trainer = self.loop.trainer
        self._alert, self._offence = alert, None
        step = min(alert.step, trainer.step - 1)  # what tells of weights after a step is about that step
        since = sum(step < at for at in self._skips_so_far)  # batches that were passed over between then and now
        position = trainer.stream.position - (trainer.step - step) - since
        if step < 0 or position < 0:
            return
        good = next((saved for saved in reversed(files.steps(self.loop.path)) if saved <= step), None)
        self._offence = offences.noticed(trainer, alert, step, position, good, columns)
        if self._write(self._offence):
            alert.kept = self._offence.name

    def _write(self, offence: Offence) -> bool:
        try:
            with self.loop.record.impatient():
                self.loop.record.persist(lambda path: offences.save(path, self.loop.trainer, offence))
            return True
        except Cut:
            return False
        except Exception as error:  # no room, or data that cannot be read: the alert itself is told
            self.loop.note(f"the batch after step {count(offence.step)} was not kept: {error}", "warning")
            return False

    def failed(self, why: str) -> None:
        """A loss, or weights, are no numbers: the run ends, goes back before its next step, or goes on, as the config
        says. Raises Stopped."""
        train = self.loop.config.train
        if train.on_nan == "stop":
            raise Stopped("failed", why)
        if train.on_nan == "rollback":
            if self._in_a_row >= train.rollbacks:
                often = "1 rollback" if self._in_a_row == 1 else f"{self._in_a_row} rollbacks"
                raise Stopped("failed", f"{why}, after {often} (train.rollbacks = {train.rollbacks})")
            self.due = True

    # -- going back

    def go(self) -> None:
        """Go back by itself, as the config wants it. Raises Stopped where there is nothing to go back to."""
        self.due = False
        why = self.loop.health.failure
        try:
            to = rollbacks.chosen(self.loop.path, None, self._offence.step if self._offence is not None else None)
        except runs.RunError as error:
            raise Stopped("failed", f"{why}; {error}") from None
        self._in_a_row += 1
        self._back(to, why=why, factor=None, skip=None, by_hand=False)

    def ask(self, request: Request) -> None:
        """Go back because somebody asks: `to` a step (the last good checkpoint), with learning rates times `rate`, past
        the batch of step `skip` (true: that of the latest alert). Without either, as the run itself would."""
        if self.over:
            request.refuse("the run has made its last step, and is about to end; ask again when it has")
            return
        to, factor, skip = (request.data.get(name) for name in ("to", "rate", "skip"))
        alert = self._latest
        if skip is True:
            if alert is None or self._offence is None:
                request.refuse("no alert names a batch to pass over; name the step after which it comes")
                return
            skip = self._offence.step
        if wrong := _wrong(to, factor, skip):
            request.refuse(f"rollback: {wrong}")
            return
        skip = None if skip is False else skip
        if skip is not None and skip >= self.loop.trainer.step:
            request.refuse(f"the step after {count(skip)} is not made yet")
            return
        try:
            before = min((step for step in (alert.step if alert else None, skip) if step is not None), default=None)
            to = rollbacks.chosen(self.loop.path, to, before)
        except runs.RunError as error:
            request.refuse(str(error))
            return
        if to > self.loop.trainer.step or (skip is not None and skip < to):
            what = "it is not there yet" if skip is None else f"the batch after step {count(skip)} came before that"
            request.refuse(f"rollback to step {count(to)}: {what}")
            return
        if factor is None and skip is None and alert is None:
            factor = remedy.HALF
        event = self._back(to, why=alert.what if alert else "on request", factor=factor, skip=skip, by_hand=True)
        self._in_a_row = 0
        request.answer(step=event.to, was=event.step, change=event.change)

    def _back(
        self, to: int, *, why: str, factor: float | None, skip: int | None, by_hand: bool
    ) -> events.Rollback:
        loop, trainer = self.loop, self.loop.trainer
        alert, step = self._latest, trainer.step
        offence = self._offence if alert is not None else None
        loop.measuring.went_back()
        checkpoint = checkpoints.load(files.directory(loop.path, to), averaged=trainer.average is not None)
        rates = {f"train.phases.{name}.lr": optim.lr for name, optim in trainer.optims.items()}
        if alert is not None and alert.rates:  # only the networks whose loss broke
            rates = {key: rate for key, rate in rates.items() if key in alert.rates}

        continuing.put_back(loop.path, trainer, checkpoint)
        if offence is not None:
            with random_state_kept(trainer.device, loop.config.preview.seed), contextlib.suppress(Cut):
                offence = offences.tried(trainer, offence)
            continuing.put_back(loop.path, trainer, checkpoint)
            self._write(offence)
        if factor is None and skip is None and alert is not None:
            if offence is not None and offence.breaks_good_weights and offence.step >= to:
                skip = offence.step  # no rate is to blame
            else:
                factor = remedy.factor(alert.step) if alert.rates else remedy.HALF
        factor = 1.0 if factor is None else factor
        event = rollbacks.decided(
            loop.path, loop.config.edits, loop.config.skips, step=step, to=to,
            rates={key: float(f"{rate * factor:.2g}") for key, rate in rates.items()} if factor != 1.0 else {},
            skipped=[] if skip is None else [skip], broke=rollbacks.broke(alert, to),
            factor=factor, by_hand=by_hand, reason=why, kept=offence.name if offence is not None else "",
        )  # fmt: skip
        self._settle(event)
        return event

    def _settle(self, event: events.Rollback) -> None:
        """Write it down, and have everything else in the loop begin anew at the step gone back to."""
        loop, trainer = self.loop, self.loop.trainer
        with loop.record.patiently():  # the trainer has gone back: the log must tell
            loop.record.persist(lambda path: files.set_aside(path, event.to, rollbacks.UNDONE))
            loop.emit(event)
        trainer.meter.flush()  # of steps that are made again
        loop.edits, self.skips = list(event.edits), list(event.skips)
        self._skips_so_far = [at for at in self._skips_so_far if at < event.to]
        self._alert = self._offence = None
        loop.went_back(event.to, Health(loop.config.train))
        loop.agenda.went_back(event.to, holding.now())
        loop.accounts.begin(event.to, loop.elapsed())


def _wrong(to: Any, factor: Any, skip: Any) -> str:
    """What is wrong with the words of a request."""
    for name, value in (("to", to), ("skip", skip)):
        if not (value is None or value is False or (type(value) is int and value >= 0)):
            return f"{name} must be a step"
    if not (factor is None or (isinstance(factor, float | int) and not isinstance(factor, bool) and 0 < factor <= 1)):
        return "rate must be a factor, 0 < rate ≤ 1"
    return ""
