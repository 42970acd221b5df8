"""A space of settings to try: `lr=1e-4..1e-2:log`, `latent=8|16|32`; its grid, or random points of it.

A setting is named by its dotted key, or by the end of it where only one ends so. Its values are a list, or a range from
`LOW..HIGH` in even steps, with `:log` in even ratios, with a number (`:log:7`) in so many for a grid. What may be
tried is what the setting's declaration allows. Needs no PyTorch.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tui_gen import params
from tui_gen.config import ConfigError
from tui_gen.params import Param, Problem

POINTS = 5
"""Values of a range in a grid, where nothing is said."""
MOST = 1000
"""The most points that are made of a space: who waits for more runs?"""
DIGITS = 3
"""Significant digits of a number that is drawn or lies between the ends of a range."""
Point = dict[str, Any]
"""A value for each setting, by its dotted key."""


class Axis(msgspec.Struct, frozen=True):
    """The values of one setting that are tried: those listed, or between two ends, `count` of them in a grid."""

    key: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    count: int = POINTS
    whole: bool = False
    counted: bool = False
    """Whether it was said how many values it has in a grid."""

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self.key.rpartition(".")[2]

    def grid(self) -> list[Any]:
        """Every value of it in a grid, without doubles."""
        if self.values:
            return list(self.values)
        parts = [place / max(1, self.count - 1) for place in range(self.count)]
        return list(dict.fromkeys(self._at(part) for part in parts))

    def draw(self, dice: random.Random) -> Any:
        """A value at random: each listed one as likely as the others, evenly in a range, or in its logarithm."""
        return dice.choice(self.values) if self.values else self._at(dice.random())

    def _at(self, part: float) -> Any:
        if part in (0.0, 1.0):
            value = self.high if part else self.low
        elif self.log:
            value = math.exp(math.log(self.low) + part * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + part * (self.high - self.low)
        return value if part in (0.0, 1.0) and not self.whole else self.near(value)

    def near(self, value: float) -> Any:
        """The value of a range that is near a number and has few digits."""
        if self.whole:
            return min(int(self.high), max(int(self.low), round(value)))
        return min(self.high, max(self.low, float(f"{value:.{DIGITS}g}")))

    def ends(self) -> list[Any]:
        """Every value that is listed; of a range the two ends."""
        if self.values:
            return list(self.values)
        return list(dict.fromkeys([self._at(0.0), self._at(1.0)]))

    @property
    def size(self) -> float:
        """How many values it has; infinite for a range of numbers that are not whole."""
        if self.values:
            return len(self.values)
        return self.high - self.low + 1 if self.whole else math.inf if self.high > self.low else 1

    def words(self) -> str:
        """As it is written after its key."""
        if self.values:
            return "|".join(params.show(value) for value in self.values)
        kind = (":log" if self.log else "") + (f":{self.count}" if self.counted else "")
        return f"{params.show(_number(self.low, self.whole))}..{params.show(_number(self.high, self.whole))}{kind}"


def _number(value: float, whole: bool) -> float | int:
    return int(value) if whole else value


NEXT = re.compile(r",(?=\s*[A-Za-z_][\w.-]*\s*=)")
"""A comma between two settings; any other is part of a list."""


def parse(texts: Iterable[str], settings: Mapping[str, Param], idle: Container[str] = ()) -> list[Axis]:
    """The axes that texts such as `lr=1e-4..1e-2:log,latent=8|16` describe, for a config with these settings, of which
    those that are `idle` do nothing in it.

    Raises ConfigError that lists every problem.
    """
    axes: list[Axis] = []
    problems: list[Problem] = []
    for text in (part for whole in texts for part in NEXT.split(whole)):
        name, equals, words = (part.strip() for part in text.partition("="))
        if not equals or not name or not words:
            hint = "for example lr=1e-4..1e-2:log or latent=8|16|32"
            problems.append(Problem("--space", text, "must look like key=values", hint))
            continue
        try:
            axes.append(axis(full_key(name, settings, idle), words, settings))
        except ConfigError as error:
            problems += error.problems
    keys = [one_axis.key for one_axis in axes]
    problems += [Problem("--space", key, "is given twice") for key in dict.fromkeys(keys) if keys.count(key) > 1]
    if problems:
        raise ConfigError("--space", problems)
    return axes


def full_key(name: str, settings: Mapping[str, Param], idle: Container[str] = ()) -> str:
    """The dotted key that a name means: itself, or the only one that ends so, or of those the only one that is not
    idle. Raises ConfigError."""
    if name in settings:
        return name
    ends = [key for key in settings if key.endswith(f".{name}")]
    ends = [key for key in ends if key not in idle] or ends
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise ConfigError("--space", [Problem("--space", name, "could be any of several", ", ".join(ends))])
    hint = params.meant(name, list(settings), (key.rpartition(".")[2] for key in settings))
    raise ConfigError("--space", [Problem("--space", name, "names no setting", hint)])


def axis(key: str, words: str, settings: Mapping[str, Param]) -> Axis:
    """The values of a setting that words such as `1e-4..1e-2:log:5` or `8|16|32` list. Raises ConfigError."""
    param = settings[key]
    if param.kind in ("int", "float") and ".." in words:
        return _range(key, words, param)
    values: list[Any] = []
    problems = []
    for text in dict.fromkeys(part.strip() for part in words.split("|")):
        value, wrong = params.check_value(param, params.parse(param, text))
        if wrong:
            hint = params.nearest(text, param.choices) if param.kind == "choice" else ""
            if not hint and "," in text:
                hint = f"several values: {key}='{text.replace(',', '|')}'"
            problems.append(Problem(key, text, wrong, hint))
        elif value not in values:
            values.append(value)
    if problems:
        raise ConfigError("--space", problems)
    return Axis(key, tuple(values))


def _range(key: str, words: str, param: Param) -> Axis:
    ends, *more = (part.strip() for part in words.split(":"))
    first, _, last = ends.partition("..")
    low, high = params.parse(param, first), params.parse(param, last)
    how = "write LOW..HIGH, LOW..HIGH:log, or LOW..HIGH:log:7 for so many values"
    for value in (low, high):
        if wrong := params.check_value(param, value)[1]:
            raise ConfigError("--space", [Problem(key, words, f"{params.show(value) or 'nothing'} {wrong}", how)])
    log, count = "log" in more, POINTS
    rest = [part for part in more if part != "log"]
    if len(rest) > 1 or len(rest) + log < len(more) or not all(part.isdecimal() and len(part) < 5 for part in rest):
        raise ConfigError("--space", [Problem(key, words, "is no range", how)])
    if rest:
        count = int(rest[0])
    if low > high:
        raise ConfigError("--space", [Problem(key, words, "goes down", f"write {last} first")])
    if log and low <= 0:
        raise ConfigError("--space", [Problem(key, words, "has no logarithm at its beginning", "begin above 0")])
    if not 1 <= count <= MOST:
        raise ConfigError("--space", [Problem(key, words, f"has {count} values; 1 ≤ x ≤ {MOST}", how)])
    return Axis(key, (), float(low), float(high), log, count, param.kind == "int", bool(rest))


def grid(axes: Sequence[Axis]) -> list[Point]:
    """Every combination of the axes' values, the last axis changing first. Raises ConfigError for more than MOST."""
    columns = [one_axis.grid() for one_axis in axes]
    count = math.prod(map(len, columns))
    if count > MOST:
        hint = f"give some ranges fewer values (:3), or draw some at random: at most {MOST}"
        raise ConfigError("--space", [Problem("--grid", None, f"has {count:,} combinations", hint)])
    return [dict(zip((one_axis.key for one_axis in axes), values)) for values in itertools.product(*columns)]


