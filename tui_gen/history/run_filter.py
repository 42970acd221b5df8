"""Filters of lists of runs: words and expressions, such as `vae lr<1e-3 state:finished star best<100 -tag:old`.

All terms must hold; `or` between terms parts alternatives; `-` or `not` before a term turns it round. A word is looked
for in state, model, dataset, name, folder and tags. `key:text` looks for a text, `=`, `!=`, `<`, `<=`, `>` and `>=`
compare; keys are those of `FACTS` and all settings (`lr`, `vae.lr`, `train.batch_size`), as a run was begun with them:
what was edited while it trained is in its log, which a list of many runs does not read for that. Times may have a unit
(`2h`), sizes too (`3G`), and a text with blanks stands in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tui_gen.history.run_facts import FACTS, NEED_SUMMARY, RunRow, setting_values
from tui_gen.history.run_settings import RunSettings, Scalar
from tui_gen.params import nearest

HELP = "words, key:text, key<number; and all settings: vae lr<1e-3 state:finished star best<100 -tag:old"
ALIASES = {"tags": "tag", "data": "dataset", "starred": "star", "folder": "run", "verified": "exact"}
SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
BYTES = {"": 1.0, "b": 1.0, "k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9, "t": 1e12, "tb": 1e12}
_TOKEN = re.compile(
    r'\s*(?P<not>(?:-|!|not\s+)(?=[\w"*★]))?'
    r'(?:(?P<key>[A-Za-z_][\w.]*)\s*(?P<op><=|>=|!=|==|<|>|=|:)\s*(?P<value>"[^"]*"?|[^\s"]*)'
    r'|(?P<word>"[^"]*"?|[^\s"]+))',
)


class FilterError(ValueError):
    """An expression that is none; the text says what is wrong with it."""


@dataclass(frozen=True)
class Term:
    """A part of a filter: a word, or a key with what its value has to be."""

    negative: bool
    key: str
    op: str
    value: str


Found = dict[tuple[Term, ...], list[RunRow]]
"""The runs that match all of some terms."""


class RunFilter:
    """A filter of runs, made from its text. Raises FilterError where that is none."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.alternatives: list[list[Term]] = [[]]
        place = 0
        text = text.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None or match.end() == place:
                raise FilterError(f"what is {text[place:].strip()[:20]!r}? {HELP}")
            place = match.end()
            self._take(match)
        if len(self.alternatives) > 1 and not all(self.alternatives):
            raise FilterError("there is nothing on one side of `or`")
        self._tests = [[_test_of(term) for term in terms] for terms in self.alternatives]

    def _take(self, match: re.Match[str]) -> None:
        negative, word = bool(match["not"]), match["word"]
        if word is not None:
            if word.lower() in ("or", "|") and not negative:
                self.alternatives.append([])
            elif word.lower() != "and":
                plain = not word.startswith('"')
                is_flag = plain and ALIASES.get(word.lower(), word.lower()) in FLAGS
                key = ALIASES.get(word.lower(), word.lower()) if is_flag else ""
                self.alternatives[-1].append(Term(negative, key, "is" if is_flag else "", word.strip('"').lower()))
            return
        key = match["key"]
        key = ALIASES.get(key.lower(), key.lower() if key.lower() in FACTS else key)
        self.alternatives[-1].append(Term(negative, key, match["op"].replace("==", "="), match["value"].strip('"')))

    @property
    def keys(self) -> list[str]:
        """The facts and settings that it asks for."""
        return [term.key for terms in self.alternatives for term in terms if term.key]

    @property
    def settings(self) -> list[str]:
        """Those of them that are settings."""
        return [key for key in self.keys if key not in FACTS]

    @property
    def needs_summaries(self) -> bool:
        """Whether it asks for what takes a look into the logs."""
        return any(key in NEED_SUMMARY for key in self.keys)

    def matches(self, row: RunRow, settings: RunSettings) -> bool:
        """Whether a run is one of those."""
        return any(all(test(row, settings) for test in tests) for tests in self._tests)

    def matching(self, rows: Iterable[RunRow], settings: RunSettings, known: Found | None = None) -> list[RunRow]:
        """The runs that match. Raises FilterError where it asks for a setting that none of them has.

        In `known` is what the first terms of earlier filters of the same rows have left; what these leave is added.
        """
        rows = list(rows)
        for key in self.settings:
            if rows and not any(settings.find(row.info.path, key) for row in rows):
                hint = nearest(key, [*FACTS, "lr", "batch_size", "seed", "latent"])
                raise FilterError(f"no run has a setting {key}" + (f"; {hint}" if hint else ""))
        if len(self._tests) > 1:
            return [row for row in rows if self.matches(row, settings)]
        known = {} if known is None else known
        for count, test in enumerate(self._tests[0], 1):
            terms = tuple(self.alternatives[0][:count])
            if terms not in known:
                known[terms] = [row for row in rows if test(row, settings)]
            rows = known[terms]
        return rows


