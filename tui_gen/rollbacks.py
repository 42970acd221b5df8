"""Rollbacks of a run as its log tells them, and going back with a run that nobody trains. Needs no PyTorch.

A rollback states all that is ahead of the run (see `events.Rollback`): whoever goes on with it, or trains its config
again, makes the same edits and passes over the same batches, and has the same bits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from tui_gen import checkpoints, edits, events, remedy, runs
from tui_gen.config import RunConfig
from tui_gen.log import event_log
from tui_gen.quantities import count

UNDONE = "undone"
"""How folders of checkpoints begin that a rollback left behind."""


def of(path: Path) -> list[events.Rollback]:
    """Every rollback in a run's log, oldest first."""
    return [event for event in event_log.read(path / runs.LOG, events.Rollback) if isinstance(event, events.Rollback)]


def words(event: events.Rollback) -> str:
    """`went back from step 90 to 40 (the loss is not finite): learning rates × 0.5`."""
    why = f" ({event.reason})" if event.reason else ""
    return f"went back from step {count(event.step)} to {count(event.to)}{why}: {event.change or 'as it was'}"


def planned(path: Path, plan: Any) -> Any:
    """All edits of a run, made and still to be made, by step: what its config plans, and what its log tells.

    A plan that is none (it was written by hand) is given back as it is.
    """
    return edits.merged(standing(plan, of(path)), runs.edits_of(path))


def standing(plan: Any, past: Sequence[events.Rollback]) -> Any:
    """Of a config's edits those that the rollbacks since have not taken into account."""
    return edits.without(plan, past[-1].plan) if past else plan


def skips(path: Path, plan: list[int]) -> list[int]:
    """The steps before which a batch is passed over, rising, as often as they are named: the config's and those of
    rollbacks."""
    return skips_after(of(path), plan)


def skips_after(past: Sequence[events.Rollback], plan: list[int]) -> list[int]:
    """The same, told the rollbacks."""
    result = list(plan)
    for event in past:
        result = [step for step in result if step < event.to] + event.skips
    return sorted(result)


def decided(
    path: Path, plan: edits.Edits, skip_plan: list[int], *, step: int, to: int, rates: Mapping[str, float],
    skipped: list[int], broke: int | None = None, **more: Any,
) -> events.Rollback:
    """The rollback of a run at `step` to its checkpoint of step `to`, with these new learning rates, passing over the
    batches of these steps. Edits of these rates that led to what broke at a step (up to `step`, where nothing is said
    to have) are not gone back to.
    """  # fmt: skip
    last = step if broke is None else broke  # when that was noticed depends on the clock, what comes of it must not
    ahead = [edit for edit in planned(path, plan) if edit["step"] >= to]
    ahead = [edit for edit in ahead if not (edit["key"] in rates and edit["step"] <= last)]
    ahead = [{"step": to, "key": key, "value": value} for key, value in rates.items()] + ahead
    steps = sorted([at for at in skips(path, skip_plan) if at >= to] + skipped)
    return events.Rollback(
        step=step, to=to, rates=dict(rates), skipped=skipped, edits=sorted(ahead, key=lambda edit: edit["step"]),
        skips=steps, plan=list(plan), **more,
    )  # fmt: skip


def last_alert(path: Path) -> events.Alert | None:
    """The newest alert that names a batch in what a resume would do again or has done; None where there is none."""
    alerts: list[events.Alert] = []
    for event in event_log.read(path / runs.LOG, *events.AGAIN, events.Alert):
        if isinstance(event, events.AGAIN):
            alerts = [alert for alert in alerts if alert.step < event.start]
        elif isinstance(event, events.Alert):
            alerts.append(event)
    return alerts[-1] if alerts else None


