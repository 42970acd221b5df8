"""Which fields of a form are worth a look: what has an effect, and what one would change first."""

from __future__ import annotations

from tui_gen.app.panes.form.state import FormState, Section, same
from tui_gen.params import met

MODEL, DATASET = "model.name", "dataset.name"
PHASE = "train.phases."


def has_effect(state: FormState, key: str) -> bool:
    """Whether a setting does anything beside the others: no channels of convolutions where there are none."""
    table, when = key.rpartition(".")[0], phase_when(state, key)
    return met(when, lambda name: _value(state, "model", name)) and state.params[key].applies(
        lambda name: _value(state, table, name)
    )


def lacking(state: FormState, key: str) -> str:
    """What a setting without effect would need."""
    when = phase_when(state, key)
    return state.params[key].when if met(when, lambda name: _value(state, "model", name)) else when


def phase_when(state: FormState, key: str) -> str:
    """The condition under which the phase is trained whose optimiser a setting belongs to; empty where it always is."""
    phase, entry = key.rpartition(".")[0].removeprefix(PHASE), state.catalog.models.get(state.model)
    return entry.phases_when.get(phase, "") if entry is not None and key.startswith(PHASE) else ""


def _value(state: FormState, table: str, name: str) -> object:
    key = f"{table}.{name}"
    return state.value(key) if key in state.params else None


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
