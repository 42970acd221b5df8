"""Which fields of a form are worth a look: what has an effect, and what one would change first."""

from __future__ import annotations

from typing import Any

from tui_gen import effects
from tui_gen.app.panes.form.state import FormState, Section, same

MODEL, DATASET = "model.name", "dataset.name"


def has_effect(state: FormState, key: str) -> bool:
    """Whether a setting does anything beside the others: no channels of convolutions where there are none."""
    return not lacking(state, key)


def lacking(state: FormState, key: str) -> str:
    """What a setting without effect would need; empty where it has one."""
    entry, data = state.catalog.models.get(state.model), state.catalog.datasets.get(state.dataset)

    def values(name: str) -> list[Any]:
        return [state.value(name)] if name in state.params else []

    phases_when = entry.phases_when if entry is not None else {}
    return effects.lacking(key, state.params[key], phases_when, values, effects.facts(entry, data))


def of_author(state: FormState, key: str) -> bool:
    """Whether the recipe (or file, or run) that was loaded sets it to something else than what is declared."""
    return key not in (MODEL, DATASET) and not same(state.baseline(key).value, state.params[key].default)


def split(state: FormState, section: Section, always: set[str]) -> tuple[list[str], list[str]]:
    """The keys of a section that are shown at once, and those behind its fold; what has no effect is in neither.

    Those of `always` are shown at once (whatever has a problem, say); so is, in a run, all that can be edited.
    """
    first: list[str] = []
    rest: list[str] = []
    for key in section.keys:
        if key in always:
            first.append(key)
        elif has_effect(state, key):
            at_once = not state.params[key].rare or of_author(state, key) or (state.live and state.editable(key))
            (first if at_once else rest).append(key)
    return first, rest
