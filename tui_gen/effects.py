"""Which settings of a config do anything beside the others: no width of convolutions in a network that has none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tui_gen.params import Param, met

PHASE = "train.phases."


def lacking(
    key: str, param: Param, phases_when: Mapping[str, str], values: Callable[[str], Iterable[Any]]
) -> str:
    """The condition that is not met for a setting to do anything, as it is declared; empty where it does something.

    `phases_when` has the conditions of the model's phases; `values` says what a setting, by its dotted key, has or may
    have: where that is several values, one that meets the condition is enough.
    """
    table = key.rpartition(".")[0]
    phase_when = phases_when.get(table.removeprefix(PHASE), "") if key.startswith(PHASE) else ""
    for where, when in (("model", phase_when), (table, param.when)):
        name = when.partition("=")[0]
        if name and not any(_meets(when, value) for value in values(f"{where}.{name}")):
            return when
    return ""


def _meets(when: str, value: Any) -> bool:
    return met(when, lambda _: value)
