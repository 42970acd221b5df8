"""HTML: the report of a run, in one file that needs no other."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated

import msgspec

from tui_gen.params import hyper
from tui_gen.report.exports import Order

LOADING = {"src", "href", "srcset", "data", "action", "formaction", "poster", "background", "cite", "xlink:href"}
"""Attributes that name what a browser loads, or goes to."""
NEVER = {"script", "link", "iframe", "object", "embed", "base", "form", "audio", "video", "source"}
"""Elements that a report has none of."""
EMPTY = {"meta", "img", "br", "input"}


class Options(msgspec.Struct):
    """What can be chosen for a report."""

    personal: Annotated[bool, hyper("tell of home folders, and of the names of users and hosts, too")] = False


def write(order: Order, target: Path) -> None:
    """As UTF-8."""
    from tui_gen.report.page.document import document

    text = document(order.view, personal=order.options.personal)
    target.write_text(text, encoding="utf-8", newline="\n")


def check(order: Order, target: Path) -> None:
    """One whole page, whose every element is closed, that loads nothing from anywhere."""
    reader = HtmlReader()
    reader.feed(target.read_text(encoding="utf-8"))
    reader.close()
    if reader.problem:
        raise ValueError(reader.problem)
    if reader.open:
        raise ValueError(f"<{reader.open[-1]}> is not closed")
    if reader.titles != 1:
        raise ValueError("it is not one page")


class HtmlReader(HTMLParser):
    """Reads a page as a browser does: `problem` says what is wrong with it, `loaded` what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.problem = ""
        self.open: list[str] = []
        self.titles = 0
        self.loaded: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element and what it names."""
        self.tags.append(tag)
        self.titles += tag == "h1"
        if tag in NEVER:
            self._say(f"it has a <{tag}>")
        for name, value in attrs:
            if name in LOADING:
                self.loaded.append(value or "")
                if not (value or "").startswith(("data:image/png;base64,", "#")):
                    self._say(f"<{tag}> loads {(value or '')[:60]!r}")
            if name.startswith("on"):
                self._say(f"<{tag}> has a script in {name}")
            if name == "style" and "url" in (value or "").lower():
                self._say(f"<{tag}> loads something by its style")

    def handle_endtag(self, tag: str) -> None:
        """An element ends, the last that began."""
        if not self.open or self.open.pop() != tag:
            self._say(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        """The style sheet names nothing that it would load."""
        if self.open and self.open[-1] == "style" and re.search(r"url\s*\(|@import", data, re.IGNORECASE):
            self._say("its style sheet loads something")

    def _say(self, words: str) -> None:
        self.problem = self.problem or words
