"""Is it going well? One verdict on a run: a level, a sentence, a number and what to do next.

It is read off the run's curves by what its model knows of itself (`tui_gen.alarms`, through the catalogue) and by the
figure that its recipe states, where the run is that recipe as written (`goals.py` has the figures that any run can
be held against). Needs neither PyTorch nor the model.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from tui_gen import toml
from tui_gen.alarms import Alarm, Bound, Level, names_in, value_of
from tui_gen.catalog import Aim, ModelEntry, Recipe, entry_named, recipe_named
from tui_gen.config import named
from tui_gen.draw.series import Series
from tui_gen.files import read_regular
from tui_gen.headline import MOST
from tui_gen.quantities import count, metric
from tui_gen.verdicts.trends import blocks, explodes, overfits, projected, rises, settled, stuck, underfits, vanishes
from tui_gen.view import RunView

APART = ("val", "health", "quality")
"""What metrics' names begin with that are none of a phase's: `*` and a bare name do not stand for them."""
SEVERAL = 5
"""Measurements of health whose median is the one of now."""
EARLY = 0.3
"""Share of a run from which on it can be told whether it will reach its figure."""


class Verdict(msgspec.Struct, frozen=True):
    """How a run goes, or went. `sentence` begins with a small letter and has no full stop at its end, `number` is the
    value that it is judged by, with the figure that it should reach and its best; `advice` says what to do next. Both
    may be empty. All of it is one line each."""

    level: Level
    sentence: str
    number: str = ""
    advice: str = ""


class Declared(msgspec.Struct, frozen=True):
    """What is stated of a run from outside it: its model's alarms, its settings, and its recipe's figures."""

    entry: ModelEntry | None
    settings: Mapping[str, Any]
    aims: tuple[Aim, ...] = ()
    """The figures that the recipe states for the run's data, first the one it is judged by: that one may be of a
    measurement that the run does not make."""
    steps: int = 0
    """The recipe's length in steps, 0 where it is stated in epochs (or by nobody)."""
    epochs: float = 0.0

    @property
    def alarms(self) -> list[Alarm]:
        return self.entry.alarms if self.entry is not None else []


def verdict(view: RunView) -> Verdict | None:
    """How a run goes, by what was read of it so far; None while nothing can be said. Cheap: a millisecond or so."""
    return judged(view, declared(view))


def line(verdict: Verdict) -> str:
    """A verdict in one line: `watch: 4 of 16 units active: … (elbo -23.6). Lower beta`."""
    number = f" ({verdict.number})" if verdict.number else ""
    return f"{verdict.level}: {verdict.sentence}{number}" + (f". {verdict.advice}" if verdict.advice else "")


def declared(view: RunView) -> Declared:
    """What is stated of a run; looked up once for a config."""
    path = view.path / "config.toml"
    try:
        changed = os.stat(path).st_mtime_ns
    except OSError:
        return Declared(None, {})
    return _declared(str(path), changed)


@functools.lru_cache(maxsize=64)
def _declared(path: str, changed: int) -> Declared:
    try:
        tables = toml.loads(read_regular(path, MOST).decode())
    except (OSError, ValueError, RecursionError):
        return Declared(None, {})
    folders = tables.get("model_dirs")
    folders = [folder for folder in folders if isinstance(folder, str)] if isinstance(folders, list) else []
    entry = entry_named(named(tables, "model"), folders)
    settings = dict(_flat(tables))
    recipe = recipe_named(str(tables.get("name", "")))
    if entry is None or recipe is None or not as_written(recipe, entry, tables):
        return Declared(entry, settings)
    train = recipe.tables.get("train", {})
    train = train if isinstance(train, dict) else {}
    length = {key: value for key in ("steps", "epochs") if isinstance(value := train.get(key), int | float)}
    data = named(tables, "dataset")
    aims = tuple(aim for aim in (recipe.aim_on(data), _checked(recipe, data)) if aim is not None)
    return Declared(entry, settings, aims, int(length.get("steps", 0)), float(length.get("epochs", 0)))


