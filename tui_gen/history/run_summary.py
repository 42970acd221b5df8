"""What a run came to, in a few numbers: the metric it is judged by with its best value, its course, length and size.

A log is gone through once, for that metric alone, and what was found is kept in a file of the user's cache, by the size
and time of the log: it can be thrown away at any time. A `Digest` goes on where it was when a log has grown.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from tui_gen import __version__, bounds, columns, events
from tui_gen import catalog as catalogs
from tui_gen.catalog import Catalog
from tui_gen.files import read_regular, written_aside
from tui_gen.headline import headline
from tui_gen.log import event_log
from tui_gen.places import NoHome, cache_dir
from tui_gen.text import clean
from tui_gen.verdicts.panels import HEALTH, split

POINTS = 16
"""Values of a sparkline."""
PART = 1 << 18
"""Bytes of a log that are read at a time."""
MOST_CACHE = 64 << 20
"""The largest cache that is read, in bytes."""
MOST_DIGESTS = 16
"""Live runs whose digests are kept to go on with."""
MOST_SHAPES = 64
"""Sets of names in a log for which decoders are made."""
VERSION = f"2 {__version__}"
"""Of the cache: what another version wrote is found anew."""
METRICS, PACKED, SYSTEM = b'{"type":"metrics"', b'{"type":"packed"', b'{"type":"system"'
STUB = b'{"type":"stub","summary":'
"""Begins the log of a run that is elsewhere and was not read from there: what it came to is told in its stead."""
OTHERS = (
    b'"plan"', b'"resume"', b'"rollback"', b'"quality"', b'"sample"', b'"checkpoint"', b'"metrics"', b'"packed"',
)  # fmt: skip
"""What may be on lines that are read."""


class RunSummary(msgspec.Struct, omit_defaults=True):
    """A run in a few numbers.

    `metric` is the name in the log of what it is judged by (empty where nothing is logged yet), `better` is `lower` or
    `higher`; `best` its best value, at the step `best_step`, `last` its newest one, `course` up to POINTS means over
    equal parts of its steps, None where there was no number. `level` is what it should come to, where that is stated.
    `seconds` are those of training, `bytes` the size of all files of the run, `samples`
    and `checkpoints` how many of them its log tells of.
    """

    metric: str = ""
    better: str = "lower"
    best: float | None = None
    best_step: int | None = None
    last: float | None = None
    course: list[float | None] = []
    level: float | None = None
    seconds: float = 0.0
    bytes: int = 0
    samples: int = 0
    checkpoints: int = 0

    @property
    def reached(self) -> bool:
        """Whether the best value is as good as what is stated; never where nothing is."""
        if self.level is None or self.best is None:
            return False
        return self.best >= self.level if self.better == "higher" else self.best <= self.level

    @property
    def short(self) -> str:
        """The metric without its phase: `val elbo`."""
        validation, _, name = split(self.metric)
        return f"val {name}" if validation and name else name


NOTHING = RunSummary()


_packed_decoder = msgspec.json.Decoder(events.Packed)
_told_decoder: msgspec.json.Decoder[RunSummary | None] = msgspec.json.Decoder(RunSummary | None)


class _Record(msgspec.Struct, array_like=True):
    """A summary in the cache, and the files it was made from."""

    sign: tuple[int, int, int]
    summary: RunSummary


class _Cache(msgspec.Struct):
    """What is in the cache's file: summaries by the names of the runs' folders."""

    version: str
    runs: dict[str, _Record] = {}


_cache_decoder = msgspec.json.Decoder(_Cache)


class _JudgedCurve:
    """The values of one metric, by how many steps had been made, ascending; of NaN only the step."""

    __slots__ = ("steps", "values")

    def __init__(self) -> None:
        self.steps, self.values = array("q"), array("f")

    def add(self, start: int, stride: int, column: Sequence[float | None]) -> None:
        if self.steps and start <= self.steps[-1]:
            self.cut(start - 1)
        self.steps.extend(range(start, start + len(column) * stride, stride))
        self.values.extend(column if isinstance(column, array) else columns.column(column))

    def cut(self, step: int) -> None:
        """Forget what came after a step."""
        place = bisect_right(self.steps, step)
        del self.steps[place:], self.values[place:]


def told_in(line: bytes) -> RunSummary | None:
    """The summary in the first line of a log that begins with STUB, where there is one."""
    try:
        return _told_decoder.decode(line[len(STUB) :].removesuffix(b"}"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class Digest:
    """Reads the log of one run for its summary: `read` takes some of what is new, `summary` says what it comes to."""

    def __init__(self, path: Path | str, catalog: Catalog | None = None) -> None:
        from tui_gen.verdicts.goals import goals_of

        self.path = Path(path)
        self._catalog = known_catalog() if catalog is None else catalog
        self._goals = goals_of(self.path / "config.toml", self._catalog)
        self._follower = event_log.Follower(self.path / "events.jsonl", decode=self._take)
        self._reset()

    def _reset(self) -> None:
        self._curves: dict[str, _JudgedCurve] = {}
        self._judged: tuple[str, ...] = ("loss",)
        self._narrow: dict[tuple[int, bytes], msgspec.json.Decoder[Any]] = {}
        self._seconds = 0.0
        self._samples = self._checkpoints = 0
        self._system = b""
        self._summary: RunSummary | None = None

    @property
    def behind(self) -> bool:
        """Whether there is more to read than the last call took."""
        return self._follower.behind

    def read(self) -> bool:
        """Read a part of what is new; whether there was anything."""
        offset = self._follower.offset
        self._follower.poll(PART)
        return self._follower.offset != offset

    def _take(self, line: bytes) -> events.Event | None:
        """Take what matters of a line: nothing is handed on to the follower."""
        if self._follower.restarted:
            self._reset()
            self._follower.restarted = False
        if line.startswith(METRICS):
            self._take_metrics(line)
        elif line.startswith(PACKED):
            self._take_packed(line)
        elif line.startswith(STUB):
            self._summary = told_in(line)
        elif line.startswith(SYSTEM):
            self._system = line  # of a long run there are many, and the last one tells
        elif any(mark in line for mark in OTHERS):
            self._take_event(events.decode(line))
        return None

    def _take_event(self, event: events.Event | None) -> None:
        match event:
            case events.Plan():
                self._judged = (*event.judged, "loss")
                self._narrow.clear()
            case events.Resume() | events.Rollback():
                for curve in self._curves.values():
                    curve.cut(event.start)
            case events.Sample():
                self._samples += 1
            case events.Checkpoint():
                self._checkpoints += 1
            case events.Quality():
                for figure in event.report.figures:
                    name = f"quality/{figure.name}"
                    if figure.value is not None and self._wanted(name):
                        self._curve(name).add(event.report.step, 1, [figure.value])
            case events.Metrics():
                self._learn(event)

    def _learn(self, event: events.Metrics) -> None:
        """The values of any metrics that may be what the run is judged by."""
        for name, column in event.values.items():
            if self._wanted(name):
                self._curve(name).add(event.begin, event.stride, column)

    def _take_metrics(self, line: bytes) -> None:
        """Metrics as numbers: once it is known which names such a line has, only those that matter are decoded."""
        start = line.find(b'"values":{')
        shape = (line.count(b'":'), line[start + 10 : line.find(b":", start + 10)] if start >= 0 else b"")
        decoder = self._narrow.get(shape)
        if decoder is None:
            event = events.decode(line)
            if isinstance(event, events.Metrics):
                self._learn(event)
                if len(self._narrow) < MOST_SHAPES and all(map(_is_simple, event.values)):
                    self._narrow[shape] = _narrow_decoder(tuple(filter(self._wanted, event.values)))
            return
        try:
            event = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        for name, column in zip(event.NAMES, msgspec.structs.astuple(event.values)):
            if column:
                self._curve(name).add(events.made(event.start), event.stride, column)

    def _take_packed(self, line: bytes) -> None:
        """Packed metrics: all are inflated, as they are one text, and those that matter are put together."""
        try:
            event = _packed_decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        places = [place for place, name in enumerate(event.names) if self._wanted(name)]
        try:
            arrays = columns.unpack(event.data, len(event.names), places) if places else []
        except ValueError:
            return
        for place, column in zip(places, arrays):
            self._curve(event.names[place]).add(events.made(event.start), event.stride, column)

    def _wanted(self, name: str) -> bool:
        """Whether a metric may be what the run is judged by."""
        _, phase, last = split(name)
        judging = last in self._judged and phase not in (HEALTH, "quality")
        return judging or any(goal.curve == name for goal in self._goals)

    def _curve(self, name: str) -> _JudgedCurve:
        return self._curves.setdefault(name, _JudgedCurve())

    def summary(self) -> RunSummary:
        """What was read so far comes to."""
        if self._summary is not None:
            return self._summary
        summary = RunSummary(samples=self._samples, checkpoints=self._checkpoints)
        system = events.decode(self._system) if self._system else None
        if isinstance(system, events.System):
            summary.seconds = system.seconds
        summary.bytes = size_of(self.path)
        name, summary.better, summary.level = self._judge()
        if name:
            summary.metric = clean(name)
            _fill(summary, self._curves[name])
        return summary

    def _judge(self) -> tuple[str, str, float | None]:
        """The name of the metric that the run is judged by, which way is better, and what it should come to.

        What its recipe states, where the log has it; else the first metric that judges its model, of held-out data
        before that of training.
        """
        curves = [name for name, curve in self._curves.items() if any(value == value for value in curve.values)]
        for goal in self._goals:
            if goal.curve in curves:
                return goal.curve, goal.better, goal.level
        curves.sort(key=lambda name: not name.startswith("val/"))
        for ending in self._judged:
            for name in curves:
                if (last := split(name)[2]) == ending:
                    return name, self._better(last), None
        return "", "lower", None

    def _better(self, name: str) -> str:
        entry = self._catalog.models.get(str(headline(f"{self.path}/config.toml").get("model", "")))
        return "higher" if entry is not None and name in entry.higher_is_better else "lower"


def _fill(summary: RunSummary, curve: _JudgedCurve) -> None:
    """The best and the last value of a curve that has one, and its course."""
    numbers = [value for value in curve.values if value == value]
    best = max(numbers) if summary.better == "higher" else min(numbers)
    summary.best, summary.last = columns.shortest(best), columns.shortest(numbers[-1])
    summary.best_step = curve.steps[curve.values.index(best)]
    count = min(POINTS, len(curve.steps))
    edges = [round(len(curve.steps) * part / count) for part in range(count + 1)]
    for start, end in pairwise(edges):
        part = [value for value in curve.values[start:end] if value == value]
        summary.course.append(float(f"{math.fsum(part) / len(part):.5g}") if part else None)


def _is_simple(name: str) -> bool:
    """Whether a name is written in JSON as it is."""
    return name.isprintable() and not {'"', "\\"}.intersection(name)


def _narrow_decoder(names: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """What decodes metrics, but only the columns of these names."""
    places = {f"value_{place}": name for place, name in enumerate(names)}
    fields: list[tuple[str, Any, Any]] = [(place, list[float | None], []) for place in places]
    values = msgspec.defstruct("Values", fields, rename=places, gc=False)
    narrow = msgspec.defstruct(
        "Narrow",
        [("start", bounds.Step), ("values", values), ("stride", bounds.Stride, 1)],
        namespace={"NAMES": names},
    )
    return msgspec.json.Decoder(narrow)


def size_of(path: Path | str) -> int:
    """The bytes of all files in a folder; links are not followed, what cannot be read counts as nothing."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += size_of(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total


