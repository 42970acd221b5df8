"""Numbers as people read them: durations, sizes, rates, metric values."""

from __future__ import annotations

import math


def duration(seconds: float | None) -> str:
    """`45 s`, `3:20`, `2:05:00`, `3 d 4 h`; an en dash where nobody knows."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    total = max(0, round(seconds))
    if total < 60:
        return f"{total} s"
    minutes, rest = divmod(total, 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(count: float) -> str:
    """Bytes in decimal units: `312 MB`."""
    return f"{_scaled(count)}B" if count >= 1000 else f"{count:.0f} B"


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
