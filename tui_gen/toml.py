"""Reading TOML that anybody may have written: what would keep the parser busy for minutes is refused before."""

from __future__ import annotations

import re
import tomllib
from typing import Any

MOST = 2 << 20
"""The longest text that is read, in bytes; a config has a few thousand."""
PARTS = 32
"""The most parts of a dotted key. The parser takes the square of their number."""

_PART = r"""(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*"""
_LONG_KEY = re.compile(rf"^[ \t]*\[{{0,2}}[ \t]*(?:{_PART}\.[ \t]*){{{PARTS}}}", re.MULTILINE | re.ASCII)


def loads(text: str) -> dict[str, Any]:
    """TOML text as tables. Raises ValueError, in words, where it is none or would take for ever, and
    RecursionError where it is nested too deep."""
    if len(text) > MOST:
        raise ValueError(f"longer than {MOST >> 20} MB")
    if found := _LONG_KEY.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise ValueError(f"a key of more than {PARTS} parts (at line {line})")
    return tomllib.loads(text)
