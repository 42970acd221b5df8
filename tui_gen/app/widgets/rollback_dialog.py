"""A dialog that asks where a run is to go back to, and what is to be different from there on."""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.events import Mount
from textual.widgets import OptionList

from tui_gen import events, remedy, rollbacks
from tui_gen.app.widgets.dialogs import Dialog
from tui_gen.quantities import count


class RollbackDialog(Dialog):
    """Asks for one of a run's checkpoints, then for the change: `smaller` rates, `skip` (past the batch of the alert),
    `same` (as it was), or `cancel`. `step` is the checkpoint that is chosen."""

    DEFAULT_CSS = """
    RollbackDialog OptionList {
        height: auto; max-height: 8; margin-top: 1; border: none; background: $surface; scrollbar-size-vertical: 1;
    }
    """

    def __init__(self, name: str, steps: Sequence[int], alert: events.Alert | None) -> None:
        batch = rollbacks.batch_of(alert)
        self.factor = remedy.factor(alert.step) if alert is not None and alert.rates else remedy.HALF
        answers = [("smaller", f"Rates × {self.factor:g}")]
        answers += [("skip", "Past that batch")] if batch is not None else []
        answers += [("same", "As it was"), ("cancel", "Cancel")]
        text = "Nothing is wrong that it knows of." if alert is None else f"Step {count(alert.at)}: {alert.words}."
        ways = "with smaller learning rates"
        if alert is not None and batch is not None:
            text += f" The batch after step {count(batch)} is in {alert.kept}."
            ways += ", or past that batch"
        super().__init__(f"{name}: go back", f"{text}\n\nGo on from one of its checkpoints, {ways}:", answers)
        self._steps = sorted(steps, reverse=True)
        good = [step for step in self._steps if alert is None or step <= alert.step]
        self.step = good[0] if good else self._steps[0]

    def compose_text(self) -> ComposeResult:
        """What happened, and the checkpoints."""
        yield from super().compose_text()
        yield OptionList(*(f"step {count(step)}" for step in self._steps), compact=True, markup=False)

    def on_mount(self, event: Mount | None = None) -> None:
        """Choose a checkpoint first; the last good one is proposed."""
        if event is not None:
            event.prevent_default()  # the focus is not the first button's
        options = self.query_one(OptionList)
        options.highlighted = self._steps.index(self.step)
        options.focus()

    @on(OptionList.OptionHighlighted)
    def _on_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self.step = self._steps[event.option_index]

    @on(OptionList.OptionSelected)
    def _on_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.step = self._steps[event.option_index]
        self.query("Button").first().focus()
