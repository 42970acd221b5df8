"""Edits of settings while training, `{step, key, value}`: what a config plans and what a log holds, as one list; and
which of them were taken back by later ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tui_gen import events
from tui_gen.log import event_log
from tui_gen.params import show

Edits = list[dict[str, Any]]


def merged(plan: Any, live: Edits) -> Any:
    """What a config plans and what was made of it and by hand, by step, each once.

    At one step what was made comes first, in its order: a plan is carried out after what people ask for, and what
    `--resume --set` adds to a plan is newer than all that the log holds. A plan that is none (it was written by hand)
    is given back as it is, for `config.load` to say what is wrong with it.
    """
    if not isinstance(plan, list):
        return plan
    if not all(isinstance(edit, dict) and _whole(edit.get("step")) for edit in plan):
        return plan
    rest = without(plan, live)
    return sorted([*live, *rest], key=lambda edit: edit["step"])


def without(plan: Any, edits: Edits) -> Any:
    """A plan without these entries, each once; one that is none is given back as it is."""
    if not isinstance(plan, list):
        return plan
    pending, rest = list(edits), []
    for edit in plan:
        if edit in pending:
            pending.remove(edit)
        else:
            rest.append(edit)
    return rest


def _whole(step: Any) -> bool:
    return isinstance(step, int) and not isinstance(step, bool)


def overriding(edits: Edits, key: str, step: int, value: Any) -> str:
    """Words for that a setting changed at `step` is set to another value by one of these edits later; or empty.

    Of several at one step the last counts.
    """
    last = {edit["step"]: edit for edit in edits if edit["key"] == key and edit["step"] > step}
    later = next((edit for _, edit in sorted(last.items()) if edit["value"] != value), None)
    if later is None:
        return ""
    return (
        f"{key} = {show(value)} counts until step {later['step']:,}: there an edit that was planned or made before "
        f"sets it to {show(later['value'])}"
    )


def made(run: Path) -> list[events.Edit]:
    """The edits in a run's log, in their order; those that a resume lost, or a rollback undid, are not among them until
    they are made again."""
    found: list[events.Edit] = []
    for event in event_log.read(run / "events.jsonl", *events.AGAIN, events.Edit):
        if isinstance(event, events.AGAIN):
            found = [edit for edit in found if edit.step < event.start]
        elif isinstance(event, events.Edit):
            found.append(event)
    return found


class EditHistory:
    """Which of a run's edits count, and what to take back next. To undo an edit is another one, back to its old value.

    So a log need not tell: an edit to the value before the last one of the same setting takes that one back, whoever
    made it, and by which way. `undone` has the numbers of edits that were taken back, and by which edit each was.
    """

    def __init__(self, all_edits: Sequence[events.Edit]) -> None:
        self.edits = list(all_edits)
        self.undone: dict[int, int] = {}
        standing: dict[str, list[int]] = {}
        self._again: list[int] = []
        """Undoings that may be undone, the last one first of all: until something else is edited."""
        for number, edit in enumerate(self.edits):
            before = standing.setdefault(edit.key, [])
            if before and _reverses(edit, self.edits[before[-1]]):
                self.undone[before.pop()] = number
                self._again.append(number)
                continue
            if self._again and _reverses(edit, self.edits[self._again[-1]]):
                self._again.pop()
            else:
                self._again.clear()
            before.append(number)
        self._last = max((numbers[-1] for numbers in standing.values() if numbers), default=None)

    @property
    def to_undo(self) -> events.Edit | None:
        """The last edit that counts."""
        return None if self._last is None else self.edits[self._last]

    @property
    def to_redo(self) -> events.Edit | None:
        """The last undoing, where nothing else was edited since: to take that back makes the edit again."""
        return self.edits[self._again[-1]] if self._again else None


class EditRow(NamedTuple):
    """One line of a list of edits: of one that was `made`, was `undone` by a later one or `undoes` an earlier one (`at`
    is that one's step), or is `planned`: then nobody knows `old`, and `t` is 0.
    """

    step: int
    key: str
    old: Any
    new: Any
    t: float = 0.0
    state: str = "made"
    at: int = 0

    @property
    def remark(self) -> str:
        """What is to be said of it, besides."""
        words = {"undone": "taken back at step {}", "undoes": "takes back that of step {}", "planned": "planned"}
        return words.get(self.state, "").format(f"{self.at:,}")


def rows(history: EditHistory, plan: Any, step: int) -> list[EditRow]:
    """The edits that were made, and those of a plan (as a config has it) that are still ahead after `step` steps."""
    took = {taker: number for number, taker in history.undone.items()}
    found = []
    for number, edit in enumerate(history.edits):
        state = "undone" if number in history.undone else "undoes" if number in took else "made"
        other = history.undone.get(number, took.get(number, number))
        found.append(EditRow(edit.step, edit.key, edit.old, edit.new, edit.t, state, history.edits[other].step))
    past = [{"step": edit.step, "key": edit.key, "value": edit.new} for edit in history.edits]
    ahead = [edit for edit in merged(plan, []) if edit not in past] if is_plan(plan) else []
    found += [EditRow(edit["step"], str(edit["key"]), None, edit["value"], state="planned") for edit in ahead
              if edit["step"] >= step]  # fmt: skip
    return found


def is_plan(plan: Any) -> bool:
    """Whether a config's plan has what edits need."""
    return isinstance(plan, list) and all(
        isinstance(edit, dict) and set(edit) == {"step", "key", "value"} and _whole(edit["step"]) for edit in plan
    )


def _reverses(later: events.Edit, earlier: events.Edit) -> bool:
    return later.key == earlier.key and later.old == earlier.new and later.new == earlier.old
