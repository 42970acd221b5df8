"""Single settings of many runs' configs, found without parsing them: what lists of runs are filtered and sorted by."""

from __future__ import annotations

import os
import re
from typing import Any

from tui_gen import toml
from tui_gen.files import read_regular
from tui_gen.headline import MOST

Scalar = float | str | bool
_LITERAL = re.compile(rb'(true|false)|([+-]?(?:[0-9][0-9_]*|inf|nan)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)|"([^"\\]*)"')


class RunSettings:
    """What configs say of one setting after another; each config is read once for each setting, while it is the same.

    A setting is named by its key, or by the end of it: `lr` is any phase's learning rate, `vae.lr` that of one.
    """

    def __init__(self, looks: bool = True) -> None:
        """With `looks`, each asking looks whether the config is another one; else `forget` is told so."""
        self._looks = looks
        self._values: dict[str, dict[str, tuple[int, list[Scalar]]]] = {}

    def find(self, path: str, key: str) -> list[Scalar]:
        """The values that a run's config has for a setting; none where it has none of that name."""
        known = self._values.setdefault(key, {})
        if not self._looks and path in known:
            return known[path][1]
        try:
            time = os.stat(f"{path}/config.toml").st_mtime_ns
        except OSError:
            return []
        if (value := known.get(path)) is not None and value[0] == time:
            return value[1]
        try:
            data = read_regular(f"{path}/config.toml", MOST)
        except (OSError, ValueError):
            return []
        values = values_of(data, key)
        known[path] = time, values
        return values

    def find_all(self, paths: list[str], key: str) -> None:
        """Find a setting in many configs, for those who ask for it later; from then on it `has` it."""
        other = RunSettings(self._looks)
        for path in paths:
            other.find(path, key)
        self._values[key] = other._values.get(key, {})

    def has(self, key: str) -> bool:
        """Whether the configs were looked through for a setting."""
        return key in self._values

    def forget(self, path: str) -> None:
        """A run's config is another one."""
        for known in self._values.values():
            known.pop(path, None)


def values_of(data: bytes, key: str) -> list[Scalar]:
    """The values of a setting in the text of a config; those of lists one by one."""
    table, _, last = key.rpartition(".")
    name = re.escape(last.encode())
    if not data.startswith(b"format = ") or b'"""' in data or b"'''" in data:  # written by hand, perhaps
        return _parsed(data, key)
    values: list[Scalar] = []
    for match in re.finditer(rb"(?m)^" + name + rb" = ([^\n]*)$", data):
        if table and not _ends_with(data, match.start(), table.encode()):
            continue
        text = match[1]
        if text.startswith((b"[", b"{")) or (literal := _LITERAL.match(text)) is None:
            return _parsed(data, key)
        truth, number, word = literal.groups()
        values.append(truth == b"true" if truth else float(number) if number else word.decode(errors="replace"))
    return values


def _ends_with(data: bytes, place: int, table: bytes) -> bool:
    """Whether what stands at a place is in this table, or in one whose name ends with it."""
    start = data.rfind(b"\n[", 0, place)
    heading = data[start + 2 : data.find(b"]", start)] if start >= 0 else b""
    return heading == table or heading.endswith(b"." + table)


def _parsed(data: bytes, key: str) -> list[Scalar]:
    try:
        tables = toml.loads(data.decode())
    except (ValueError, RecursionError):
        return []
    values: list[Scalar] = []
    suffix = f".{key}"

    def visit(table: dict[str, Any], place: str) -> None:
        for name, value in table.items():
            here = f"{place}.{name}"
            if isinstance(value, dict):
                visit(value, here)
            elif here.endswith(suffix):
                values.extend(item for item in (value if isinstance(value, list) else [value]) if _is_scalar(item))

    visit(tables, "")
    return values


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float | str | bool)
