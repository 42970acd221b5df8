"""Mutated configs and `--set` assignments: each is accepted, or refused in words that name a key.

What is accepted is written out and read back as the same config, and the model itself is asked about it: it trains on
that or says why not. Nothing but ConfigError may be raised.
"""

from __future__ import annotations

import copy
import random
import time
import traceback
from collections.abc import Iterator
from typing import Any

from tests import small_runs
from tests.attack.outcome import Attack, Outcome, Plan
from tui_gen import config as configs
from tui_gen import params, toml_writer
from tui_gen.config import ConfigError

CONFIGS, TEXTS, SETS = 6000, 2000, 3000
SLOW = 5.0
"""Seconds that a single config may take at most."""

ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3.5, -0.0, 1e308, -1e308, 1e-320, float("inf"), float("nan"), 2**31, 2**63,
    -(2**63), 10**30, 10**400, "", " ", "0", "1e9", "nan", "true", "cpu", "cuda", "cuda:99", "cuda:²", "mps", "\0",
    "x" * 5000, "a\nb", "\x1b]0;x\x07", "ä→\U0001f600", "\ud800", "../../etc", "/dev/null", "~nobody/x", "$HOME",
    "=", "[", "'", '"""', [], [0], [-1], [1] * 100, [10**9, 10**9], ["a"], [[]], [None], [True], {}, {"a": 1},
    {"": ""}, {"name": "vae"}, [{"step": 1, "key": "train.phases.vae.lr", "value": 1e-4}], [{"step": -1}], [{}],
    [{"step": 0.5}],
]  # fmt: skip
"""Values that somebody may write where another kind is meant."""
BARE = ["", "=", "==", "train.steps", "=5", "train.steps=", "train.steps==5", ".=1", "a.b.c.d=1", "train=1", "model={}"]
"""Assignments that are none."""