def chosen(path: Path, to: int | None, before: int | None) -> int:
    """The step of the sound checkpoint to go back to: the one named, else the newest up to step `before`.

    Raises RunError where there is none.
    """
    sound = [row.step for row in checkpoints.sound(path) if row.meta is not None]
    if to is not None:
        if to in sound:
            return to
        have = ", ".join(map(count, sorted(sound))) or "none"
        words = f"has no checkpoint of step {count(to)} that can be used; there are: {have}"
        raise runs.RunError(f"{path.name} {words}")
    step = next((step for step in sound if before is None or step <= before), None)
    if step is None:
        words = f" from before step {count(before)}" if before is not None and sound else ""
        raise runs.RunError(f"{path.name} has no checkpoint to go back to{words}")
    return step


def broke(alert: events.Alert | None, to: int) -> int | None:
    """The step at which a loss broke in what is done again; None where none did."""
    return alert.step if alert is not None and alert.rates and alert.step >= to else None


def rates_of(path: Path, config: RunConfig) -> dict[str, float]:
    """The learning rates of an ended run at its end, by their keys; of one whose loss broke, those that led to it."""
    alert = last_alert(path)
    if alert is not None and alert.rates:
        return dict(alert.rates)
    rates = {f"train.phases.{name}.lr": optim.lr for name, optim in config.train.phases.items()}
    step = runs.state_of(path)[1]
    rate_edits = [edit for edit in planned(path, config.edits) if edit["step"] < step and edit["key"] in rates]
    return rates | {edit["key"]: float(edit["value"]) for edit in rate_edits}


def batch_of(alert: events.Alert | None) -> int | None:
    """The step whose batch an alert kept; None where it did not."""
    name = PurePosixPath(alert.kept).stem if alert is not None else ""
    return int(name) if name.isdecimal() and len(name) < 19 else None


def go_back(
    path: Path, config: RunConfig, *, to: int | None = None, factor: float | None = None, skip: int | bool | None = None
) -> events.Rollback:
    """Have a run that nobody trains (it is held by the caller) go on from an earlier checkpoint, at its next resume.

    `to` is the checkpoint's step (the newest from before the latest alert), `factor` multiplies the learning rates,
    `skip` is the step whose batch is passed over (true: that of the latest alert). Without either, rates are made
    smaller. Raises RunError, with the run left as it was.
    """
    state, step, _ = runs.state_of(path)
    step, alert = max(step, 0), last_alert(path)
    if skip is True:
        skip = batch_of(alert)
        if skip is None:
            raise runs.RunError("no alert names a batch to pass over; name the step after which it comes: --skip STEP")
    skip = None if skip is False else skip
    before = [at for at in (alert.step if alert is not None else None, skip) if at is not None]
    to = chosen(path, to, min(before, default=None))
    if state == "finished" and to >= step:
        words = f"has finished at step {count(step)}, and its checkpoint there has nothing left to do again"
        raise runs.RunError(f"{path.name} {words}; name an earlier one (tui-gen rollback RUN --to STEP)")
    if skip is not None and not to <= skip < max(step, 1):
        words = "does not come between the checkpoint and the run's end"
        raise runs.RunError(f"the batch after step {count(skip)} {words}")
    if factor is None and skip is None:
        factor = remedy.factor(alert.step) if alert is not None and alert.rates else remedy.HALF
    rates = rates_of(path, config) if factor not in (None, 1.0) else {}
    rollback = decided(
        path, config.edits, config.skips, step=max(step, to), to=to, broke=broke(alert, to),
        rates={key: float(f"{rate * (factor or 1.0):.2g}") for key, rate in rates.items()},
        skipped=[] if skip is None else [skip], factor=factor or 1.0, by_hand=True,
        reason=alert.what if alert is not None else "on request", kept=alert.kept if alert is not None else "",
    )  # fmt: skip
    try:
        with contextlib.closing(event_log.EventWriter(path / runs.LOG)) as writer:
            checkpoints.set_aside(path, to, UNDONE)
            # It may have finished: now it has not.
            if not writer.write(rollback, events.State("stopped", to, "rolled back")):
                raise writer.error or OSError("it cannot be written")
    except OSError as error:
        raise runs.RunError(f"cannot write in {path}: {error.strerror or error}") from None
    return rollback
