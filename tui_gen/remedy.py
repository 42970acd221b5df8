"""After a loss that was no number: the smaller learning rates to resume with. The one place that decides them.

The worker writes the rates in force into its alert; whoever shows the run, or resumes it, gets the same advice here.
Needs no PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tui_gen import events
from tui_gen.log import event_log
from tui_gen.params import show

EARLY = 100
"""A loss that breaks within so many steps had a rate of another order of magnitude: a tenth. Later, half."""
HALF = 0.5
"""What learning rates are multiplied by in a run that is gone back with, where nobody and no broken loss says more."""
AT_ONCE = "No update was made before, so no learning rate is to blame: look at the data, or train in float32."


class Remedy(msgspec.Struct, frozen=True):
    """What to resume with. `step` is where the first loss was no number; `was` and `now` map keys to rates."""

    step: int
    was: dict[str, float]
    now: dict[str, float]

    @property
    def assignments(self) -> list[str]:
        """As the command line takes them: `train.phases.vae.lr=0.005`."""
        return [f"{key}={show(value)}" for key, value in self.now.items()]

    @property
    def options(self) -> str:
        """The same as options of `tui-gen --resume RUN`."""
        return " ".join(f"--set {assignment}" for assignment in self.assignments)

    @property
    def words(self) -> str:
        """`train.phases.vae.lr = 0.005 (it was 0.01)`, for all of them."""
        return ", ".join(f"{key} = {show(value)} (it was {show(self.was[key])})" for key, value in self.now.items())


def smaller(rates: Mapping[str, float], step: int) -> Remedy:
    """The rates to try where these led to a loss that was no number at `step`."""
    return Remedy(step, dict(rates), {key: float(f"{rate * factor(step):.2g}") for key, rate in rates.items()})


def factor(step: int) -> float:
    """What learning rates are multiplied by that led to a loss which was no number at `step`."""
    return 0.1 if step < EARLY else 0.5


def advice(rates: Mapping[str, float], step: int, stops: bool) -> str:
    """What the alert says: `stops` where the run ends by it."""
    if not rates:
        return AT_ONCE
    words = f"esume with a smaller learning rate: {smaller(rates, step).words}."
    return f"R{words}" if stops else f"If it does not go away, stop the run and r{words}"


def find(alerts: Sequence[events.Alert], checkpoints: Sequence[events.Checkpoint]) -> Remedy | None:
    """The remedy for a run that has ended; None where nothing broke in what a resume would do again."""
    last_step = checkpoints[-1].step if checkpoints else 0
    first = next((alert for alert in alerts if alert.rates and alert.step >= last_step), None)
    return msgspec.structs.replace(smaller(first.rates, first.step), step=first.at) if first is not None else None


def read(run: Path) -> Remedy | None:
    """The same from a run's log."""
    alerts: list[events.Alert] = []
    checkpoints: list[events.Checkpoint] = []
    for event in event_log.read(run / "events.jsonl", *events.AGAIN, events.Alert, events.Checkpoint):
        if isinstance(event, events.AGAIN):
            alerts = [alert for alert in alerts if alert.step < event.start]
            checkpoints = [checkpoint for checkpoint in checkpoints if checkpoint.step <= event.start]
        elif isinstance(event, events.Alert):
            alerts.append(event)
        elif isinstance(event, events.Checkpoint):
            checkpoints.append(event)
    return find(alerts, checkpoints)