def sample(axes: Sequence[Axis], count: int, seed: int) -> list[Point]:
    """So many different points at random, the same for a seed; all there are where the space has no more of them.

    Raises ConfigError for more than MOST.
    """
    if not 1 <= count <= MOST:
        raise ConfigError("--space", [Problem("--random", count, f"needs a whole number, 1 ≤ x ≤ {MOST}")])
    dice = random.Random(seed)
    size = math.prod(one_axis.size for one_axis in axes)
    points: list[Point] = []
    tries = 0
    while len(points) < min(count, size) and tries < 100 * count + 1000:
        tries += 1
        point = {one_axis.key: one_axis.draw(dice) for one_axis in axes}
        if point not in points:
            points.append(point)
    return points


def corners(axes: Sequence[Axis]) -> list[Point]:
    """Points that have every listed value and both ends of every range, each beside the first values of the others."""
    first = {one_axis.key: one_axis.ends()[0] for one_axis in axes}
    others = [first | {one_axis.key: value} for one_axis in axes for value in one_axis.ends()[1:]]
    return [first, *others]


def point_words(point: Mapping[str, Any]) -> str:
    """A point as a person reads it: `lr=3e-4 latent=8`; with more of their keys where two end alike."""
    ends = [key.rpartition(".")[2] for key in point]
    names = [end if ends.count(end) == 1 else ".".join(key.split(".")[-2:]) for key, end in zip(point, ends)]
    return " ".join(f"{name}={params.show(value)}" for name, value in zip(names, point.values()))


def proposal(param: Param, value: Any) -> str:
    """Values around one that a setting has, to begin with: every choice, half and double, a tenth to the tenfold."""
    if param.kind == "choice":
        return "|".join(params.show(choice) for choice in param.choices)
    if param.kind == "bool":
        return "false|true"
    if param.kind not in ("int", "float") or not isinstance(value, int | float):
        return params.show(value)
    allowed = [near for near in _near(param, value) if not params.check_value(param, near)[1]]
    if param.kind == "int":
        return "|".join(params.show(near) for near in dict.fromkeys(sorted(allowed)))
    low, high = min(allowed, default=value), max(allowed, default=value)
    if not low < high:
        return params.show(value)
    return f"{params.show(low)}..{params.show(high)}" + (":log:3" if low > 0 else ":3")


def _near(param: Param, value: float) -> list[Any]:
    if param.kind == "int":
        return [int(value) // 2, int(value), 2 * int(value)] if value else [0, 1, 2]
    if value == 0:
        return [0.0, param.le if param.le is not None else 1.0]
    near = [float(f"{value * factor:.{DIGITS}g}") for factor in (0.1, 0.5, 2.0, 10.0)]
    return [float(value), *near]