def keys_of(tables: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The place of every value and every table."""
    found = []
    for key, value in tables.items():
        found.append((*path, key))
        if isinstance(value, dict):
            found += keys_of(value, (*path, key))
    return found


def mutated(dice: random.Random, tables: dict[str, Any], others: list[Any]) -> dict[str, Any]:
    """Tables with one to three things changed: a value, a key's name, a place, something more or less."""
    tables = copy.deepcopy(tables)
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        places = keys_of(tables)
        if not places:
            break
        *path, key = dice.choice(places)
        table = tables
        for part in path:
            table = table[part]
        match dice.randrange(7):
            case 0 | 1:
                table[key] = copy.deepcopy(dice.choice(ODD))
            case 2:
                table[key] = copy.deepcopy(dice.choice(others))
            case 3:
                del table[key]
            case 4:
                table[_misspelt(dice, key)] = table.pop(key)
            case 5:
                table[_misspelt(dice, key)] = copy.deepcopy(dice.choice(ODD))
            case 6 if isinstance(table[key], int | float):
                table[key] = table[key] * dice.choice([-1, 0, 10, 0.1, 1000, 1e9, 10**20])
            case _:
                deep: Any = dice.choice(ODD)
                for _ in range(dice.choice([1, 3, 40, 900])):
                    deep = {"a": deep} if dice.random() < 0.5 else [deep]
                table[key] = deep
    return tables


def _misspelt(dice: random.Random, key: str) -> str:
    at = dice.randrange(len(key) + 1)
    return dice.choice([key[:at] + key[at + 1 :], key[:at] + "x" + key[at:], key.upper(), key + "\n", "", key[::-1]])


def scratched(dice: random.Random, text: str) -> str:
    """TOML text with a few characters or lines changed, cut, doubled or moved."""
    for _ in range(dice.randint(1, 5)):
        at, to = sorted(dice.randrange(len(text) + 1) for _ in range(2))
        to = min(to, at + dice.choice([1, 3, 30, 300]))
        piece = dice.choice(
            ["", text[at:to] * 2, '"', "[", "]", "=", "\n", "#", "\\u0000", "9" * 50, "\x07", "[[a]]\n"]
        )
        text = text[:at] + piece + text[to:]
    return text


def _accepted(tables: dict[str, Any], models: Any) -> list[str]:
    """What does not hold of tables, accepted or not."""
    catalog, kinds = models
    try:
        config = configs.load(tables, catalog, "attack")
    except ConfigError as error:
        return (
            [] if error.problems and all(problem.message for problem in error.problems) else ["refused without words"]
        )
    again = configs.load(configs.parse_toml(configs.dumps(config, catalog), "attack"), catalog, "attack")
    wrong = [] if configs.dumps(again) == configs.dumps(config) else ["it is another config when written and read back"]
    from tui_gen.train.run import warm

    warm.check(configs.to_tables(config), catalog, kinds)
    return wrong


def _held(row: Outcome, where: str, tables: dict[str, Any] | None, act: Any) -> None:
    """Count a trial: nothing but ConfigError, and in time."""
    started, wrong = time.monotonic(), []
    try:
        wrong = act()
    except ConfigError as error:
        wrong = [] if error.problems else ["refused without words"]
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        wrong = [f"{type(error).__name__} at {place.name}:{place.lineno}: {str(error)[:200]}"]
    took = time.monotonic() - started
    if took > SLOW:
        wrong.append(f"it took {took:.0f} s")
    row.take(wrong, f"{where}{f': {tables!r}'[:400] if tables is not None and wrong else ''}")


def settings(plan: Plan) -> Iterator[Outcome]:
    """Mutated tables, scratched TOML text, assignments."""
    models = small_runs.built()
    catalog = models[0]
    sound = [recipe.tables for recipe in catalog.recipes.values()]
    sound = [configs.to_tables(configs.load({**one, "name": "x"}, catalog)) for one in sound if _loads(one, catalog)]
    others = [value for tables in sound[:6] for value in _values(tables)]

    dice, row, taken = plan.dice("tables"), Outcome("config", "mutated tables"), 0
    for number in range(CONFIGS):
        if plan.over():
            break
        tables = mutated(dice, dice.choice(sound), others)
        taken += _loads(tables, catalog)
        _held(row, f"number {number}", tables, lambda tables=tables: _accepted(tables, models))
    row.detail = f"{taken:,} accepted, the rest refused in words"
    yield row

    dice, row = plan.dice("text"), Outcome("config", "mutated TOML text")
    texts = [toml_writer.dump_toml(tables) for tables in sound]
    for number in range(TEXTS):
        if plan.over():
            break
        text = scratched(dice, dice.choice(texts))
        _held(row, f"number {number}", None, lambda text=text: _accepted(configs.parse_toml(text, "attack"), models))
    yield row

    dice, row = plan.dice("set"), Outcome("config", "--set assignments")
    for number in range(SETS):
        if plan.over():
            break
        words = [_assignment(dice, sound, catalog) for _ in range(dice.randint(1, 3))]
        tables = dice.choice(sound)
        _held(
            row, f"number {number}: {words!r}", None,
            lambda tables=tables, words=words: _accepted(configs.override(tables, words, catalog), models),
        )  # fmt: skip
    yield row


def _assignment(dice: random.Random, sound: list[dict[str, Any]], catalog: Any) -> str:
    if dice.random() < 0.05:
        return dice.choice(BARE)
    drawn = dice.choice(sound)
    key = dice.choice(list(configs.keys(drawn["model"]["name"], configs.named(drawn, "dataset", "digits"), catalog)))
    if dice.random() < 0.2:
        key = _misspelt(dice, key)
    value = dice.choice(ODD)
    text = value if isinstance(value, str) and dice.random() < 0.7 else params.show(value)
    return f"{key}{dice.choice(['=', ' = ', '=='])}{text}"


def _loads(tables: dict[str, Any], catalog: Any) -> bool:
    try:
        configs.load(tables, catalog)
    except Exception:  # whatever it is: it is counted where it belongs
        return False
    return True


def _values(tables: dict[str, Any]) -> list[Any]:
    inner = [_values(value) if isinstance(value, dict) else [value] for value in tables.values()]
    return [value for values in inner for value in values]


ATTACKS: dict[str, Attack] = {"config": settings}