@cache
def known_catalog() -> Catalog:
    """The models and recipes that are known without anybody's own folders of models."""
    return catalogs.read()


class Summaries:
    """The summaries of the runs in a folder, those in the cache at once. Of use from one thread at a time."""

    def __init__(self, root: Path | str, catalog: Catalog | None = None) -> None:
        self.root = os.path.realpath(root)
        self._catalog = catalog
        self._records: dict[str, _Record] = {}
        self._read_at: tuple[int, int] | None = None
        self._digests: dict[str, Digest] = {}
        self.unsaved = 0
        """Summaries that the cache's file does not have yet."""
        try:
            digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:16]
            self._file: Path | None = cache_dir() / "summaries" / f"{digest}.json"
        except NoHome:
            self._file = None
        self._load()

    def set_catalog(self, catalog: Catalog) -> None:
        """Other models and recipes are known from now on."""
        self._catalog = catalog

    def known(self, path: Path | str) -> RunSummary | None:
        """The summary of a run, where one is known that its files still agree with."""
        record = self._records.get(os.path.basename(path))
        return record.summary if record is not None and record.sign == _sign(path) else None

    def last_known(self, path: Path | str) -> RunSummary:
        """The summary that a run had when it was last looked into, of whichever time; NOTHING where it never was."""
        record = self._records.get(os.path.basename(path))
        return record.summary if record is not None else NOTHING

    def of(self, path: Path | str, live: bool = False) -> RunSummary:
        """The summary of a run as it is now: its log is read where that is not known. A `live` one is asked again."""
        if (summary := self.known(path)) is not None:
            return summary
        name, sign = os.path.basename(path), _sign(path)
        digest = self._digests.pop(name, None)
        if digest is None or digest.path != Path(path):
            digest = Digest(path, self._catalog)
        while digest.read() or digest.behind:
            pass
        summary = digest.summary()
        if live:
            self._digests[name] = digest
            while len(self._digests) > MOST_DIGESTS:
                del self._digests[next(iter(self._digests))]
        self._records[name] = _Record(sign, summary)
        self.unsaved += 1
        return summary

    def save(self, names: Iterable[str] | None = None) -> None:
        """Write the cache's file, whole; with `names`, without runs that are none of these any more."""
        if self._file is None or not self.unsaved:
            return
        self._load()  # what somebody else has found meanwhile
        if names is not None:
            valid_names = set(names)
            self._records = {name: record for name, record in self._records.items() if name in valid_names}
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with written_aside(self._file) as aside:
                aside.write_bytes(msgspec.json.encode(_Cache(VERSION, self._records)))
            self._read_at = self._time()
        self.unsaved = 0

    def _load(self) -> None:
        if self._file is None or (time := self._time()) is None or time == self._read_at:
            return
        self._read_at = time
        try:
            cache = _cache_decoder.decode(read_regular(self._file, MOST_CACHE))
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if cache.version == VERSION:
            self._records = cache.runs | self._records

    def _time(self) -> tuple[int, int] | None:
        with contextlib.suppress(OSError):
            if self._file is not None:
                status = os.stat(self._file)
                return status.st_mtime_ns, status.st_ino
        return None


def _sign(path: Path | str) -> tuple[int, int, int]:
    """The size and time of a run's log and the time of its config: where its summary is another, one of them is."""
    sign = [0, 0, 0]
    with contextlib.suppress(OSError):
        status = os.stat(f"{path}/events.jsonl")
        sign[:2] = status.st_size, status.st_mtime_ns
    with contextlib.suppress(OSError):
        sign[2] = os.stat(f"{path}/config.toml").st_mtime_ns
    return sign[0], sign[1], sign[2]


_folders: dict[str, Summaries] = {}


def summary_of(path: Path | str, catalog: Catalog | None = None) -> RunSummary:
    """The summary of one run, from the cache where its log is as it was then. Never raises for what the run holds."""
    root = os.path.dirname(os.path.realpath(path))
    summaries = _folders.get(root) or _folders.setdefault(root, Summaries(root, catalog))
    summary = summaries.of(path, live=True)
    summaries.save()
    return summary
