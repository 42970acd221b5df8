"""What a list of runs shows of a config, found without parsing all of it: thousands of runs are listed in a moment."""

from __future__ import annotations

import re
from typing import Any

from tui_gen.files import read_regular

MOST = 1 << 20
"""The largest config that is looked into, in bytes."""
WANTED = {(b"", b"name"): "name", (b"model", b"name"): "model", (b"dataset", b"name"): "dataset",
          (b"train", b"steps"): "steps"}  # fmt: skip

_LINES = re.compile(rb"^[ \t]*(?:\[{1,2}([^\[\]\n]+)\]|(name|steps)[ \t]*=[ \t]*([^\n]*))", re.MULTILINE)
_OTHER = re.compile(rb"\"\"\"|'''|^[ \t]*(?:[\"']|(?:model|dataset|train)[ \t]*[.=])", re.MULTILINE)
"""What only a hand writes: texts of many lines, keys in quotes or with dots, tables in a line."""
_TEXT = re.compile(rb'"([^"\\\x00-\x1f\x7f]*)"[ \t]*(?:#.*)?\r?')
_WHOLE = re.compile(rb"([0-9]{1,18})[ \t]*(?:#.*)?\r?")


def headline(path: str) -> dict[str, Any]:
    """`name`, `model`, `dataset` (texts) and `steps` (above 0) of a config file, those that it has."""
    try:
        data = read_regular(path, MOST)
    except (OSError, ValueError):
        return {}
    found = _scanned(data)
    return _parsed(data) if found is None else found


def _scanned(data: bytes) -> dict[str, Any] | None:
    """From a config as `config.dumps` writes it; None for one that has to be parsed, such as one written by hand."""
    if _OTHER.search(data):
        return None
    found: dict[str, Any] = {}
    table = b""
    for match in _LINES.finditer(data):
        if match[1] is not None:
            table = match[1].strip()
            continue
        key = WANTED.get((table, match[2]))
        if key is None or key in found:
            continue
        value = (_WHOLE if key == "steps" else _TEXT).fullmatch(match[3])
        if value is None:
            return None
        try:
            found[key] = int(value[1]) if key == "steps" else value[1].decode()
        except UnicodeDecodeError:
            return None
    if "model" not in found:
        return None
    if not found.get("steps"):
        found.pop("steps", None)
    return found


def _parsed(data: bytes) -> dict[str, Any]:
    from tui_gen import toml

    try:
        tables = toml.loads(data.decode())
    except (ValueError, RecursionError):  # not TOML, not UTF-8, a number of thousands of digits
        return {}
    found = {}
    for (table, key), name in WANTED.items():
        inner = tables.get(table.decode()) if table else tables
        value = inner.get(key.decode()) if isinstance(inner, dict) else None
        if isinstance(value, str) if name != "steps" else isinstance(value, int) and value > 0:
            found[name] = value
    return found
