"""Reading TOML that anybody may have written: what would keep the parser busy for minutes is refused before."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from tui_gen.quantities import size

MOST = 2 << 20
"""The longest text that is read, in characters; a config has a few thousand."""
PARTS = 32
"""The most parts of a dotted key. The parser takes the square of their number, or more."""

_PART = r"""(?:[\w-]++|"(?:\\[^\n]|[^"\\\n])*+"|'[^'\n]*+')[ \t]*+"""
# Texts and comments are gone over as a whole: what looks like a key there is none. Each takes what it can, to the end
# if it has none of its own, and gives nothing back, so all of it takes one pass.
_TOKEN = (
    rf"(?s)(?P<key>{_PART}(?:\.[ \t]*+{_PART}){{{PARTS}}})"
    r'|"""(?:\\.|[^"\\]|"{1,2}+(?!"))*+(?:"{3,5}+|\Z|\\)'
    r"|'''(?:[^']|'{1,2}+(?!'))*+(?:'{3,5}+|\Z)"
    r'|"(?:\\[^\n]|[^"\\\n])*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+"
    r"|[\w-]++(?:\.[\w-]++)*+"
)


def loads(text: str) -> dict[str, Any]:
    """TOML text as tables. Raises ValueError, in words, where it is none or would take for ever, and
    RecursionError where it is nested too deep."""
    if len(text) > MOST:
        raise ValueError(f"longer than {size(MOST)}")
    if text.count(".") >= PARTS:
        for token in re.finditer(_TOKEN, text, re.ASCII):
            if token["key"] is not None:
                line = text.count("\n", 0, token.start()) + 1
                raise ValueError(f"a key of more than {PARTS} parts (at line {line})")
    return tomllib.loads(text)
