"""One step up or down from a setting's value, as an arrow key makes it."""

from __future__ import annotations

import math
from typing import Any

from tui_gen import params
from tui_gen.params import Param


def stepped(param: Param, value: Any, direction: int, big: bool = False) -> str | None:
    """The text one step up (+1) or down (-1) from a value, or None where there is none.

    Whole numbers move by 1 (doubled or halved with `big`); numbers along 1, 2, 5, 10 (×10 with `big`), those just
    below 1 likewise in their distance from 1 (0.9, 0.95, 0.98, 0.99); choices go round, switches turn over.
    """
    if param.kind == "bool":
        return params.show(not value) if isinstance(value, bool) else params.show(param.default)
    if param.kind == "choice":
        if not param.choices:
            return None
        here = param.choices.index(value) if value in param.choices else -1 if direction > 0 else 0
        return params.show(param.choices[(here + direction) % len(param.choices)])
    if param.kind not in ("int", "float"):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = param.default if isinstance(param.default, int | float) else 0
    if param.kind == "int":
        new: float = value + direction
        if big:
            new = value * 2 or 1 if direction > 0 else value // 2
    else:
        new = _next_number(param, float(value), direction, big)
    clean, wrong = params.check_value(param, _held(param, new))
    return None if wrong else params.show(clean)


def _next_number(param: Param, value: float, direction: int, big: bool) -> float:
    if param.lt == 1 and value >= 0.5:
        distance = _on_grid(1 - value, -direction, big)
        return 0.2 if distance > 0.5 else round(1 - distance, 12)
    limit = param.le if param.le is not None else param.lt
    # A learning rate has no zero to reach; elsewhere the grid ends in 0 below its finest useful step.
    finest = 0.0 if param.gt is not None else 1e-5 if limit is not None and limit <= 1 else 0.01
    if value < 0:
        return -_on_grid(-value, -direction, big)
    if value == 0:
        return direction * (finest or 1e-5)
    new = _on_grid(value, direction, big)
    if direction < 0 and finest and new < finest * 0.999:
        return 0.0
    return 0.5 if param.lt == 1 and new > 0.5 else new


def _on_grid(value: float, direction: int, big: bool) -> float:
    """The next of …, 0.1, 0.2, 0.5, 1, 2, 5, 10, … above or below a number > 0."""
    if big:
        return value * 10.0**direction
    power = math.floor(math.log10(value))
    grid = [float(f"{digit}e{power + shift}") for shift in (-1, 0, 1) for digit in (1, 2, 5)]
    if direction > 0:
        return next(point for point in grid if point > value * (1 + 1e-9))
    return next(point for point in reversed(grid) if point < value * (1 - 1e-9))


def _held(param: Param, value: float) -> float:
    if param.le is not None:
        value = min(value, param.le)
    if param.ge is not None:
        value = max(value, param.ge)
    return value
