"""Dotted keys (`train.phases.vae.lr`) in nested tables."""

from __future__ import annotations

from typing import Any


def set_key(tables: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in nested tables, making the tables on the way."""
    *path, last = key.split(".")
    for part in path:
        inner = tables.setdefault(part, {})
        if not isinstance(inner, dict):
            inner = tables[part] = {}
        tables = inner
    tables[last] = value


def get_key(tables: dict[str, Any], key: str) -> Any:
    """The value at a dotted key in nested tables. Raises KeyError where there is none."""
    value: Any = tables
    for part in key.split("."):
        if not isinstance(value, dict):
            raise KeyError(key)
        value = value[part]
    return value
