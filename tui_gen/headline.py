"""What a list of runs shows of a config, found without parsing all of it: thousands of runs are listed in a moment."""

from __future__ import annotations

import re
from typing import Any

from tui_gen.files import read_regular

MOST = 1 << 20
"""The largest config that is looked into, in bytes."""
KEYS = {(b"", b"name"): "name", (b"model", b"name"): "model", (b"dataset", b"name"): "dataset",
          (b"train", b"steps"): "steps"}  # fmt: skip

_NAME = re.compile(rb'\nname = "([^"\\\x00-\x1f\x7f]*)"[ \t]*[#\r\n]')
_TAGS = re.compile(rb"\ntags = (\[[^\n#]*\])[ \t]*[#\r\n]")
_STEPS = re.compile(rb"\nsteps = ([0-9]{1,18})[ \t]*[#\r\n]")


def headline(path: str) -> dict[str, Any]:
    """`name`, `model`, `dataset` (texts), `steps` (above 0) and `tags` (texts) of a config file, those that it has."""
    try:
        data = read_regular(path, MOST)
    except (OSError, ValueError):
        return {}
    values = _scanned(data)
    return _parsed(data) if values is None else values


def _scanned(data: bytes) -> dict[str, Any] | None:
    """From a config as `config.dumps` writes it; None for one that has to be parsed, such as one written by hand."""
    if b'"""' in data or b"'''" in data:
        return None
    data = b"\n" + data + b"\n"
    values: dict[str, Any] = {}
    for (table, key), name in KEYS.items():
        start = data.find(b"\n[" + table + b"]\n") if table else 0
        if start < 0:
            return None
        end = data.find(b"\n[", start + 2) + 1 or len(data)
        value = (_STEPS if key == b"steps" else _NAME).search(data, start, end)
        if value is None:
            return None
        try:
            values[name] = int(value[1]) if key == b"steps" else value[1].decode()
        except UnicodeDecodeError:
            return None
    if not values["steps"]:
        del values["steps"]
    tags = _TAGS.search(data, 0, data.find(b"\n[", 1))
    if tags is not None and tags[1] != b"[]":
        return None
    return values


def _parsed(data: bytes) -> dict[str, Any]:
    from tui_gen import toml

    try:
        tables = toml.loads(data.decode())
    except (ValueError, RecursionError):  # not TOML, not UTF-8, a number of thousands of digits
        return {}
    values = {}
    for (table, key), name in KEYS.items():
        inner = tables.get(table.decode()) if table else tables
        value = inner.get(key.decode()) if isinstance(inner, dict) else None
        if isinstance(value, str) if name != "steps" else isinstance(value, int) and value > 0:
            values[name] = value
    tags = tables.get("tags")
    if isinstance(tags, list) and (words := [tag for tag in tags if isinstance(tag, str) and tag]):
        values["tags"] = words
    return values