FLAGS = tuple(name for name, fact in FACTS.items() if fact.kind == "flag")


def _test_of(term: Term) -> Callable[[RunRow, RunSettings], bool]:
    """What tells whether a run has what a term asks for. Raises FilterError where the term makes no sense."""
    if not term.key:
        return lambda row, _: (term.value in row.words) != term.negative
    if term.op == "is":
        return lambda row, _: bool(FACTS[term.key].value(row)) != term.negative
    if not term.value:
        raise FilterError(f"{term.key}{term.op} needs a value after it")
    kind = FACTS[term.key].kind if term.key in FACTS else "setting"
    compares = _comparison(term, kind)
    if term.op == "!=":  # of several values none may be this one
        return lambda row, settings: all(map(compares, setting_values(row, term.key, settings))) != term.negative
    return lambda row, settings: any(map(compares, setting_values(row, term.key, settings))) != term.negative


def _comparison(term: Term, kind: str) -> Callable[[Scalar], bool]:
    word = term.value.lower()
    number = _number(term.value, kind)
    ordering = term.op in ("<", "<=", ">", ">=")
    if ordering or kind in ("number", "seconds", "bytes"):
        if kind in ("text", "texts", "flag"):
            raise FilterError(f"{term.key} is no number; write {term.key}:{term.value}")
        if number is None:
            raise FilterError(f"{term.value!r} is no number to compare {term.key} with")
    if kind == "flag":
        if word not in YES + NO:
            raise FilterError(f"{term.key} is yes or no")
        return lambda value: (bool(value) == (word in YES)) != (term.op == "!=")
    if ordering:
        assert number is not None
        return lambda value: _is_number(value) and _compare(float(value), term.op, number)
    if term.op == ":" and kind not in ("number", "seconds", "bytes"):
        return lambda value: word in _as_text(value) if isinstance(value, str) else _same(value, word, number)
    return lambda value: _same(value, word, number) != (term.op == "!=")


YES, NO = ("yes", "true", "1", "on"), ("no", "false", "0", "off")


def _same(value: Scalar, word: str, number: float | None) -> bool:
    if _is_number(value) and number is not None:
        return abs(float(value) - number) <= 1e-6 * max(abs(number), 1e-30)
    return _as_text(value) == word


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_text(value: Scalar) -> str:
    return str(value).lower()


def _compare(value: float, op: str, number: float) -> bool:
    match op:
        case "<":
            return value < number
        case "<=":
            return value <= number
        case ">":
            return value > number
    return value >= number


def _number(text: str, kind: str) -> float | None:
    units = SECONDS if kind == "seconds" else BYTES if kind == "bytes" else {}
    match = re.fullmatch(r"([+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)", text)
    if match is None or (match[2] and match[2].lower() not in units):
        return None
    scale = units.get(match[2].lower(), 1.0) if units else 1.0
    try:
        return float(match[1].replace(",", "")) * scale
    except ValueError:
        return None
