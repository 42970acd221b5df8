"""A screen for terminals whose fonts have no frames: every widget's lines, whoever drew them, in ASCII."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.filter import LineFilter

from tui_gen.draw.ascii import ascii_of

if TYPE_CHECKING:
    from textual.color import Color


class AsciiFilter(LineFilter):
    """Turns frames and signs into ASCII after everything has been laid out: each is as wide as before."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments, with plain text."""
        return [Segment(ascii_of(text), style, control) for text, style, control in segments]
