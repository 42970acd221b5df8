"""Alarms: what a model says of its own metrics, as plain data that a screen can judge without importing the model.

A model declares them (`Model.alarms`), the catalogue holds them, `verdicts/health.py` reads them off a run's curves.

A metric is named as the run's log names it: `vae/active_units`, `val/vae/mse`, `health/balance`; one `*` stands for
any phase or network, and a name alone (`loss`) for that of every phase. Settings are named by their keys:
`model.beta`. An amount is one of these, or a sum as recipes write it: `D_real + D_fake / -1`, `active_units /
model.latent`.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

Level = Literal["good", "watch", "bad"]
Test = Literal["value", "overfits", "rises", "stuck", "explodes", "vanishes"]


class Bound(msgspec.Struct, frozen=True, omit_defaults=True):
    """An amount that is below a number, above one, or between two; a setting that is `one_of` some values."""

    amount: str
    above: float | None = None
    below: float | None = None
    one_of: list[str | bool] = []

    def holds(self, value: float | str | bool | None) -> bool:
        """Whether it is so; never of a value that nobody knows."""
        if self.one_of:
            return value in self.one_of
        if value is None or isinstance(value, str) or value != value:
            return False
        return (self.above is None or value > self.above) and (self.below is None or value < self.below)


class Alarm(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What holds of a run, and what to do about it. `test` says of what in the curve of `amount`:

    - `value`: its value now (the median of the last steps) is `above` a number, `below` one, or between two;
    - `overfits`: validation has become worse since its best while training became better (of a metric of training);
    - `rises`: it has lost more than half of what it had gained;
    - `stuck`: it is what it was at the beginning;
    - `explodes`, `vanishes`: it is more than `above` times its lowest, or less than `below` times its highest, so far.

    It counts from step `after` on, where all of `when` hold. `sentence` and `advice` may name, in braces and in the
    format of Python's `str.format`, `{value}`, `{step}` (since when), `{best}`, `{where}` (what `*` stands for), any
    metric and any setting by the last part of its name: `{active_units:.0f} of {latent} units are active`. Of several
    alarms the first of the worst level is told.
    """

    amount: str
    sentence: str
    advice: str = ""
    level: Level = "bad"
    test: Test = "value"
    above: float | None = None
    below: float | None = None
    when: list[Bound] = []
    after: int = 200

    @property
    def bound(self) -> Bound:
        """What a value must be, of the tests that compare it with a number."""
        return Bound(self.amount, self.above, self.below)


def names_in(amount: str) -> Iterator[tuple[str, str]]:
    """The terms of an amount: what is counted, and what it is divided by ("1" where it is not)."""
    for term in amount.split(" + "):
        name, _, divisor = term.partition(" / ")
        yield name, divisor or "1"


def value_of(amount: str, values: Mapping[str, float | None]) -> float | None:
    """The value of a metric, or of a sum of metrics and numbers (`a + b / 784 + -0.5`); None where one is unknown."""

    def number(name: str) -> float | None:
        return values[name] if name in values else float(name)

    total = 0.0
    for name, divisor in names_in(amount):
        try:
            value, by = number(name), number(divisor)
            if value is None or by is None:
                return None
            total += value / by
        except (ValueError, TypeError, ZeroDivisionError):
            return None
    return float(f"{total:.7g}")


def placeholders(text: str) -> set[str]:
    """The names in braces in a sentence. Raises ValueError where its braces are wrong."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def faults(alarms: object) -> str:
    """Why these cannot be a model's alarms, in words; empty where they can."""
    try:
        rules = msgspec.convert(msgspec.to_builtins(alarms), list[Alarm])
    except (msgspec.ValidationError, TypeError) as error:
        return f"{error}; write " 'Alarm(amount="loss", above=10, sentence="the loss is {value:.3g}")'
    for alarm in rules:
        try:
            names = placeholders(alarm.sentence) | placeholders(alarm.advice)
        except ValueError as error:
            return f"{alarm.sentence!r}: {error}"
        if odd := sorted(name for name in names if not name.isidentifier()):
            return f"{alarm.sentence!r}: {{{odd[0]}}} is no name"
        if any(name.count("*") > 1 for name, _ in names_in(alarm.amount)):
            return f"{alarm.amount!r} has more than one *"
        if alarm.test == "value" and alarm.above is None and alarm.below is None:
            return f"the alarm of {alarm.amount!r} needs above or below"
        for test, name in (("explodes", "above"), ("vanishes", "below")):
            if alarm.test == test and getattr(alarm, name) is None:
                return f"the alarm of {alarm.amount!r} is told when it {test}: it needs {name}"
    return ""


def without(alarms: Iterable[Alarm], *tests: Test) -> tuple[Alarm, ...]:
    """Those of other tests: for models of which those would be wrong."""
    return tuple(alarm for alarm in alarms if alarm.test not in tests)


EVERY: tuple[Alarm, ...] = (
    Alarm(
        amount="health/grad_norm/*",
        test="explodes",
        above=100.0,
        sentence="the gradients of {where} explode: their norm is {value:.3g}, it was {best:.3g}",
        advice="Clip them (clip_norm = 1), or lower the learning rate",
        after=500,
    ),
    Alarm(
        amount="health/grad_norm/*",
        test="vanishes",
        below=1e-4,
        sentence="the gradients of {where} vanish: their norm is {value:.3g}, it was {best:.3g}",
        advice="Use fewer layers, a normalisation, or another activation",
        after=500,
    ),
    Alarm(
        amount="loss",
        test="rises",
        sentence="the loss of {where} has risen since step {step:,}: {value:.4g}, it was {best:.4g}",
        advice="Lower the learning rate, or clip gradients (clip_norm = 1)",
        after=500,
    ),
    Alarm(
        amount="loss",
        test="overfits",
        level="watch",
        sentence="overfits since step {step:,}: the validation loss is {value:.4g}, its best was {best:.4g}",
        advice="Stop here (the best checkpoint is kept), or use more data, augmentation or weight decay",
    ),
    Alarm(
        amount="loss",
        test="stuck",
        level="watch",
        sentence="the loss of {where} is what it was at the beginning: {value:.4g}",
        advice="Try another learning rate, ten times higher or lower",
        after=1000,
    ),
    Alarm(
        amount="health/dead_units/*",
        above=0.7,
        level="watch",
        sentence="{value:.0%} of the units in a layer of {where} are dead",
        advice="Lower the learning rate, or use leaky-relu or a normalisation",
        after=500,
    ),
    Alarm(
        amount="health/update_ratio/*",
        above=0.03,
        level="watch",
        sentence="a step changes the weights of {where} by {value:.1%}: that is much",
        advice="Lower its learning rate; 0.01 % to 1 % is usual",
        after=500,
    ),
    Alarm(
        amount="health/update_ratio/*",
        below=1e-5,
        level="watch",
        sentence="a step changes the weights of {where} by {value:.2g} of their size: hardly anything",
        advice="Raise its learning rate; 1e-4 to 1e-2 is usual",
        when=[Bound("health/grad_norm/*", above=0.0)],
        after=500,
    ),
    Alarm(
        amount="health/ema_lag",
        above=0.25,
        level="watch",
        sentence="the averaged weights, which samples are made with, are {value:.0%} behind",
        advice="Train longer, or lower train.ema",
        after=500,
    ),
)
"""The alarms of a model that declares none."""
