"""Which settings of a config do anything beside the others: no width of convolutions in a network that has none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from tui_gen.params import Param, met

if TYPE_CHECKING:
    from tui_gen.catalog import ModelEntry
    from tui_gen.datasets import DatasetEntry

PHASE = "train.phases."
KIND, DRAWS = "dataset.kind", "model.draws"
"""In conditions, though no settings: the kind of the data, and what the model samples, `nothing` where it does not."""


def facts(model: ModelEntry | None, data: DatasetEntry | None) -> dict[str, str]:
    """KIND and DRAWS of a model on data; empty texts for what is not known."""
    kind = data.kind if data is not None else ""
    draws = kind if model is not None and "sample" in model.abilities else "nothing"
    return {KIND: kind, DRAWS: draws if kind and model is not None else ""}


def lacking(
    key: str, param: Param, phases_when: Mapping[str, str], values: Callable[[str], Iterable[Any]],
    known: Mapping[str, str],
) -> str:
    """The condition that is not met for a setting to do anything, as it is declared; empty where it does something.

    `phases_when` has the conditions of the model's phases; `values` says what a setting, by its dotted key, has or may
    have: where that is several values, one that meets the condition is enough. `known` are the `facts`.
    """
    table = key.rpartition(".")[0]
    phase_when = phases_when.get(table.removeprefix(PHASE), "") if key.startswith(PHASE) else ""
    for where, declared in (("model", phase_when), (table, param.when)):
        when = _on_data(declared, known.get(KIND, ""))
        name = when.partition("=")[0]
        if name in (KIND, DRAWS):
            if (fact := known.get(name)) and not _meets(when, fact):
                return when
        elif name and not any(_meets(when, value) for value in values(name if "." in name else f"{where}.{name}")):
            return when
    return ""


def _on_data(when: str, kind: str) -> str:
    """A condition on data of a kind: `network=auto:image|unet` is `network=auto|unet` on images, or `network=unet`."""
    name, is_one_of, choices = when.partition("=")
    parts = [choice.partition(":") for choice in choices.split("|")]
    return f"{name}{is_one_of}{'|'.join(choice for choice, _, on in parts if not (on and kind) or on == kind)}"


def _meets(when: str, value: Any) -> bool:
    return met(when, lambda _: value)
