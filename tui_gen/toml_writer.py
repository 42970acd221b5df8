"""Writing TOML: nested tables as text, with the help of each setting beside it."""

from __future__ import annotations

from typing import Any

from tui_gen.params import Param, quote
from tui_gen.text import clean


def dump_toml(tables: dict[str, Any], notes: dict[str, Param] | None = None, path: tuple[str, ...] = ()) -> str:
    """Nested tables of text, numbers, booleans and lists as TOML; an empty value (None) is written as empty text.

    Written by hand although tomlkit writes the same: this takes a tenth of the time, which a start and every look at
    the form's text wait for, and it escapes what would not print.
    """
    lines, subtables = [], []
    for key, value in tables.items():
        where = (*path, key)
        if isinstance(value, dict):
            subtables.append((where, value))
            continue
        line = f"{_key(key)} = {_toml(value)}"
        param = (notes or {}).get(".".join(where))
        if param is not None and param.help:
            unit = f" [{param.unit}]" if param.unit else ""
            line = f"{line:<32}  # {' '.join(clean(f'{param.help}{unit}').split())}"
        lines.append(line)
    text = "\n".join(lines) + "\n" if lines else ""
    for where, value in subtables:
        inner = dump_toml(value, notes, where)
        header = f"\n[{'.'.join(_key(part) for part in where)}]\n"
        text += (header if not value or any(not isinstance(part, dict) for part in value.values()) else "") + inner
    return text


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else quote(key)


def _toml(value: Any) -> str:
    if value is None:
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, float):
        return repr(value)
    return str(value)
