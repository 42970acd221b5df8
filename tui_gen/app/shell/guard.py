"""The last look at what the workbench draws: no cell of any widget holds a character that a terminal would obey.

Texts are cleaned where they come from (`tui_gen.text`). This is for the one that somebody forgets.
"""

from __future__ import annotations

import re

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of all that follows; none of them takes a cell."""


class Guard(LineFilter):
    """Leaves such characters out of a line's text. Textual keeps what comes of it for as long as the line."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments, or copies without those characters."""
        if not any(_CONTROLS.search(text) for text, _, control in segments if not control):
            return segments
        return [
            segment if segment.control else Segment(_CONTROLS.sub("", segment.text), segment.style)
            for segment in segments
        ]
