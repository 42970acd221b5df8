"""A few numbers as a row of bars, a character each: what something was at lately."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉"


def spark(values: Sequence[float | None], width: int, top: float) -> str:
    """The last `width` of the values, 0 to `top`, as bars; a blank is no number. Shorter where there are fewer."""
    last = values[-width:] if width > 0 else ()
    return "".join(" " if value is None else BARS[_level(value, top, len(BARS) - 1)] for value in last)


def outline(values: Sequence[float | None], width: int = 0) -> str:
    """Values from their lowest to their highest as bars, the last `width` of them (0 is all); a blank is no number."""
    last = values[-width:] if width > 0 else values
    numbers = [value for value in last if value is not None]
    if not numbers:
        return ""
    low, top = min(numbers), max(numbers) - min(numbers)
    if not top > 0:
        low, top = low - 1.0, 2.0
    return spark([None if value is None else value - low for value in last], len(last), top)


def bar(share: float, width: int) -> str:
    """A share from 0 to 1 as a bar of at most `width` cells, to an eighth of a cell; anything at all shows."""
    eighths = _level(share, 1.0, 8 * width)
    if share > 0 and width > 0:
        eighths = max(1, eighths)
    return "█" * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")


def _level(value: float, top: float, most: int) -> int:
    return round(min(1.0, max(0.0, value / top if top > 0 else 0.0)) * most)