def _flat(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values."""
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def as_written(recipe: Recipe, entry: ModelEntry, tables: Mapping[str, Any]) -> bool:
    """Whether a config's model has the recipe's hyperparameters: else its figure is none of the run's."""
    model, own = recipe.tables.get("model"), tables.get("model")
    if not isinstance(model, dict) or not isinstance(own, dict) or model.get("name") != entry.name:
        return False
    return all(own.get(p.name, p.default) == model.get(p.name, p.default) for p in entry.params)


def _checked(recipe: Recipe, data: str) -> Aim | None:
    """The figure of a recipe's short version, where that is shorter and nothing else: the recipe reaches it too."""
    check = recipe.check
    if check is None or data != recipe.dataset or any(not line.startswith("train.steps=") for line in check.overrides):
        return None
    return Aim(check.reach, check.metric, check.better)


def judged(view: RunView, stated: Declared) -> Verdict | None:
    """The verdict on a run of which this is stated."""
    if view.state == "failed":
        alert = view.alerts[-1] if view.alerts and view.alerts[-1].level == "error" else None
        words = f"it failed: {_line(view.reason or (alert.what if alert else ''))}".rstrip(": ")
        return Verdict("bad", words, advice=_line(alert.advice if alert else ""))
    if not any(len(curve) for name, curve in view.series.items() if not name.startswith("val/")):
        return None
    if view.state == "interrupted":
        standing = Standing.of(view, stated)
        words = f"it was interrupted at step {count(view.step)}: {_line(view.reason)}".rstrip(": ")
        advice = "Resume it: it goes on from its last checkpoint" if view.checkpoints else "Resume it: it begins again"
        if not view.path.is_dir():
            advice = ""  # it was moved away, as the words say
        return Verdict("watch", words, standing.words if standing is not None else "", advice)
    values = Values(view, stated.settings)
    figure = Standing.of(view, stated)
    number = figure.words if figure is not None else ""
    broken = [name for name, curve in view.series.items() if name.endswith("/loss") and _broken(curve)]
    if broken:
        words = f"{broken[0]} is not a number (NaN or infinite)"
        return Verdict("bad", words, number, "Stop it and resume with a smaller learning rate")
    found = [verdict for alarm in stated.alarms for verdict in rung(alarm, view, values)]
    alike = _alike(view, stated)
    goal = figure.verdict(view, found, alike) if figure is not None and figure.aim is not None else None
    for level in ("bad", "watch"):
        for verdict in (*found, *([goal] if goal is not None else [])):
            if verdict.level == level == "watch" and goal is not None and figure is not None and figure.reached:
                words = f"{goal.sentence}, though {verdict.sentence}"  # what the recipe itself asks for cannot be wrong
                return Verdict(goal.level, words, number, verdict.advice)
            if verdict.level == level:
                return msgspec.structs.replace(verdict, number=number)
    if goal is not None:
        return msgspec.structs.replace(goal, number=number)
    good = next((verdict for verdict in found if verdict.level == "good"), None)
    return msgspec.structs.replace(good or _course(view, figure, alike), number=number)


def _alike(view: RunView, stated: Declared) -> str:
    """`0.31 in training, 0.32 in validation`, where a loss is no worse in validation; empty else, and for models of
    which neither over- nor underfitting can be told by their losses."""
    if not any(alarm.test == "overfits" for alarm in stated.alarms):
        return ""
    for name, curve in view.series.items():
        other = view.series.get(f"val/{name}") if name.endswith("/loss") else None
        if other is not None and (found := underfits(curve.values, other.values)) is not None:
            return f"{metric(found['best'])} in training, {metric(found['value'])} in validation"
    return ""


def _broken(curve: Series) -> bool:
    return bool(len(curve)) and not np.isfinite(curve.values[-1])


def _line(text: str) -> str:
    return " ".join(text.split())


class Values(Mapping[str, Any]):
    """Metrics as they are now and settings in force, by their names; the median of the last steps of those that every
    step has. `place` is what `*` stands for."""

    def __init__(self, view: RunView, settings: Mapping[str, Any], place: str = "") -> None:
        self.view, self.place = view, place
        self.settings = {**settings, **{edit.key: edit.new for edit in view.edits}}

    def at(self, place: str) -> Values:
        """The same where `*` stands for another place."""
        return Values(self.view, self.settings, place)

    def places(self, name: str) -> list[str]:
        """What `*` may stand for in a metric's name; [""] where it has none."""
        pattern = self.pattern(name)
        if "*" not in pattern:
            return [""]
        before, _, after = pattern.partition("*")
        return [
            inner
            for known in self.view.series
            if known.startswith(before) and known.endswith(after) and len(known) > len(before) + len(after)
            if "/" not in (inner := known[len(before) : len(known) - len(after)]) and (before or inner not in APART)
        ]

    def pattern(self, name: str) -> str:
        """The full name of a metric, with `*` where it may be of any phase."""
        return name if "/" in name or "." in name else f"*/{name}"

    def curve(self, name: str) -> Series | None:
        """The curve of a metric, None where there is none; where no place is given, of the first one that has it."""
        pattern = self.pattern(name)
        place = self.place or next(iter(self.places(name)), "")
        return self.view.series.get(pattern.replace("*", place))

    def __getitem__(self, name: str) -> Any:
        if name in self.settings:
            return self.settings[name]
        if (curve := self.curve(name)) is None or not len(curve):
            raise KeyError(name)
        seldom = {"val": 1, "quality": 1, "health": SEVERAL}  # a measurement of one batch has its noise
        return settled(curve.values, seldom.get(self.pattern(name).partition("/")[0]))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.settings or bool(self.curve(name)))

    def __iter__(self) -> Iterator[str]:
        return iter([*self.settings, *self.view.series])

    def __len__(self) -> int:
        return len(self.settings) + len(self.view.series)


