"""In which settings several configs differ, as plain data. Needs neither PyTorch nor a config that is valid.

A config is compared as what it means: what it does not state has the default that its model or its data declares, and a
setting that does nothing beside the others (a width of convolutions in a network that has none) is none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from tui_gen import config as configs
from tui_gen import datasets, params
from tui_gen.catalog import Catalog
from tui_gen.effects import facts, lacking
from tui_gen.params import Param

WORDS = ("format", "name", "notes", "tags", "recipe")
"""What a config says about itself, not about the training."""


class Absent(Enum):
    """The value of a setting in a config that has no such setting."""

    ABSENT = "–"


ABSENT = Absent.ABSENT


class Difference(NamedTuple):
    """A setting, by its dotted key, that is not the same in all configs.

    `values` has one for each config, `ABSENT` where the config has no such setting, or where it does nothing there;
    `defaults` says for each whether it is what the model or the data declares.
    """

    key: str
    values: tuple[Any, ...]
    defaults: tuple[bool, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        """The values as a person reads them."""
        return tuple(shown_as(value) for value in self.values)


def shown_as(value: Any) -> str:
    """A value as a person reads it; a list of edits by when and what they change."""
    if value is ABSENT:
        return str(ABSENT.value)
    if value == []:
        return "none"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return ", ".join(_edit(item) for item in value)
    return params.show(value) or '""'


def _edit(item: Any) -> str:
    if not isinstance(item, dict):
        return params.show(item)
    return f"{params.show(item.get('key'))} = {params.show(item.get('value'))} at {params.show(item.get('step'))}"


def differences(tables: Sequence[Mapping[str, Any]], catalog: Catalog) -> list[Difference]:
    """The settings in which configs, as nested tables, differ: table by table, those that nobody declares at the end.

    What only some configs have, and have as it is declared, is no difference of its own: it came with the model, or
    with the data. No error comes of a config that is incomplete, or of models that nobody here knows: then what it
    states counts.
    """
    every = [_settings(table, catalog) for table in tables]
    declared = [_declared(table, catalog) for table in tables]
    ranks = {key: place for place, key in enumerate(dict.fromkeys(key for own in declared for key in own))}
    sections = list(dict.fromkeys(key.rpartition(".")[0] for key in ranks))
    rows = []
    for key in dict.fromkeys(key for settings in every for key in settings):
        values = tuple(settings.get(key, ABSENT) for settings in every)
        if all(_same(values[0], value) for value in values[1:]):
            continue
        defaults = tuple(
            key in own and value is not ABSENT and _same(value, own[key].default)
            for own, value in zip(declared, values)
        )
        has = [default for value, default in zip(values, defaults) if value is not ABSENT]
        if len(has) == len(values) or not all(has):
            rows.append(Difference(key, values, defaults))

    def place(row: Difference) -> tuple[int, int]:
        section = row.key.rpartition(".")[0]
        known = section and section in sections
        return sections.index(section) if known else len(sections), ranks.get(row.key, len(ranks))

    return sorted(rows, key=place)


def _declared(tables: Mapping[str, Any], catalog: Catalog) -> dict[str, Param]:
    """What can be set in a config, by dotted keys, the names of model and data first."""
    data = configs.named(dict(tables), "dataset", datasets.DEFAULT)
    own = configs.keys(configs.named(dict(tables), "model"), data, catalog)
    return {"model.name": Param("name", "str"), **own}


def _settings(tables: Mapping[str, Any], catalog: Catalog) -> dict[str, Any]:
    """Every setting of a config that does something, by its dotted key."""
    stated = _flat({key: value for key, value in tables.items() if key not in WORDS})
    declared = {key: param for key, param in _declared(tables, catalog).items() if key not in WORDS}
    whole = {key: param.default for key, param in declared.items()} | {"edits": []} | stated

    entry = catalog.models.get(configs.named(dict(tables), "model"))
    data = catalog.datasets.get(configs.named(dict(tables), "dataset", datasets.DEFAULT))
    known = facts(entry, data)
    phases_when = entry.phases_when if entry is not None else {}

    def applies(key: str) -> bool:
        param = declared.get(key)
        return param is None or not lacking(key, param, phases_when, lambda name: [whole.get(name)], known)

    return {key: value for key, value in whole.items() if applies(key)}


def _flat(tables: Mapping[str, Any], prefix: str = "", level: int = 0) -> dict[str, Any]:
    """Nested tables as one, by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, dict) and level < configs.DEEPEST:
            flat |= _flat(value, f"{prefix}{key}.", level + 1)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _same(value: Any, other: Any) -> bool:
    """Whether two values mean the same: 1 and 1.0 do, 1 and true do not."""
    if isinstance(value, bool) != isinstance(other, bool):
        return False
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(_same, value, other))
    return bool(value == other or (value != value and other != other))  # NaN is as it was
