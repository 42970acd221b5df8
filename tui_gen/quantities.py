"""Numbers as people read them, in one form on every screen: the workbench, a run that is followed, tables, reports.

A duration has its two largest units by name, for `3:05` may be hours or minutes; a size is in powers of 1000, as disks
and networks are; a count has its thousands apart; a rate has two or three digits, for more of them would never stand
still; a metric has four. Ticks of axes, which have a few columns each, are written shorter (`draw.axes`, `draw.clock`).
"""

from __future__ import annotations

import math
import re


def duration(seconds: float | None) -> str:
    """`42 s`, `3 min 05 s`, `2 h 07 min`, `3 d 04 h`; an en dash where nobody knows."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    whole = max(0, round(seconds))
    for long, short, long_name, short_name in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= long:
            return f"{whole // long} {long_name} {whole % long // short:02} {short_name}"
    return f"{whole} s"


def span(seconds: float) -> str:
    """A time that somebody has chosen, such as how long is waited: `0.2 s`, `20 s`, `5 min`, `1 min 30 s`."""
    return f"{seconds:g} s" if seconds < 60 else re.sub(r" 00 \w+$", "", duration(seconds))


def moment(seconds: float) -> str:
    """What something short took, with two or three digits: `0.035 ms`, `2.8 ms`, `804 ms`, `4.95 s`."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    ms = 1000 * seconds
    return f"{ms:.0f} ms" if ms >= 100 else f"{ms:.2g} ms"


def round_trip(seconds: float) -> str:
    """How long an answer takes, coarse so that it stands still: `4 ms`, `40 ms`, `250 ms`, `1.2 s`."""
    ms = seconds * 1000
    if ms < 10:
        return f"{max(1, round(ms))} ms"
    if ms < 100:
        return f"{round(ms / 5) * 5} ms"
    return f"{round(ms / 50) * 50} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def count(number: int) -> str:
    """A whole number: `1,234`."""
    return f"{number:,}"


def several(number: int, what: str) -> str:
    """So many of a kind that has a plural in s: `1 layer`, `1,234 layers`."""
    return f"{count(number)} {what}{'s' * (number != 1)}"


def size(count: float) -> str:
    """Bytes in decimal units: `312 MB`."""
    return f"{_scaled(count)}B" if count >= 1000 else f"{count:.0f} B"


def link_rate(per_second: float) -> str:
    """What a link carries, in one unit so that it stands still: `0 kB/s`, `12 kB/s`."""
    return f"{per_second / 1000:.0f} kB/s"


def rate(per_second: float) -> str:
    """A count in a second with two or three digits: `0.42`, `87`, `104k`."""
    if per_second < 100:
        return f"{per_second:.2g}" if per_second < 10 else f"{per_second:.0f}"
    return _scaled(per_second).replace(" ", "")


def _scaled(value: float) -> str:
    unit = ""
    for unit in ("", "k", "M", "G", "T", "P"):
        if abs(value) < 999.5 or unit == "P":
            break
        value /= 1000
    return f"{value:.1f} {unit}" if unit and value < 10 else f"{value:.0f} {unit}"


def metric(value: float | None) -> str:
    """A metric's value with four digits; `nan` where there is no number."""
    if value is None or not math.isfinite(value):
        return "nan"
    return f"{value:.4g}"


def ago(seconds: float) -> str:
    """How long since something happened, in one unit: `12 s`, `5 min`, `3 h`, `2 d`."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