class Words(dict[str, Any]):
    """What a sentence may name: what was found, then metrics and settings by the last part of their names."""

    def __init__(self, values: Values, **found: Any) -> None:
        super().__init__(found)
        self._values = values

    def __missing__(self, name: str) -> Any:
        for key, value in self._values.settings.items():
            if key.rpartition(".")[2] == name and key.startswith("model."):
                return value
        return self._values[name]


def rung(alarm: Alarm, view: RunView, values: Values) -> Iterator[Verdict]:
    """The verdicts of an alarm, one for each place where it holds."""
    if view.step < alarm.after:
        return
    first = next(names_in(alarm.amount))[0]
    for place in values.places(first):
        here = values.at(place)
        if not all(_holds(bound, here) for bound in alarm.when):
            continue
        found = _tested(alarm, first, here)
        if found is None:
            continue
        words = Words(here, where=place or first, **found)
        yield Verdict(alarm.level, _filled(alarm.sentence, words), advice=_filled(alarm.advice, words))


def _filled(text: str, words: Words) -> str:
    """A sentence with what it names; a question mark for what is not known, or has no such form."""
    try:
        return text.format_map(words)
    except (KeyError, ValueError, TypeError):
        return re.sub(r"{[^}]*}", "?", text)


def _holds(bound: Bound, values: Values) -> bool:
    if bound.one_of:
        return bound.holds(values.get(bound.amount))
    return bound.holds(value_of(bound.amount, values))


def _tested(alarm: Alarm, name: str, values: Values) -> dict[str, float] | None:
    """What is to be told of an alarm that holds: `value`, and `step` and `best` where there are such; else None."""
    if alarm.test == "value":
        value = value_of(alarm.amount, values)
        return {"value": value} if value is not None and alarm.bound.holds(value) else None
    curve = values.curve(name)
    if curve is None or len(curve) < 2 or curve.steps[-1] < 0.9 * values.view.step:  # a phase that is over
        return None
    since = max((edit.step for edit in values.view.edits if edit.key.startswith("model.")), default=-1)
    start = int(curve.steps.searchsorted(since, side="right"))  # another loss since then
    steps, numbers = curve.steps[start:], curve.values[start:]
    match alarm.test:
        case "overfits":
            other = values.view.series.get(f"val/{values.pattern(name).replace('*', values.place)}")
            if other is None:
                return None
            begin = int(other.steps.searchsorted(since, side="right"))
            return overfits(steps, numbers, other.steps[begin:], other.values[begin:])
        case "rises":
            return rises(steps, numbers)
        case "stuck":
            return stuck(numbers) if start == 0 else None
        case "explodes":
            return explodes(numbers, alarm.above or math.inf)
        case "vanishes":
            return vanishes(numbers, alarm.below or 0.0)
    return None


