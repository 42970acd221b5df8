"""Descriptions written in Markdown as styled text: headings, paragraphs, lists, formulas, bold, italics, code.

A small reader for the words of models and recipes. A Markdown parser costs 40 ms of start-up, and its colours are not
those of the theme.
"""

from __future__ import annotations

import re

from textual.content import Content

from tui_gen.text import clean_lines

_INLINE = re.compile(
    r"\*\*(?P<bold>\S(?:.*?\S)?)\*\*|`(?P<code>[^`]+)`|(?<![\w*])\*(?P<italic>[^\s*](?:[^*]*[^\s*])?)\*(?!\w)"
)
_ITEM = re.compile(r"^\s{0,3}(?:[-*+]|\d+[.)])\s+")


def prose(text: str) -> Content:
    """Markdown as styled text. Nothing in it is read as Textual markup; control characters are left out."""
    parts: list[Content] = []
    paragraph: list[str] = []
    bullet = ""

    def close() -> None:
        nonlocal bullet
        if paragraph:
            parts.append(Content.assemble(bullet, inline(" ".join(paragraph))))
            paragraph.clear()
        bullet = ""

    blank = False
    for line in clean_lines(text):
        if not line.strip():
            close()
            blank = True
            continue
        if blank and parts and not (_ITEM.match(line) and _is_item(parts[-1])):
            parts.append(Content(""))
        if line.startswith("    ") and not paragraph:
            parts.append(Content.assemble("  ", (line[4:].rstrip(), "$text-accent")))
        elif line.startswith("#"):
            close()
            parts.append(Content.styled(line.lstrip("#").strip(), "bold underline"))
        elif match := _ITEM.match(line):
            close()
            bullet = "• "
            paragraph.append(line[match.end() :].strip())
        else:
            paragraph.append(line.strip())
        blank = False
    close()
    return Content("\n").join(parts)


def _is_item(part: Content) -> bool:
    return part.plain.startswith("• ")


def inline(text: str) -> Content:
    """One line of Markdown: bold, italics and code styled, all else as it stands."""
    parts: list[str | tuple[str, str]] = []
    at = 0
    for match in _INLINE.finditer(text):
        parts.append(text[at : match.start()])
        at = match.end()
        if match["bold"] is not None:
            parts.append((match["bold"].replace("`", ""), "bold"))
        elif match["code"] is not None:
            parts.append((match["code"], "$text-accent"))
        else:
            parts.append((match["italic"], "italic"))
    parts.append(text[at:])
    return Content.assemble(*[part for part in parts if part])
