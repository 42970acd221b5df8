"""Frames and signs for terminals whose fonts have none: a character of ASCII for each, letters left alone."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_SIGNS = {
    "←◀◂◁↵": "<", "→▶▸►▷": ">", "↑▲▴△": "^", "↓▼▾▽": "v", "●•■◆▪◼★": "*", "○□◇◌◻☆": "o", "✔✓☑": "+", "✖✗✘☒": "x",
    "…": ".", "‐‑‒–—−": "-", "‖▌▐▍▎▏▕▊▋▉": "|", "‘’′": "'", "“”″▔▀": '"', "▁▂▃▄": "_", "✎": "/", "⇄↔": "=", "↻↺": "@",
    "≤": "<", "≥": ">", "≈∼": "~", "␣": "_",
}  # fmt: skip
_SIGN = {ord(sign): plain for signs, plain in _SIGNS.items() for sign in signs}
_ACROSS, _DOWN = "─━┄┅┈┉╌╍═╴╶╸╺╼╾", "│┃┆┇┊┋╎╏║╵╷╹╻╽╿"


@lru_cache(4096)
def ascii_of(text: str) -> str:
    """`text`, as wide as it was, its frames, blocks, arrows and other signs in ASCII."""
    return text if text.isascii() else "".join(map(_one, text))


def _one(c: str) -> str:
    code = ord(c)
    if code < 0x2000:
        return c
    if code in _SIGN:
        return _SIGN[code]
    if 0x2500 <= code <= 0x257F:
        return "-" if c in _ACROSS else "|" if c in _DOWN else "+"
    if 0x2580 <= code <= 0x259F:
        return "#"
    if 0x2800 <= code <= 0x28FF:
        return "*" if code > 0x2800 else " "
    if unicodedata.category(c) in ("Sm", "So", "Sk", "Po", "Pd") and unicodedata.east_asian_width(c) not in "WF":
        return "?"
    return c