class Standing(msgspec.Struct, frozen=True):
    """What a run is judged by: a metric's curve (steps and values), and what it should reach if anybody says so."""

    called: str
    higher: bool
    steps: np.ndarray
    values: np.ndarray
    aim: Aim | None
    due: bool
    """Whether the run is as long as what the figure is stated of."""

    @classmethod
    def of(cls, view: RunView, stated: Declared) -> Standing | None:
        """The first figure stated of a run whose metric its log has; else the first metric that judges its model."""
        for aim in stated.aims:
            curve = _curve(aim.metric, view)
            if curve is not None:
                return cls(_short(aim.metric), aim.better == "higher", *curve, aim, _long_enough(view, stated))
        plan = view.plan
        for ending in (*(plan.judged if plan is not None else []), "loss"):
            for name in sorted(view.series, key=lambda name: not name.startswith("val/")):
                if name.rpartition("/")[2] == ending and name.split("/")[0] not in APART[1:]:
                    curve = _curve(name, view)
                    if curve is not None:
                        better = stated.entry.higher_is_better if stated.entry is not None else []
                        return cls(_short(name), ending in better, *curve, None, False)
        return None

    @property
    def now(self) -> float:
        """The value of now: the median of the last steps of a metric that every step has."""
        return settled(self.values)

    @property
    def best(self) -> tuple[float, float]:
        """The best value so far and its step; of a metric that every step has, of a block of steps."""
        steps, values = blocks(self.steps, self.values, 200)
        place = int(np.nanargmax(values if self.higher else -values))
        return float(values[place]), float(steps[place])

    @property
    def reached(self) -> bool:
        return self.aim is not None and self._reaches(self.now)

    def _reaches(self, value: float) -> bool:
        assert self.aim is not None
        return value >= self.aim.reach if self.higher else value <= self.aim.reach

    @property
    def words(self) -> str:
        """`elbo -23.6 · best -23.4 at step 900 · figure ≥ -24.7`."""
        best, step = self.best
        parts = [f"{self.called} {metric(self.now)}"]
        if metric(best) != metric(self.now):
            parts.append(f"best {metric(best)} at step {count(int(step))}")
        if self.aim is not None:
            parts.append(f"figure {'≥' if self.higher else '≤'} {metric(self.aim.reach)}")
        return " · ".join(parts)

    def verdict(self, view: RunView, found: list[Verdict], alike: str = "") -> Verdict | None:
        """Whether it has its figure or is on course for it; None where that cannot be told yet. `alike`: losses of
        training and validation, where these are."""
        if self.reached:
            return Verdict("good", "it has its figure" if view.live else "it reached its figure")
        fraction = view.fraction or 0.0
        if not self.due or fraction < EARLY:
            return None
        if view.live:
            end = projected(self.steps, self.values, view.step / fraction)
            if end is None:
                return None
            if self._reaches(end):
                return Verdict("good", "on course for its figure")
            words = f"it will miss its figure: about {metric(end)} at the end"
        elif view.state == "finished":
            words = "it missed its figure"
        else:
            return None
        if self.falling:
            return Verdict("watch", words, advice="It still improves: train longer")
        if any("overfits" in other.sentence for other in found):
            return Verdict("watch", words, advice="It overfits: use more data, augmentation or weight decay")
        why = f"It underfits ({alike})" if alike else "It no longer improves"
        return Verdict("watch", words, advice=f"{why}: a larger network, or another learning rate")

    @property
    def falling(self) -> bool:
        """Whether it still became better by more than its noise, recently."""
        _, values = blocks(self.steps, self.values, 20)
        if len(values) < 6:
            return True
        sign = 1 if self.higher else -1
        late, before = values[-3:], values[-6:-3]
        noise = float(np.median(np.abs(np.diff(values[-8:])))) + 1e-12
        return bool(sign * (np.median(late) - np.median(before)) > 0.5 * noise)


def _course(view: RunView, figure: Standing | None, alike: str) -> Verdict:
    """What there is to say where no alarm holds and no figure is stated."""
    told = figure is not None and len(figure.values) >= 6
    larger = f"A larger network may do better: it fits no better than it generalises ({alike})" if alike else ""
    if not view.live:
        if figure is not None and told and figure.falling:
            return Verdict("good", f"{view.state}, and {figure.called} still improved", advice="Train longer")
        return Verdict("good", f"{view.state}, nothing to worry about", advice=larger)
    if figure is None or not told:
        return Verdict("good", "it has just begun")
    if figure.falling:
        return Verdict("good", f"{figure.called} still improves")
    return Verdict("good", f"{figure.called} has levelled off", advice=larger or "Stop here if the samples please you")


def _short(name: str) -> str:
    """What a metric is called in a line: without the phase, which mostly is the model."""
    return name.rpartition("/")[2] if " " not in name else name.replace("val/", "")


def _curve(amount: str, view: RunView) -> tuple[np.ndarray, np.ndarray] | None:
    """Steps and values of an amount, at the steps where all its metrics have values; None where it has none."""
    terms = [(view.series.get(name), name, divisor) for name, divisor in names_in(amount)]
    curves = [curve for curve, _, _ in terms if curve is not None]
    if not curves:
        return None
    steps = functools.reduce(np.intersect1d, (curve.steps for curve in curves))
    total = np.zeros(len(steps))
    for curve, name, divisor in terms:
        try:
            part: Any = float(name) if curve is None else curve.values[np.searchsorted(curve.steps, steps)]
            total = total + part / float(divisor)
        except (ValueError, ZeroDivisionError):
            return None
    fine = np.isfinite(total)
    return (steps[fine], total[fine]) if fine.any() else None


def _long_enough(view: RunView, stated: Declared) -> bool:
    """Whether a run is as long as its recipe."""
    plan = view.plan
    if plan is None or not plan.steps:
        return False
    return plan.steps >= (stated.steps or math.floor(stated.epochs * plan.steps_per_epoch)) > 0
