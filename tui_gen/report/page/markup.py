"""Markup as text: whatever is not markup already is cleaned and escaped on its way in."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from tui_gen.text import cleaned

VOID = ("meta", "img", "br", "input")
"""Elements of HTML that have no end."""
ALONE = ("path", "line", "circle", "rect")
"""Elements of SVG that are empty here."""


class Markup(str):
    """Text that is markup; all other text is only words."""

    __slots__ = ()


def text(words: str) -> Markup:
    """Words as markup, fit for elements and attributes."""
    return words if isinstance(words, Markup) else Markup(html.escape(str(cleaned(words)), quote=True))


def together(parts: Iterable[str], between: str = "") -> Markup:
    """Several pieces of markup, or words, in a row."""
    return Markup(text(between).join(text(part) for part in parts))


def element(tag: str, /, *inside: str, **attributes: object) -> Markup:
    """An element. Of attributes' names a last `_` is dropped and others become `-`; None and False leave one out, True
    is one without a value.
    """
    words = [tag]
    for key, value in attributes.items():
        key = key.removesuffix("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{text(value if isinstance(value, str) else str(value))}"')
    opening = " ".join(words)
    if tag in VOID:
        return Markup(f"<{opening}>")
    if tag in ALONE:
        return Markup(f"<{opening}/>")
    return Markup(f"<{opening}>{together(inside)}</{tag}>")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> Markup:
    """A table in a box that scrolls by itself where it is too wide."""
    head = element("tr", *(element("th", word, scope="col") for word in heads))
    body = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    title = [element("caption", caption)] if caption else []
    inner = element("table", *title, element("thead", head), element("tbody", *body))
    return element("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption or ", ".join(heads))


def section(title: str, *inside: str, name: str) -> Markup:
    """A part of the page, with a heading by which it is known."""
    return element(
        "section", element("h2", title, id=f"{name}-title"), *inside, id=name, aria_labelledby=f"{name}-title"
    )
