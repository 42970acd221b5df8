"""Descriptions written in Markdown as styled text: headings, paragraphs, lists, tables, formulas, bold, italics, code.

A small reader for the words of models, recipes and help. A Markdown parser costs 40 ms of start-up, a widget for each
of its paragraphs as much again, and its colours are not those of the theme.
"""

from __future__ import annotations

import re

from textual.content import Content

from tui_gen.text import clean_lines

_INLINE = re.compile(
    r"\*\*(?P<bold>\S(?:.*?\S)??)\*\*|`(?P<code>[^`]+)`|(?<![\w*])\*(?P<italic>[^\s*](?:[^*]*[^\s*])?)\*(?!\w)"
)
_ITEM = re.compile(r"^\s{0,3}(?:[-*+]|\d+[.)])\s+")


FIRST = 26
"""The widest first column of a table."""


def prose(text: str, width: int = 0) -> Content:
    """Markdown as styled text. Nothing in it is read as Textual markup; control characters are left out.

    The last column of a table is wrapped to so many cells as `width` leaves it; as it stands for 0.
    """
    parts: list[Content] = []
    paragraph: list[str] = []
    rows: list[list[str]] = []
    bullet = ""

    def close() -> None:
        nonlocal bullet
        if paragraph:
            parts.append(Content.assemble(bullet, inline(" ".join(paragraph))))
            paragraph.clear()
        bullet = ""

    blank = False
    for line in [*clean_lines(text), ""]:
        if line.startswith("|"):
            if not rows:
                close()
                if blank and parts:
                    parts.append(Content(""))
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
            blank = False
            continue
        if rows:
            parts += _table(rows, width)
            rows = []
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
            parts.append(inline(line.lstrip("#").strip()).stylize_before("bold underline"))
        elif match := _ITEM.match(line):
            close()
            bullet = "• "
            paragraph.append(line[match.end() :].strip())
        else:
            paragraph.append(line.strip())
        blank = False
    close()
    return Content("\n").join(parts)


def _table(rows: list[list[str]], width: int) -> list[Content]:
    """A table of two columns or more as lines; its head, and the rule below that, are left out."""
    body = rows[2:] if len(rows) > 1 and not set("".join(rows[1])) - set("-:") else rows
    cells = [[inline(cell) for cell in row] for row in body]
    first = min(FIRST, max((row[0].cell_length for row in cells), default=0))
    room = max(20, width - first - 2) if width else 1 << 16
    lines = []
    for key, *rest in cells:
        words = Content("  ").join(rest).wrap(room) if rest else []
        names = key.wrap(first) if key.cell_length > first else [key]
        for number in range(max(len(words), len(names))):
            name = names[number] if number < len(names) else Content("")
            text = words[number] if number < len(words) else Content("")
            lines.append(Content.assemble(name, " " * (first + 2 - name.cell_length), text))
    return lines


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
