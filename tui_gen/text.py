"""Text from somewhere else: run directories, names of files, replies, errors, model files. Knows no run and no widget.

A terminal obeys what is written to it, so nothing that was read somewhere may reach it as it is: a colleague's run
could set the title or the clipboard, or write over what stands there. `clean` is the one place that knows what is
harmful. It also leaves only characters whose width is known.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

NEWLINE = "↵"
"""What stands for the end of a line where people edit text on one."""
MARKS = 8
"""Combining marks kept on one character: languages need up to four, a pile of them paints over other lines."""

# Patterns are compiled when first used: most texts are plain.
_SEQUENCE = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, the cursor, modes
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS and the other strings
    r"|\x1b[ -/]*[0-~]?"
)
_BREAK = "\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]"
_SELECTORS = "[\ufe00-\ufe0f\U000e0100-\U000e01ef\U0001f3fb-\U0001f3ff\u115f\u3164\uffa0]"
"""Variations, shades and fillers: terminals do not agree on how wide they are."""


def clean(text: str, newline: str = " ", *, escaped: bool = False) -> str:
    """`text` on one line of printable characters, control sequences gone as a whole.

    Line ends become `newline`; tabs and all other blanks are blanks. Combining marks stay on their character. What is
    invisible, turns the direction of text round, or is no character at all is left out, or written as `\\x1b` where
    `escaped`.
    """
    if text.isascii() and text.isprintable():
        return text
    if escaped:
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    if not text.isprintable():
        text = re.sub(_BREAK, newline, re.sub(_SEQUENCE, "", text)).replace("\t", " ").replace("\u3000", "  ")
        if text.isascii() and text.isprintable():
            return text
    characters: list[str] = []
    marks = MARKS  # none at the beginning: it would go on the character before, whatever that is
    for c in re.sub(_SELECTORS, "", text):
        kind = unicodedata.category(c)
        if is_mark(c):
            marks += 1
            if marks <= MARKS:
                characters.append(c)
        elif kind == "Zs":
            characters.append(" ")
            marks = 0
        elif kind[0] not in "CZ" or c in newline:
            characters.append(c)
            marks = 0
    return "".join(characters)


def is_mark(c: str) -> bool:
    """Whether a character is drawn on the one before it: accents, vowel signs, vowels of a Hangul syllable."""
    return unicodedata.category(c)[0] == "M" or "\u1160" <= c <= "\u11ff" or "\ud7b0" <= c <= "\ud7fb"


def clean_lines(text: str) -> list[str]:
    """Text as clean lines; at least one. Tabs reach to the next column that is a multiple of four."""
    return [clean(line.expandtabs(4)) for line in re.split(_BREAK, text.removesuffix("\n"))]


def cleaned(value: Any) -> Any:
    """A value as JSON gives it, all texts and keys in it clean; texts keep their lines."""
    match value:
        case str():
            return value if value.isascii() and value.isprintable() else "\n".join(clean_lines(value))
        case dict():
            return {clean(key) if isinstance(key, str) else key: cleaned(item) for key, item in value.items()}
        case list() | tuple():
            return [cleaned(item) for item in value]
    return value


def deeper_than(value: Any, levels: int) -> bool:
    """Whether lists and tables lie so deep in each other in a value as JSON or TOML gives it. Does not recurse, as all
    else does that walks over values.
    """
    inner = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        items = (item for table in inner for item in (table.values() if isinstance(table, dict) else table))
        inner = [item for item in items if isinstance(item, dict | list)]
    return bool(inner)


def json_text(value: Any) -> str:
    """A value as JSON on one line that can be shown: whatever does not print, C1 and DEL included, as `\\u009b`.

    What is no character at all (a byte of a file's name that is not UTF-8) becomes `?`.
    """
    import msgspec  # screens have their first frame without it

    try:
        text = msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        text = msgspec.json.encode(characters(msgspec.to_builtins(value))).decode()
    return escape(text)


def escape(text: str, wide: str = "") -> str:
    """What does not print as the `\\u009b` that JSON and TOML read back, lone surrogates excepted.

    Beyond U+FFFF JSON has pairs of them, TOML one of eight digits: give `wide="U"`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or "\ud800" <= c <= "\udfff" else _escaped(ord(c), wide) for c in text)


def _escaped(code: int, wide: str) -> str:
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\U{code:08x}" if wide else f"\\u{0xD7C0 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def characters(value: Any) -> Any:
    """A value as JSON gives it, with `?` for what is no character: a byte of a file's name that is not UTF-8, say."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {characters(key): characters(item) for key, item in value.items()}
    return [characters(item) for item in value] if isinstance(value, list | tuple) else value


def spreadsheet_text(cell: str) -> str:
    """A cell that a spreadsheet takes for text: what begins as a formula does would be computed."""
    return f"'{cell}" if cell.startswith(tuple("=+-@＝＋－＠")) else cell
