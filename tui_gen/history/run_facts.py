"""What lists of runs know of a run, by name: the columns of their tables, and what they are sorted and filtered by."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tui_gen import proof, quantities, remarks
from tui_gen.history.run_settings import RunSettings, Scalar
from tui_gen.history.run_summary import NOTHING, RunSummary
from tui_gen.runs import RunInfo
from tui_gen.text import clean


@dataclass(slots=True)
class RunRow:
    """A run in a list: its row, and its summary where that is known yet."""

    info: RunInfo
    summary: RunSummary = NOTHING
    proof: str = ""
    """That of `proof_of`."""
    _words: str = field(default="", init=False, repr=False, compare=False)

    @property
    def folder(self) -> str:
        """The name of the run's folder."""
        return os.path.basename(self.info.path)

    @property
    def words(self) -> str:
        """What a plain word of a filter is looked for in, in lower case."""
        if not self._words:
            info = self.info
            tags = " ".join(info.tags)
            self._words = f"{info.word} {info.model} {info.dataset} {info.name} {self.folder} {tags}".lower()
        return self._words

    def forget(self) -> None:
        """Something in its `info` is another."""
        self._words = ""


def proof_of(path: str) -> str:
    """Whether a run's settings have passed `tui-gen verify-resume`: `exact`, `not exact`, or nothing."""
    verdict = proof.of(path)
    return "" if verdict is None else "exact" if verdict.passed else "not exact"


class Fact(NamedTuple):
    """Something about a run: its title in a table, what kind of value it has, and how it is had from a row.

    `kind` is `text`, `texts`, `number`, `flag`, `seconds` or `bytes`. `down` is whether a list sorted by it has its
    largest values first.
    """

    title: str
    kind: str
    value: Callable[[RunRow], Any]
    help: str
    down: bool = False


def _of_run(name: str) -> Callable[[RunRow], Any]:
    return lambda row: getattr(row.info, name)


def _of_summary(name: str) -> Callable[[RunRow], Any]:
    return lambda row: getattr(row.summary, name) if row.summary is not NOTHING else None


def _notes(row: RunRow) -> list[str]:
    return [note.text for note in remarks.of(row.info.path).notes] if row.info.notes else []


FACTS: dict[str, Fact] = {
    "state": Fact("STATE", "text", _of_run("state"), "running, paused, finished, stopped, failed, interrupted …"),
    "star": Fact("★", "flag", _of_run("star"), "has a star", True),
    "name": Fact("NAME", "text", _of_run("name"), "what the run is called"),
    "run": Fact("RUN", "text", lambda row: row.folder, "the name of its folder"),
    "model": Fact("MODEL", "text", _of_run("model"), "the model's name"),
    "dataset": Fact("DATASET", "text", _of_run("dataset"), "the data's name"),
    "step": Fact("STEP", "number", _of_run("step"), "the last step made", True),
    "steps": Fact("OF", "number", _of_run("steps"), "its planned length", True),
    "metric": Fact("JUDGED BY", "text", _of_summary("metric"), "the metric that it is judged by"),
    "best": Fact("BEST", "number", _of_summary("best"), "the best value of that metric"),
    "best_step": Fact("AT", "number", _of_summary("best_step"), "the step of the best value"),
    "last": Fact("LAST", "number", _of_summary("last"), "the newest value of that metric"),
    "reached": Fact("✓", "flag", lambda row: row.summary.reached, "has reached what its recipe states", True),
    "course": Fact("COURSE", "text", lambda row: None, "how that metric went"),
    "tag": Fact("TAGS", "texts", _of_run("tags"), "one of its tags"),
    "note": Fact("NOTES", "texts", _notes, "the text of one of its notes"),
    "notes": Fact("✎", "number", _of_run("notes"), "how many notes it has", True),
    "exact": Fact("EXACT", "flag", lambda row: row.proof == "exact", "has passed tui-gen verify-resume", True),
    "time": Fact("TIME", "seconds", _of_summary("seconds"), "time spent training", True),
    "age": Fact("MADE", "seconds", lambda row: time.time() - row.info.created, "time since it was made"),
    "idle": Fact("CHANGED", "seconds", lambda row: time.time() - row.info.updated, "time since its log grew"),
    "size": Fact("SIZE", "bytes", _of_summary("bytes"), "the size of all its files", True),
    "samples": Fact("SAMPLES", "number", _of_summary("samples"), "previews in its log", True),
    "checkpoints": Fact("CHECKPOINTS", "number", _of_summary("checkpoints"), "checkpoints in its log", True),
    "host": Fact("HOST", "text", _of_run("host"), "the machine that trained it last"),
    "job": Fact("JOB", "text", _of_run("job"), "the job of a batch system that trained it last"),
    "live": Fact("LIVE", "flag", lambda row: row.info.live, "its worker is alive", True),
}
"""By the names that filters and orders use."""
NEED_SUMMARY = ("metric", "best", "best_step", "last", "reached", "course", "time", "size", "samples", "checkpoints")
"""What takes a look into the log."""


def text_of(row: RunRow, name: str) -> str:
    """A fact of a run as it stands in a table."""
    info, summary = row.info, row.summary
    match name:
        case "star":
            return "★" if info.star else ""
        case "reached":
            return "✓" if summary.reached else ""
        case "tag":
            return " ".join(clean(tag) for tag in info.tags)
        case "metric":
            return summary.short
        case "exact":
            return row.proof
    value = FACTS[name].value(row) if name in FACTS else None
    if value is None or value == "":
        return ""
    match FACTS[name].kind:
        case "seconds":
            if name == "time":
                return quantities.duration(value) if value else ""
            return quantities.ago(value)
        case "bytes":
            return quantities.size(value)
        case "number":
            if name == "notes" and not value:
                return ""
            return quantities.metric(value) if name in ("best", "last") else quantities.count(value)
    return clean(str(value))


def ordered(rows: list[RunRow], key: str, settings: RunSettings, down: bool | None = None) -> list[RunRow]:
    """Rows by a fact or a setting; those without it last. `down` is largest first; None is as the fact is read best.

    By `best`, runs that are judged by one metric stay together, the best of them first.
    """
    descending = (FACTS[key].down if key in FACTS else False) if down is None else down

    def value_of(row: RunRow) -> Any:
        if key not in FACTS:
            values = settings.find(row.info.path, key)
            return values[0] if values else None
        value = FACTS[key].value(row)
        if isinstance(value, list):
            return " ".join(value).lower() or None
        return (value.lower() or None) if isinstance(value, str) else value

    values = [value_of(row) for row in rows]
    with_value = [(value, row) for value, row in zip(values, rows) if value is not None and value == value]
    without = [row for value, row in zip(values, rows) if value is None or value != value]

    def rank(pair: tuple[Any, RunRow]) -> tuple[Any, ...]:
        value, row = pair
        if key == "best":
            goodness = value if row.summary.better == "lower" else -value
            return row.summary.metric, -goodness if descending else goodness
        return isinstance(value, str), value

    with_value.sort(key=rank, reverse=descending and key != "best")
    return [row for _, row in with_value] + without


def setting_values(row: RunRow, key: str, settings: RunSettings) -> list[Scalar]:
    """The values of a fact or a setting, as a filter compares them."""
    if key not in FACTS:
        return settings.find(row.info.path, key)
    value = FACTS[key].value(row)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
